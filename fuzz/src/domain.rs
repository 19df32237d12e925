//! The modules of the core that the reader uses.

#[path = "../../src/domain/failure.rs"]
pub mod failure;
#[path = "../../src/domain/limits.rs"]
pub mod limits;
