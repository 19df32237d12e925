//! What the tests of this crate share: a drawing with everything, and ezdxf.

#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod ezdxf;
pub mod gdal;
pub mod sample;
pub mod tags;

use std::path::PathBuf;

pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
