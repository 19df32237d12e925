//! Plugins of cadmill in safe Rust.
//!
//! A plugin is a `cdylib` with a type that implements [`Plugin`], and one line that exports it:
//!
//! ```
//! use cadmill_plugin::{Description, Error, Format, Host, Plugin, Request};
//!
//! struct Upper;
//!
//! impl Plugin for Upper {
//!     fn describe() -> Description {
//!         Description::new("upper", "1.0")
//!             .input(Format::new("txt", &["txt"]))
//!             .output(Format::new("upper", &["up"]))
//!     }
//!
//!     fn convert(request: &Request<'_>, host: &Host<'_>) -> Result<(), Error> {
//!         let text = std::fs::read_to_string(request.input()).map_err(Error::rejected)?;
//!         host.fact("letters", &text.len().to_string());
//!         std::fs::write(request.output(), text.to_uppercase()).map_err(Error::failed)
//!     }
//! }
//!
//! cadmill_plugin::export!(Upper);
//! # fn main() {}
//! ```
//!
//! The unsafe code is here: texts are copied, a panic becomes a failure with its text, and members that
//! an older host does not have are taken as absent. docs/ABI.md describes the interface.

mod abi;
mod description;
mod error;
mod host;
mod plugin;
mod request;

pub use description::{Description, Format, Kind, OptionSpec};
pub use error::Error;
pub use host::{Host, Stage};
pub use plugin::Plugin;
pub use request::Request;

#[doc(hidden)]
pub mod private;

/// Exports a type that implements [`Plugin`] as the plugin of this library.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        /// The function that cadmill looks for.
        #[unsafe(no_mangle)]
        pub extern "C" fn cadmill_plugin_entry_v1(host_abi: u32) -> *const $crate::private::Exported {
            $crate::private::exported::<$plugin>(host_abi)
        }
    };
}
