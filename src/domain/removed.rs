//! Names of files that an engine has removed. The engine host moves them aside, and they are kept until
//! the workspace is destroyed.

/// Prefix of the names of removed files and directories; a process id and a number follow.
pub const PREFIX: &str = ".cadmill-removed-";

/// Whether a file with this name was removed by an engine.
#[must_use]
pub fn is_removed(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}
