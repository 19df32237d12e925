//! Names of entries: relative, plain, and the same on every system.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;

/// The name, if it is one that may be made in the workspace.
///
/// # Errors
/// `input.archive.name`; the message shows the name with control characters escaped.
pub(super) fn check(name: &str, limits: &ArchiveLimits) -> Result<String, Failure> {
    let refuse = |why: &str| {
        let shown: String = name.escape_debug().take(200).collect();
        Err(Failure::new(FailureCode::ArchiveName, format!("entry '{shown}' {why}")).with("entry", shown))
    };
    if name.is_empty() || name == "/" {
        return refuse("has no name");
    }
    if name.len() > limits.name_bytes {
        return refuse("has a name that is too long");
    }
    if name.contains('\\') {
        return refuse("has a backslash in its name");
    }
    if name.chars().any(|c| c.is_control() || reorders(c)) {
        return refuse("has control characters in its name");
    }
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if name.starts_with('/') || drive {
        return refuse("has an absolute name");
    }
    let parts: Vec<&str> = name.strip_suffix('/').unwrap_or(name).split('/').collect();
    if parts.len() > limits.name_depth {
        return refuse("lies too many directories deep");
    }
    if parts.iter().any(|&part| part.is_empty() || part == "." || part == "..") {
        return refuse("has an empty part, '.' or '..' in its name");
    }
    // NAME_MAX of Linux file systems.
    if parts.iter().any(|part| part.len() > 255) {
        return refuse("has a part of more than 255 bytes in its name");
    }
    Ok(name.to_owned())
}

/// Characters that change the order in which others are shown (Unicode bidi
/// controls and line separators), so that a name looks like another.
fn reorders(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in ["a", "a/b.shp", "dir/", "Straßen/고객.shp", "..a/b..", "a b/c'd", "ab:c"] {
            assert_eq!(check(name, &ArchiveLimits::default()).unwrap(), name);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a\\b",
            "C:/a",
            "c:a",
            "a\nb",
            "a\0",
            "a\x1b[0m",
            "gnp.\u{202e}jbo",
        ] {
            let failure = check(name, &ArchiveLimits::default()).unwrap_err();
            assert_eq!(failure.code, FailureCode::ArchiveName, "{name:?}");
            assert!(!failure.message.contains(char::is_control), "{:?}", failure.message);
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_beyond() {
        let limits = ArchiveLimits { name_bytes: 300, name_depth: 3, ..ArchiveLimits::default() };
        assert!(check(&format!("{}/{}", "d".repeat(255), "f".repeat(44)), &limits).is_ok());
        assert!(check(&format!("{}/{}", "d".repeat(255), "f".repeat(45)), &limits).is_err());
        assert!(check(&"d".repeat(256), &limits).is_err());
        assert!(check("a/b/c", &limits).is_ok());
        assert!(check("a/b/c/d", &limits).is_err());
    }
}
