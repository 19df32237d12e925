//! Checks options whose values are more than a name or a number, before they reach a library.

use cadmill_core::domain::condition;
use cadmill_core::domain::format::EngineKind;

/// Checks the options of an engine of this kind whose values are more than a name or a number.
///
/// # Errors
/// A sentence that names the option.
pub fn check_options(kind: EngineKind, options: &[(String, String)]) -> Result<(), String> {
    let is_condition = |name: &str| kind == EngineKind::Gdal && name.eq_ignore_ascii_case("where");
    options.iter().filter(|(name, _)| is_condition(name)).try_for_each(|(name, value)| {
        condition::check(value).map_err(|text| format!("option '{name}': {text}"))
    })
}
