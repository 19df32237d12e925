//! The structs of `cadmill_plugin.h`, version 1. They are written by hand, so that a plugin needs no C
//! compiler; a test of native-sys compares them with what bindgen makes of the header.

use std::ffi::{c_char, c_void};

/// `CADMILL_ABI`.
pub(crate) const ABI: u32 = 1;

/// `cadmill_host`.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// Size of the struct, as the host knows it.
    pub size: u64,
    /// Version of the host.
    pub abi: u32,
    /// See [`crate::Host::max_threads`].
    pub max_threads: u32,
    /// See [`crate::Host::max_memory`].
    pub max_memory: u64,
    /// First argument of the functions.
    pub context: *mut c_void,
    /// `progress`.
    pub progress: Option<unsafe extern "C" fn(*mut c_void, u32, f64)>,
    /// `log`.
    pub log: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_char)>,
    /// `cancelled`.
    pub cancelled: Option<unsafe extern "C" fn(*mut c_void) -> i32>,
    /// `fail`.
    pub fail: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>,
    /// `fact`.
    pub fact: Option<unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char)>,
    /// `extension`.
    pub extension: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
}

/// `cadmill_format`.
#[repr(C)]
#[derive(Debug)]
pub struct Format {
    /// Size of the struct.
    pub size: u64,
    /// Id.
    pub id: *const c_char,
    /// Extensions, separated by spaces.
    pub extensions: *const c_char,
    /// Title, or null.
    pub title: *const c_char,
    /// Flags.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// `cadmill_option`.
#[repr(C)]
#[derive(Debug)]
pub struct OptionSpec {
    /// Size of the struct.
    pub size: u64,
    /// Name.
    pub name: *const c_char,
    /// One sentence.
    pub help: *const c_char,
    /// Choices, separated by spaces, or null.
    pub choices: *const c_char,
    /// Default, or null.
    pub preset: *const c_char,
    /// Kind.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// The least number.
    pub least: f64,
    /// The greatest number.
    pub most: f64,
}

/// `cadmill_description`.
#[repr(C)]
#[derive(Debug)]
pub struct Description {
    /// Size of the struct.
    pub size: u64,
    /// Name of the library.
    pub name: *const c_char,
    /// Its version.
    pub version: *const c_char,
    /// Its vendor, or null.
    pub vendor: *const c_char,
    /// SPDX expression, or null.
    pub licence: *const c_char,
    /// Formats that are read.
    pub inputs: *const *const Format,
    /// Formats that are written.
    pub outputs: *const *const Format,
    /// Options.
    pub options: *const *const OptionSpec,
    /// Directories, as advice.
    pub data: *const *const c_char,
    /// Flags.
    pub flags: u64,
}

/// `cadmill_request`.
#[repr(C)]
#[derive(Debug)]
pub struct Request {
    /// Size of the struct, as the host knows it.
    pub size: u64,
    /// File to read.
    pub input: *const c_char,
    /// Directory of all files of the order.
    pub input_dir: *const c_char,
    /// File to write.
    pub output: *const c_char,
    /// Directory of all files of the result.
    pub output_dir: *const c_char,
    /// Directory for temporary files.
    pub scratch_dir: *const c_char,
    /// Id, or null.
    pub input_format: *const c_char,
    /// Id.
    pub output_format: *const c_char,
    /// Names of options.
    pub option_names: *const *const c_char,
    /// Their values.
    pub option_values: *const *const c_char,
    /// How many.
    pub option_count: u64,
    /// Flags.
    pub flags: u64,
}

/// `cadmill_plugin`.
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// Size of the struct.
    pub size: u64,
    /// [`ABI`].
    pub abi: u32,
    /// 0.
    pub reserved: u32,
    /// `describe`.
    pub describe: Option<unsafe extern "C" fn() -> *const Description>,
    /// `prepare`.
    pub prepare: Option<unsafe extern "C" fn(*const Host) -> i32>,
    /// `convert`.
    pub convert: Option<unsafe extern "C" fn(*const Request, *const Host) -> i32>,
    /// `cancel`.
    pub cancel: Option<unsafe extern "C" fn()>,
    /// `extension`.
    pub extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
}
