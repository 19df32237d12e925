//! What [`crate::export!`] uses. Not part of the interface for plugins.

use crate::abi;
use crate::error::Error;
use crate::host::Host;
use crate::plugin::Plugin;
use crate::request::Request;
use std::any::Any;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

pub use crate::abi::{
    Description as AbiDescription, Format as AbiFormat, Host as AbiHost, OptionSpec as AbiOption,
    Plugin as Exported, Request as AbiRequest,
};

/// Leads to structs that are never freed and never changed.
struct Constant<T>(*const T);

// SAFETY: what it leads to is constant.
unsafe impl<T> Send for Constant<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Constant<T> {}

/// The functions of a plugin, for the version of the host; null if it is not served.
pub fn exported<P: Plugin>(host_abi: u32) -> *const Exported {
    if host_abi < abi::ABI {
        return std::ptr::null();
    }
    // A library exports one plugin, so this is the only instance of the function.
    static EXPORTED: OnceLock<Constant<Exported>> = OnceLock::new();
    EXPORTED
        .get_or_init(|| {
            Constant(Box::leak(Box::new(Exported {
                size: size_of::<Exported>() as u64,
                abi: abi::ABI,
                reserved: 0,
                describe: Some(describe::<P>),
                prepare: Some(prepare::<P>),
                convert: Some(convert::<P>),
                cancel: None,
                extension: None,
            })))
        })
        .0
}

unsafe extern "C" fn describe<P: Plugin>() -> *const abi::Description {
    static DESCRIPTION: OnceLock<Constant<abi::Description>> = OnceLock::new();
    let made = || catch_unwind(|| P::describe().leak()).unwrap_or(std::ptr::null());
    DESCRIPTION.get_or_init(|| Constant(made())).0
}

unsafe extern "C" fn prepare<P: Plugin>(host: *const abi::Host) -> i32 {
    // SAFETY: the host is valid during this call.
    match unsafe { Host::of(host) } {
        Some(host) => ended(&host, || P::prepare(&host)),
        None => Error::failed("").status(),
    }
}

unsafe extern "C" fn convert<P: Plugin>(request: *const abi::Request, host: *const abi::Host) -> i32 {
    // SAFETY: both are valid during this call.
    let (request, host) = unsafe { (Request::of(request), Host::of(host)) };
    match (request, host) {
        (Some(request), Some(host)) => ended(&host, || P::convert(&request, &host)),
        (_, Some(host)) => ended(&host, || Err(Error::failed("the host's request is not of version 1"))),
        (_, None) => Error::failed("").status(),
    }
}

/// The status of a call. Reports the reason of a failure to the host.
fn ended(host: &Host<'_>, call: impl FnOnce() -> Result<(), Error>) -> i32 {
    let error = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error,
        Err(panic) => Error::failed(format!("panic: {}", words(panic.as_ref()))),
    };
    host.fail(&error.to_string());
    error.status()
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}
