//! The confinement of the engine process, as an ordered list of steps.
//!
//! Each step is a file. The order matters: a later step may forbid what an
//! earlier one needs, and everything comes before the library is loaded and
//! before any thread exists, because some guards bind only the calling thread
//! and those that it makes.
//!
//! 1. [`descriptors`]: take the two pipes out of the library's reach, close the rest
//! 2. [`environment`]: empty but for three names
//! 3. [`parent`]: die with the supervisor
//! 4. [`limits`]: memory, file size, no core dump
//! 5. [`privileges`]: none can be gained, nobody may look inside
//! 6. file system and system calls: their place is here, after the limits are set
//!    and before [`crash`], which needs one handler only
//! 7. [`crash`]: say what happened when the library crashes
//!
//! This module is also the only place of unsafe code outside `native-sys`.

pub mod crash;
pub mod descriptors;
pub mod environment;
pub mod limits;
pub mod parent;
pub mod privileges;
pub mod reap;

use crate::protocol::Request;

/// A step that could not be put in force. The engine must not run then.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {error}")]
pub struct StepError {
    /// The step's name.
    pub step: &'static str,
    /// The system's reason.
    pub error: std::io::Error,
}

/// Steps 2 to 7. Step 1 came before the request could be read.
///
/// # Errors
/// The step that failed. Nothing is left out in silence.
pub fn enter(request: &Request, channel: &descriptors::Channel) -> Result<(), StepError> {
    let step = |step: &'static str| move |error: std::io::Error| StepError { step, error };
    environment::scrub();
    parent::die_with(request.supervisor).map_err(step("die with the supervisor"))?;
    limits::apply(request.memory_bytes, request.file_bytes).map_err(step("resource limits"))?;
    privileges::drop_all().map_err(step("privileges"))?;
    crash::install(channel.messages_fd()).map_err(step("crash handlers"))?;
    Ok(())
}

/// Ends the process at once with code 0, without running the destructors of the
/// libraries that were loaded.
pub fn leave() -> ! {
    // SAFETY: `_exit` has no conditions. What is skipped, buffers and destructors,
    // belongs to libraries that have closed their files by then.
    unsafe { libc::_exit(0) }
}
