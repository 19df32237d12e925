//! What a check has found, and how findings are shown.
//!
//! A finding never has a key, a token, a URL or the name of a resource of the account: reports are
//! pasted into tickets. Resources are named as the template names them.

use cadmill_core::ports::PortError;
use serde::Serialize;

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it must be.
    Ok,
    /// It works, and could be better.
    Weak,
    /// Jobs fail, wait or leave files because of it.
    Fault,
    /// These credentials, or this place, do not show it.
    Unseen,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
            Self::Fault => "FAULT",
            Self::Unseen => "unseen",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// The check. Its name is stable.
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// What to do; empty if there is nothing to do.
    pub(super) hint: String,
    /// The resources of the template that mend it, with commas between; empty if it is none of them.
    pub(super) resource: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Verdict::Ok, found, "", "");
    }

    pub(super) fn unseen(&mut self, name: &'static str, found: impl Into<String>) {
        self.add(name, Verdict::Unseen, found, "", "");
    }

    pub(super) fn weak(&mut self, name: &'static str, found: impl Into<String>, hint: &str, resource: &str) {
        self.add(name, Verdict::Weak, found, hint, resource);
    }

    pub(super) fn fault(&mut self, name: &'static str, found: impl Into<String>, hint: &str, resource: &str) {
        self.add(name, Verdict::Fault, found, hint, resource);
    }

    fn add(
        &mut self,
        name: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        hint: &str,
        resource: &str,
    ) {
        let (hint, resource) = (hint.to_owned(), resource.to_owned());
        self.0.push(Finding { name, verdict, found: found.into(), hint, resource });
    }

    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }

    /// Names of the checks that found a fault.
    pub(super) fn faults(&self) -> Vec<&'static str> {
        let faults = self.0.iter().filter(|finding| finding.verdict == Verdict::Fault);
        faults.map(|finding| finding.name).collect()
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            text += &format!("{:<8}{:<20}{}\n", finding.verdict.as_str(), finding.name, finding.found);
            if !finding.hint.is_empty() {
                text += &format!("{:<28}{}\n", "", finding.hint);
            }
            if !finding.resource.is_empty() {
                text += &format!("{:<28}template: {}\n", "", finding.resource);
            }
        }
        text
    }
}

/// Whether a call was refused for want of a permission.
pub(super) fn is_denied(error: &PortError) -> bool {
    match error {
        PortError::Refused { reason, .. } => reason.starts_with("AccessDenied") || reason == "status 403",
        PortError::Hidden(_) => true,
        _ => false,
    }
}

/// Whether a call was refused for want of a permission on a key of KMS.
pub(super) fn is_about_key(error: &PortError) -> bool {
    matches!(error, PortError::Refused { reason, .. } if reason.contains("kms:"))
}
