//! The engines: one module a library.

pub(crate) mod assimp;
pub(crate) mod gdal;
