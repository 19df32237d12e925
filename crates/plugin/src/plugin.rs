//! What a plugin implements.

use crate::description::Description;
use crate::error::Error;
use crate::host::Host;
use crate::request::Request;

/// A converter.
pub trait Plugin {
    /// What it reads, writes and takes. Called once; opens no file.
    fn describe() -> Description;

    /// Loads what takes time, before the input is known.
    ///
    /// # Errors
    /// Usually [`Error::unusable`].
    fn prepare(_host: &Host<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Converts one file. `Ok` means that everything asked for is in the output.
    ///
    /// # Errors
    /// [`Error`], by whom it concerns.
    fn convert(request: &Request<'_>, host: &Host<'_>) -> Result<(), Error>;
}
