//! Prepares the JVM for an engine in Java.

#[cfg(feature = "jvm")]
use cadmill_converter::engine::jvm::LIBJVM;
use cadmill_converter::engine::protocol::EngineRequest;
#[cfg(feature = "jvm")]
use cadmill_converter::engine::protocol::{Task, WHEREVER_IT_IS};
#[cfg(feature = "jvm")]
use cadmill_native_sys::Broken;
use cadmill_native_sys::{Engine, LoadError};
#[cfg(feature = "jvm")]
use std::path::PathBuf;

#[cfg(feature = "jvm")]
pub(crate) fn load(request: &EngineRequest, before: &mut dyn FnMut()) -> Result<Box<dyn Engine>, LoadError> {
    use cadmill_native_sys::{JvmSetting, load_jvm};
    let missing = |text: &str| LoadError::Broken { how: Broken::Missing, text: text.to_owned() };
    let jvm = request.library.jvm.as_deref().ok_or_else(|| missing("the engine has no class path"))?;
    if let Some(problem) = &jvm.problem {
        return Err(missing(problem));
    }
    let home = jvm.home.as_ref().ok_or_else(|| missing("no Java was found"))?;
    let scratch = match &request.task {
        Task::Await { .. } => PathBuf::from(WHEREVER_IT_IS),
        _ => {
            std::env::current_dir().map_err(|e| missing(&format!("no directory for temporary files: {e}")))?
        }
    };
    let setting = JvmSetting {
        libjvm: home.join(LIBJVM),
        class_path: jvm.class_path.clone(),
        natives: jvm.natives.clone(),
        converter: jvm.converter.clone(),
        heap_bytes: jvm.heap_bytes.unwrap_or_else(|| default_heap(request.memory_bytes)),
        archive: jvm.archive.clone(),
        scratch,
    };
    load_jvm(&setting, before)
}

/// Half of the memory cap: the other half is for native libraries and for the JVM itself. The heap
/// takes only what it uses, so a library may have more if the heap has less.
#[cfg(feature = "jvm")]
fn default_heap(memory_bytes: u64) -> u64 {
    memory_bytes / 2
}

/// Fails before it looks for a Java installation: installing one would not help.
#[cfg(not(feature = "jvm"))]
pub(crate) fn load(
    _request: &EngineRequest,
    _before: &mut dyn FnMut(),
) -> Result<Box<dyn Engine>, LoadError> {
    Err(LoadError::NotBuilt { feature: "jvm", what: "engines in Java" })
}
