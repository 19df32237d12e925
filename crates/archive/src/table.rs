//! The table in docs/ARCHIVES.md: every generated archive with the expected and the actual result.

#[path = "../tests/common/document.rs"]
#[allow(dead_code)]
mod document;

use super::tests::{Feeding, read_all};
use crate::archive_fixtures::{Case, cases};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::limits::ArchiveLimits;
use document::assert_documented;
use std::collections::HashSet;
use std::fmt::Write;

/// Small limits, so that small archives can exceed them.
pub(super) fn limits() -> ArchiveLimits {
    ArchiveLimits {
        entries: 100,
        expanded_bytes: 1 << 20,
        ratio: 100,
        ratio_exempt_bytes: 64 << 10,
        ..ArchiveLimits::default()
    }
}

fn verdict(case: &Case, feeding: Feeding) -> String {
    match read_all(&case.bytes, &limits(), feeding) {
        Ok(_) => "read".to_owned(),
        Err(failure) => failure.code.as_str().trim_start_matches("input.archive.").to_owned(),
    }
}

#[test]
fn every_case_has_the_right_verdict() {
    let wrong: Vec<String> = cases()
        .iter()
        .filter_map(|case| {
            let (expected, got) = (case.expected.unwrap_or("read"), verdict(case, Feeding::Whole));
            (expected != got)
                .then(|| format!("{}: {}: expected {expected}, got {got}", case.group, case.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_case_has_the_same_verdict_byte_by_byte() {
    for case in cases() {
        assert_eq!(
            verdict(&case, Feeding::BYTES),
            verdict(&case, Feeding::Whole),
            "{}: {}",
            case.group,
            case.name
        );
    }
}

#[test]
fn every_code_has_a_case_and_every_case_a_name() {
    let cases = cases();
    let names: HashSet<_> = cases.iter().map(|c| (c.group, &c.name)).collect();
    assert_eq!(names.len(), cases.len());
    let expected: HashSet<_> = cases.iter().filter_map(|c| c.expected).collect();
    for code in FailureCode::ALL.iter().filter_map(|c| c.as_str().strip_prefix("input.archive.")) {
        assert!(expected.contains(code), "no case for {code}");
    }
}

#[test]
fn a_refusal_names_the_entry_and_shows_no_control_characters() {
    for case in cases() {
        let Err(failure) = read_all(&case.bytes, &limits(), Feeding::Whole) else { continue };
        assert!(!failure.message.contains(char::is_control), "{:?}", failure.message);
        let names = failure.details.iter().any(|(name, _)| ["entry", "entry_number"].contains(name));
        assert_eq!(failure.message.starts_with("entry "), names, "{failure:?}");
    }
}

/// The documented table must match the code. With `UPDATE_DOCS=1` in the environment the test
/// writes the table instead.
#[test]
fn the_documented_table_is_what_the_code_does() {
    let mut expected = "| kind | archive | expected | got |\n|---|---|---|---|\n".to_owned();
    let head = expected.clone();
    for case in cases() {
        let right = case.expected.unwrap_or("read");
        let name = case.name.replace('|', "\\|");
        writeln!(expected, "| {} | {name} | {right} | {} |", case.group, verdict(&case, Feeding::Whole))
            .unwrap();
    }
    assert_documented(&head, None, &expected, "cargo test -p cadmill-archive --lib");
}
