//! Names of workspaces. A worker recognises abandoned workspaces by their names, so a name
//! identifies the ledger that the workspace belongs to: the name exists as soon as the directory
//! does. It contains nothing confidential: a job id and the number of the attempt.
//!
//! Commands may destroy what killed commands left. What a worker left is for a worker, which has
//! its ledgers. So the name also says which of them made the workspace of a ledger.

use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::LedgerId;
use std::fmt;
use std::io;
use std::str::FromStr;

/// Prefix of every name.
const PREFIX: &str = "cadmill-workspace-";

/// Number of letters and digits that follow.
pub(super) const RANDOM: usize = 16;

/// Last part of the name of a workspace with a ledger that a command made.
const COMMAND: &str = "command";

/// Who makes the workspace of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Worker,
    /// `cadmill convert`.
    Command,
}

/// A name: the prefix, 16 random letters and digits, and for the workspace of an attempt
/// `.JOB.ATTEMPT`, for that of a command `.JOB.ATTEMPT.command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    random: String,
    attempt: Option<(LedgerId, Maker)>,
}

impl Name {
    /// The name of a workspace without a ledger.
    ///
    /// # Errors
    /// When the system has no random source.
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0; RANDOM / 2];
        getrandom::fill(&mut bytes).map_err(|_| io::Error::other("there is no randomness"))?;
        let random = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { random, attempt: None })
    }

    /// The name of the workspace of an attempt.
    ///
    /// # Errors
    /// `infra.io`, as for [`Name::random`].
    pub(super) fn of_ledger(ledger: LedgerId, maker: Maker) -> Result<Self, Failure> {
        let name = Self::random().map_err(|e| Failure::io("naming a workspace", &e))?;
        Ok(Self { attempt: Some((ledger, maker)), ..name })
    }

    /// The ledger of the attempt that it was made for.
    pub(super) fn ledger(&self) -> Option<LedgerId> {
        self.attempt.map(|(ledger, _)| ledger)
    }

    /// Whether a worker made it for an attempt.
    pub(super) fn is_of_worker(&self) -> bool {
        self.attempt.is_some_and(|(_, maker)| maker == Maker::Worker)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.random)?;
        let Some((ledger, maker)) = self.attempt else { return Ok(()) };
        write!(f, ".{}.{}", ledger.job, ledger.attempt)?;
        if maker == Maker::Command { write!(f, ".{COMMAND}") } else { Ok(()) }
    }
}

/// Whether this is a complete name with this prefix, as generated here.
pub(super) fn is_named(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(is_random)
}

fn is_random(text: &str) -> bool {
    text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The text is not the name of a workspace.
#[derive(Debug)]
pub(super) struct NoName;

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NoName)?.split('.');
        let random = parts.next().unwrap_or_default().to_owned();
        let attempt = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(job), Some(attempt)) => {
                let job = job.parse().map_err(|_| NoName)?;
                let ledger = LedgerId::of_attempt(job, attempt.parse().map_err(|_| NoName)?);
                let maker = if parts.next() == Some(COMMAND) { Maker::Command } else { Maker::Worker };
                Some((ledger, maker))
            }
            _ => return Err(NoName),
        };
        let name = Self { random, attempt };
        // Only the canonical spelling is accepted.
        if is_random(&name.random) && name.to_string() == text { Ok(name) } else { Err(NoName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::ids::JobId;

    #[test]
    fn names_go_both_ways() {
        let ledger = LedgerId::of_attempt(JobId::random(), 12);
        let [worker, command] =
            [Maker::Worker, Maker::Command].map(|maker| Name::of_ledger(ledger, maker).unwrap());
        for name in [&Name::random().unwrap(), &worker, &command] {
            assert_eq!(name.to_string().parse::<Name>().unwrap(), *name);
        }
        assert_eq!([worker.ledger(), command.ledger()], [Some(ledger); 2]);
        assert!(worker.is_of_worker() && !command.is_of_worker());
        assert!(!Name::random().unwrap().is_of_worker());
    }

    #[test]
    fn what_is_no_name_is_none() {
        let job = JobId::random();
        for text in [
            "somebody-elses".to_owned(),
            "cadmill-data".to_owned(),
            "cadmill-workspace-of-mine".to_owned(),
            "cadmill-workspace-0123456789abcde".to_owned(),
            "cadmill-workspace-0123456789abcd.F".to_owned(),
            format!("cadmill-workspace-0123456789abcdef.{job}"),
            format!("cadmill-workspace-0123456789abcdef.{job}.01"),
            format!("cadmill-workspace-0123456789abcdef.{job}.1.2"),
            format!("cadmill-workspace-0123456789abcdef.{job}."),
            format!("cadmill-workspace-0123456789abcdef.{job}.1.commands"),
            format!("cadmill-workspace-0123456789abcdef.{job}.1.command.1"),
        ] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
