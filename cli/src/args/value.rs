//! Values of arguments that several commands take.

/// An option of an engine: its name and its value.
///
/// # Errors
/// A sentence that says how one is written.
pub(super) fn parse_option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("not an option: '{text}'; write NAME=VALUE")),
    }
}
