//! A choice of features that is made while they are read.

use crate::engines::gdal::options::Options;
use std::ffi::CString;

/// Which features are read.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) condition: Option<CString>,
    pub(super) rectangle: Option<[f64; 4]>,
    /// Of each layer.
    pub(super) limit: Option<u64>,
}

impl Choice {
    /// The choice that the arguments are; `None` if they are more than that.
    pub(super) fn of(options: &Options) -> Option<Self> {
        let (choice, is_more) = Self::read(options)?;
        (!is_more).then_some(choice)
    }

    /// The choice that is among the arguments.
    pub(super) fn in_passing(options: &Options) -> Self {
        Self::read(options).unwrap_or_default().0
    }

    /// The choice, and whether there is more.
    fn read(options: &Options) -> Option<(Self, bool)> {
        let (mut choice, mut is_more) = (Self::default(), false);
        let mut arguments = options.translate.iter().map(|argument| argument.to_string_lossy());
        while let Some(argument) = arguments.next() {
            match argument.as_ref() {
                "-where" => choice.condition = Some(CString::new(arguments.next()?.as_bytes()).ok()?),
                "-limit" => choice.limit = Some(arguments.next()?.parse().ok()?),
                "-spat" => {
                    let mut numbers = [0.0; 4];
                    for number in &mut numbers {
                        *number = arguments.next()?.parse().ok()?;
                    }
                    choice.rectangle = Some(numbers);
                }
                // Transactions are those of databases.
                "-gt" => drop(arguments.next()?),
                // What cannot be drawn is left out and counted anyway.
                "-skipfailures" => {}
                // The name of a layer.
                name if !name.starts_with('-') => {}
                "-clipsrc" => {
                    // What has no geometry is not within.
                    choice.rectangle = Some([0.0; 4]);
                    is_more = true;
                }
                _ => is_more = true,
            }
        }
        Some((choice, is_more))
    }

    /// Whether all features are read.
    pub(super) fn is_all(&self) -> bool {
        self.condition.is_none() && self.rectangle.is_none() && self.limit.is_none()
    }
}
