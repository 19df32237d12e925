//! Bindings that bindgen generates from the vendor headers; see build.rs for the selection and the
//! reasons.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

pub(crate) mod assimp {
    include!(concat!(env!("OUT_DIR"), "/assimp.rs"));
    /// All functions that the binding calls.
    pub(crate) const FUNCTIONS: &[&str] = include!(concat!(env!("OUT_DIR"), "/assimp_functions.rs"));
}

pub(crate) mod gdal {
    include!(concat!(env!("OUT_DIR"), "/gdal.rs"));
    /// All functions that the binding calls.
    pub(crate) const FUNCTIONS: &[&str] = include!(concat!(env!("OUT_DIR"), "/gdal_functions.rs"));
}

pub(crate) mod plugin {
    include!(concat!(env!("OUT_DIR"), "/plugin.rs"));
}
