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
    /// What the result lacks.
    pub(in crate::engines::gdal) losses: Vec<String>,
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

/// What a header says, which programs write without meaning it.
pub(super) struct Hint {
    pub(super) said: Declared,
    /// Whether all the text can be that.
    pub(super) is_confirmed: bool,
}

/// The source of text, for messages.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) what: &'a str,
    /// A name of an encoding that is not known, and who says it.
    pub(super) unknown: Option<(&'a str, &'a str)>,
}

impl Source<'_> {
    /// Why the encoding has to be guessed.
    fn lack(self) -> String {
        match self.unknown {
            Some((by, name)) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                format!("{by} says that the text of {} is '{name}', which is not a known encoding", self.what)
            }
            None => format!("nothing says how the text of {} is encoded", self.what),
        }
    }
}

/// Chooses the encoding of text with other characters than those of ASCII.
pub(super) fn choose(
    source: Source<'_>,
    evidence: &Evidence,
    wanted: Option<Charset>,
    declared: Option<&Declared>,
    hint: Option<&Hint>,
) -> Result<Choice, EngineError> {
    let what = source.what;
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
    match (only, hint) {
        (Some(charset), Some(hint)) if hint.said.charset == charset => plain(charset),
        // Other encodings of two bytes have the same bytes as Korean text.
        (Some(other), Some(Hint { said: Declared { charset, by }, is_confirmed: true }))
            if charset.is_meant() && other != Charset::UTF_8 =>
        {
            warn(
                *charset,
                format!(
                    "the text of {what} was read as {charset}, as {by} says, but all of it is valid {other}"
                ),
            )
        }
        (Some(charset), Some(Hint { said, .. })) => warn(
            charset,
            format!(
                "{} says {}, but all text of {what} is valid {charset}, and was read as that",
                said.by, said.charset
            ),
        ),
        (Some(charset), None) => {
            warn(charset, format!("{}; all of it is valid {charset}, and was read as that", source.lack()))
        }
        (None, Some(Hint { said, is_confirmed: true })) if said.charset.is_meant() => plain(said.charset),
        (None, Some(Hint { said: Declared { charset, by }, is_confirmed: true })) => {
            warn(*charset, format!("the text of {what} was read as {charset}, which {by} says"))
        }
        (None, Some(Hint { said: Declared { charset, by }, is_confirmed: false })) => {
            Err(EngineError::TextLost(format!(
                "{by} says {charset}, but {} of {} values in {what} are not; name the encoding with --opt encoding=NAME",
                evidence.not_as_declared(),
                evidence.values()
            )))
        }
        // A name was meant to say something, and this is not known to be that.
        (None, None) if source.unknown.is_some() || !evidence.can_be_latin() => {
            Err(EngineError::TextLost(format!(
                "{}; name the encoding with --opt encoding=NAME, or save the text as UTF-8",
                source.lack()
            )))
        }
        (None, None) => {
            let charset = Charset::WINDOWS_1252;
            warn(charset, format!("{}; it was read as {charset}", source.lack()))
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

/// What the owner should know of text that was read as it is declared, and that looks like another.
pub(super) fn looks_like(what: &str, evidence: &Evidence, charset: Charset) -> Option<String> {
    let likely = evidence.only().filter(|likely| *likely != charset)?;
    Some(format!(
        "the text of {what} was read as {charset}, which is declared, but all of it is valid {likely}; --opt encoding={likely} reads it as that"
    ))
}

/// The encoding to name to GDAL for text in `charset`.
///
/// # Errors
/// [`EngineError::TextLost`] if GDAL would lose letters of it.
pub(super) fn readable(what: &str, charset: Charset, evidence: &Evidence) -> Result<Charset, EngineError> {
    if !charset.holds_letters_back() {
        return Ok(charset);
    }
    charset.stand_in(evidence.bytes()).ok_or_else(|| {
        EngineError::TextLost(format!(
            "the text of {what} is {charset}, of which GDAL loses the last letter of each value; save it as UTF-8"
        ))
    })
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
        let expected = wanted.or(declared.as_ref().or(otherwise.as_ref()).map(|d| d.charset));
        let mut evidence = Evidence::new(expected);
        values.iter().for_each(|value| evidence.see_field(value, true));
        let hint = otherwise.map(|said| Hint { said, is_confirmed: evidence.confirms_declared() });
        choose(Source { what: "t", unknown: None }, &evidence, wanted, declared.as_ref(), hint.as_ref())
            .map(|choice| (choice.charset.name(), choice.warning.is_some()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_is_not_known_is_told() {
        let source = Source { what: "t", unknown: Some(("the .cpg file", "johab")) };
        for (text, advice) in
            [(KOREAN, "valid CP949"), (b"Stra\xdfe", "name the encoding"), (b"\x81\xff", "name")]
        {
            let mut evidence = Evidence::new(None);
            evidence.see(text);
            let text = match choose(source, &evidence, None, None, None) {
                Ok(choice) => choice.warning.unwrap(),
                Err(error) => error.to_string(),
            };
            let said = "the .cpg file says that the text of t is 'johab', which is not a known encoding";
            assert!(text.starts_with(said) && text.contains(advice), "{text}");
        }
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
        assert_eq!(chosen(&[KOREAN], "", "", "1252"), ok("CP949", true));
        assert_eq!(chosen(&[KOREAN], "", "", "gbk"), ok("GBK", true));
        assert_eq!(chosen(&[utf8, utf8], "", "", "gbk"), ok("UTF-8", true));
        assert!(chosen(&[b"\xff\xff"], "", "", "949").is_err());
        assert_eq!(chosen(&[b"Stra\xdfe"], "", "", ""), ok("windows-1252", true));
        assert_eq!(chosen(&[KOREAN], "949", "utf-8", ""), ok("CP949", false));
        assert!(chosen(&[KOREAN], "utf-8", "", "").is_err());
        assert!(chosen(&[b"\x81\xff"], "", "", "").is_err());
        assert!(chosen(&[KOREAN, b"\xff\xff"], "", "utf-8", "").is_err());
    }
}
