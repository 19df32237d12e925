//! The choice between what a source of text declares and what its bytes are.

use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

/// How GDAL is to read the text of an input.
#[derive(Debug, Default)]
pub(in crate::engines::gdal) struct Prepared {
    /// Options for opening the input.
    pub(in crate::engines::gdal) open: Vec<CString>,
    /// Configuration options.
    pub(in crate::engines::gdal) config: Vec<(&'static CStr, CString)>,
    /// The encoding of the text, if it has other characters than those of ASCII.
    pub(in crate::engines::gdal) charset: Option<Charset>,
    /// The file to open instead of the input.
    pub(in crate::engines::gdal) instead: Option<PathBuf>,
    /// What the owner should know.
    pub(in crate::engines::gdal) warnings: Vec<String>,
}

/// How an encoding was chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) charset: Charset,
    /// What the owner should know of it.
    pub(super) warning: Option<String>,
}

/// What a source declares: the encoding, and who says so, for instance `the .cpg file`.
pub(super) struct Declared {
    pub(super) charset: Charset,
    pub(super) by: String,
}

/// Chooses the encoding of text with other characters than those of ASCII. `what` names the
/// source.
pub(super) fn choose(
    what: &str,
    evidence: &Evidence,
    wanted: Option<Charset>,
    declared: Option<&Declared>,
    otherwise: Option<&Declared>,
) -> Result<Choice, EngineError> {
    let plain = |charset| Ok(Choice { charset, warning: None });
    let warn = |charset: Charset, text: String| {
        let text = format!("{text}; --opt encoding=NAME sets another");
        Ok(Choice { charset, warning: Some(text) })
    };
    if let Some(charset) = wanted {
        return match evidence.not_as_declared() {
            0 => plain(charset),
            wrong => Err(EngineError::TextLost(format!(
                "{wrong} of {} values in {what} are not {charset} text, as --opt encoding says",
                evidence.values()
            ))),
        };
    }
    let only = evidence.only();
    if let Some(Declared { charset, by }) = declared {
        if evidence.confirms_declared() {
            return plain(*charset);
        }
        return match only {
            Some(other) => warn(
                other,
                format!("{by} says {charset}, but the text of {what} is {other}, and was read as that"),
            ),
            None => Err(EngineError::TextLost(format!(
                "{by} says {charset}, but {} of {} values in {what} are not; name the encoding with --opt encoding=NAME",
                evidence.not_as_declared(),
                evidence.values()
            ))),
        };
    }
    match (only, otherwise) {
        (Some(charset), Some(said)) if said.charset == charset => plain(charset),
        (Some(charset), _) => warn(
            charset,
            format!(
                "nothing declares the encoding of {what}; all its text is valid {charset}, and was read as that"
            ),
        ),
        (None, Some(Declared { charset, by })) => {
            warn(*charset, format!("the text of {what} was read as {charset}, which {by} says"))
        }
        (None, None) if !evidence.can_be_latin() => Err(EngineError::TextLost(format!(
            "nothing says how the text of {what} is encoded; name it with --opt encoding=NAME"
        ))),
        (None, None) => {
            let charset = Charset::WINDOWS_1252;
            warn(charset, format!("nothing says how the text of {what} is encoded; it was read as {charset}"))
        }
    }
}

/// Refuses an encoding in which no table or drawing can be.
pub(super) fn refuse_wide(wanted: Option<Charset>) -> Result<(), EngineError> {
    match wanted.filter(|charset| !charset.is_ascii_compatible()) {
        Some(charset) => {
            Err(EngineError::Option(format!("the option 'encoding' cannot be {charset} for this format")))
        }
        None => Ok(()),
    }
}

/// The name of a file, for messages.
pub(super) fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> EngineError {
    EngineError::Rejected(format!("cannot read {}: {error}", shown(path)))
}

pub(super) fn c_text(text: &str) -> CString {
    // Names of encodings have no NUL bytes.
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KOREAN: &[u8] = b"\xb5\xb5\xb8\xe9";

    fn chosen(
        values: &[&[u8]],
        wanted: &str,
        declared: &str,
        otherwise: &str,
    ) -> Result<(String, bool), String> {
        let of =
            |label: &str| Charset::of_label(label).map(|charset| Declared { charset, by: "it".to_owned() });
        let (wanted, declared, otherwise) = (Charset::of_label(wanted), of(declared), of(otherwise));
        let mut evidence = Evidence::new(wanted.or(declared.as_ref().map(|d| d.charset)));
        values.iter().for_each(|value| evidence.see_field(value, true));
        choose("t", &evidence, wanted, declared.as_ref(), otherwise.as_ref())
            .map(|choice| (choice.charset.name(), choice.warning.is_some()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_declared_counts_unless_the_bytes_contradict() {
        let ok = |name: &str, warned| Ok((name.to_owned(), warned));
        let utf8 = "도면".as_bytes();
        assert_eq!(chosen(&[KOREAN], "", "949", ""), ok("CP949", false));
        assert_eq!(chosen(&[KOREAN], "", "1252", ""), ok("windows-1252", false));
        assert_eq!(chosen(&[KOREAN], "", "utf-8", ""), ok("CP949", true));
        assert_eq!(chosen(&[utf8], "", "", ""), ok("UTF-8", true));
        assert_eq!(chosen(&[utf8], "", "", "1252"), ok("UTF-8", true));
        assert_eq!(chosen(&[KOREAN], "", "", "949"), ok("CP949", false));
        assert_eq!(chosen(&[b"Stra\xdfe"], "", "", "1252"), ok("windows-1252", true));
        assert_eq!(chosen(&[b"Stra\xdfe"], "", "", ""), ok("windows-1252", true));
        assert_eq!(chosen(&[KOREAN], "949", "utf-8", ""), ok("CP949", false));
        assert!(chosen(&[KOREAN], "utf-8", "", "").is_err());
        assert!(chosen(&[b"\x81\xff"], "", "", "").is_err());
        assert!(chosen(&[KOREAN, b"\xff\xff"], "", "utf-8", "").is_err());
    }
}
