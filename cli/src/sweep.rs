//! Destroys what killed commands left in memory.

use crate::output;
use cadmill_converter::conversion::context::ConversionContext;

/// Destroys what killed conversions of this user left. If it fails, the next one tries again, and
/// this conversion is not at fault.
pub(crate) fn killed(setting: &ConversionContext) {
    let Ok(swept) = setting.place.sweep_unrecorded() else { return };
    if swept.removed > 0 {
        output::note(&format!("destroyed the files of {} conversions that were killed", swept.removed));
    }
    if swept.left > 0 {
        output::note(&format!(
            "warning: the files of {} conversions that were killed could not be destroyed",
            swept.left
        ));
    }
}
