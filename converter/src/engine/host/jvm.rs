//! What the host makes of an engine in Java: the setting of its JVM.

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

/// Half of the cap: the other half is for the library below and for the JVM itself. The
/// heap takes what it uses, so that a library may have more if the heap has less.
#[cfg(feature = "jvm")]
fn default_heap(memory_bytes: u64) -> u64 {
    memory_bytes / 2
}

/// Refused before anything of Java is looked for: no installation would help.
#[cfg(not(feature = "jvm"))]
pub(crate) fn load(
    _request: &EngineRequest,
    _before: &mut dyn FnMut(),
) -> Result<Box<dyn Engine>, LoadError> {
    Err(LoadError::NotBuilt { feature: "jvm", what: "engines in Java" })
}
