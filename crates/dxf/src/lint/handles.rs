//! Handles and what refers to them.

use super::document::{Document, handle};
use super::findings::{Findings, Rule};
use std::collections::HashSet;

/// Every handle of the drawing.
pub(super) fn check(document: &Document<'_>, findings: &mut Findings) -> HashSet<u64> {
    let mut handles = HashSet::new();
    for record in document.with_handles() {
        let (kind, line) = (record.kind(), record.line());
        match record.handle() {
            None => findings.add(Rule::NoHandle, line, format!("{kind} without a handle")),
            Some(0) => findings.add(Rule::HandleTwice, line, format!("{kind} has handle 0")),
            Some(handle) => {
                findings.expect(
                    handles.insert(handle),
                    Rule::HandleTwice,
                    line,
                    &format!("{handle:X} twice"),
                );
            }
        }
    }
    for tag in document.with_handles().flat_map(|record| record.tags) {
        if matches!(tag.code, 330..=369 | 390..=399)
            && let Some(target) = handle(tag.value)
            && target != 0
            && !handles.contains(&target)
        {
            findings.add(Rule::Pointer, tag.line, format!("group {} refers to {target:X}", tag.code));
        }
    }
    handles
}
