//! What the options of a translation ask for that is done here, while features are read: which of them
//! are read, and what becomes of their geometry.

use crate::engines::gdal::options::Options;
use std::ffi::CString;

/// Which features are read.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) condition: Option<CString>,
    pub(super) rectangle: Option<[f64; 4]>,
    /// Of each layer.
    pub(super) limit: Option<u64>,
    /// What becomes of them.
    pub(super) change: Change,
}

/// What becomes of features, in the order in which ogr2ogr does it.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The fields that are read, by name; all if there are none.
    pub(super) fields: Vec<String>,
    /// The name of all layers.
    pub(super) name: Option<String>,
    /// Reference systems: the one that the input is said to be in, and those of the transformation.
    pub(super) assigned: Option<CString>,
    pub(super) source: Option<CString>,
    pub(super) target: Option<CString>,
    /// Parts of collections are features of their own.
    pub(super) explodes: bool,
    /// The field that has the heights.
    pub(super) height: Option<String>,
    /// Whether the coordinates have heights, if that changes.
    pub(super) has_heights: Option<bool>,
    /// The longest line between two points, in units of the input.
    pub(super) longest: Option<f64>,
    /// The distance within which points are left out, in units of the input.
    pub(super) tolerance: Option<f64>,
    pub(super) makes_valid: bool,
    /// Arcs become short lines.
    pub(super) straightens: bool,
    /// Features that cannot be transformed are left out.
    pub(super) skips: bool,
}

impl Choice {
    /// What the arguments ask for; `None` if it is more than is done here.
    pub(super) fn of(options: &Options) -> Option<Self> {
        let mut choice = Self::default();
        let change = &mut choice.change;
        let mut arguments = options.translate.iter().map(|argument| argument.to_string_lossy());
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next();
            let text = |value: &str| CString::new(value.as_bytes()).ok();
            match argument.as_ref() {
                "-where" => choice.condition = Some(text(&next()?)?),
                "-limit" => choice.limit = Some(next()?.parse().ok()?),
                "-spat" => {
                    let mut numbers = [0.0; 4];
                    for number in &mut numbers {
                        *number = next()?.parse().ok()?;
                    }
                    choice.rectangle = Some(numbers);
                }
                "-select" => {
                    let names = next()?;
                    // GDAL's own splitting knows quotation marks.
                    if names.contains(['"', '\\']) {
                        return None;
                    }
                    change.fields = names.split(',').map(|name| name.trim().to_owned()).collect();
                }
                "-nln" => change.name = Some(next()?.into_owned()),
                "-a_srs" => change.assigned = Some(text(&next()?)?),
                "-s_srs" => change.source = Some(text(&next()?)?),
                "-t_srs" => change.target = Some(text(&next()?)?),
                "-explodecollections" => change.explodes = true,
                "-zfield" => change.height = Some(next()?.into_owned()),
                "-dim" => {
                    change.has_heights = Some(match next()?.to_ascii_uppercase().as_str() {
                        "XY" | "2" | "XYM" => false,
                        "XYZ" | "3" | "XYZM" | "4" => true,
                        _ => return None,
                    })
                }
                "-segmentize" => change.longest = Some(next()?.parse().ok()?),
                "-simplify" => change.tolerance = Some(next()?.parse().ok()?),
                "-makevalid" => change.makes_valid = true,
                // A drawing has the parts of a collection whatever it is called.
                "-nlt" => match next()?.to_ascii_uppercase().as_str() {
                    "PROMOTE_TO_MULTI" | "GEOMETRY" | "CONVERT_TO_CURVE" => {}
                    "CONVERT_TO_LINEAR" => change.straightens = true,
                    _ => return None,
                },
                "-skipfailures" => change.skips = true,
                // Transactions are those of databases, and identifiers are handles of the drawing.
                "-gt" => drop(next()?),
                "-preserve_fid" => {}
                // The name of a layer.
                name if !name.starts_with('-') => {}
                _ => return None,
            }
        }
        Some(choice)
    }

    /// Whether all features are read.
    pub(super) fn is_all(&self) -> bool {
        self.condition.is_none() && self.rectangle.is_none() && self.limit.is_none()
    }
}
