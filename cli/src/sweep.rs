//! Destroys what killed commands left in memory.

use crate::output;
use crate::recording::Recording;
use cadmill_converter::conversion::context::ConversionContext;

/// Destroys what killed commands of this user left, on record if there are ledgers. If it fails, the
/// next command tries again, and this one is not at fault.
pub(crate) fn killed(setting: &ConversionContext, recording: Option<&Recording>) {
    let recorder = |left| recording.and_then(|recording| recording.sweep(left));
    let Ok(swept) = setting.place.sweep_commands(&recorder) else { return };
    if swept.removed > 0 {
        output::note(&format!("destroyed the files of {} conversions that were killed", swept.removed));
    }
    if swept.left > 0 {
        output::note(&format!(
            "warning: the files of {} conversions that were killed could not be destroyed",
            swept.left
        ));
    }
    for (head, recording) in swept.heads.iter().filter_map(|head| Some((head, recording?))) {
        output::note(&format!("ledger of that: {}", recording.path(head.head.ledger).display()));
    }
}
