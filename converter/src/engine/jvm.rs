//! Engines that are converters in Java: their keys in an engines file, the search for Java and the
//! jars, and the built-in engine `assimp-jvm`.
//!
//! Nothing is loaded here. The paths are passed to the engine host, which confines itself to them.
//! A missing file is reported by the host, as for any library: an engine that is not used may be
//! incomplete.

use crate::engine::protocol::{Jvm, Library};
use cadmill_core::domain::format::{EngineFormats, EngineKind, OutputFormat};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Environment variables that name the Java installation; the first one that is set is used.
pub const HOME_VARIABLES: [&str; 2] = ["CADMILL_JAVA_HOME", "JAVA_HOME"];

/// Environment variable that names the directory with the jars of the bridge and of `assimp-jvm`.
pub const JARS_VARIABLE: &str = "CADMILL_JARS";

/// Name of the built-in engine.
pub const ASSIMP: &str = "assimp-jvm";

const BRIDGE: &str = "cadmill-bridge.jar";

/// Path of the JVM library inside a Java installation.
pub const LIBJVM: &str = "lib/server/libjvm.so";

/// Directory in which distributions install Java.
const INSTALLATIONS: &str = "/usr/lib/jvm";

/// The table `jvm` of an engine in an engines file. Paths are absolute.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Jars and directories of classes, after the engine's library.
    #[serde(default)]
    class_path: Vec<PathBuf>,
    /// Directory of native libraries.
    natives: Option<PathBuf>,
    /// The converter's class, if the class path has several.
    converter: Option<String>,
    /// Cap on the heap; by default half of the cap on memory.
    heap_mib: Option<u64>,
    /// The Java installation.
    java_home: Option<PathBuf>,
    /// Class data archive.
    class_archive: Option<PathBuf>,
    /// Extensions that it reads. If empty, the engine is used only if it is named.
    #[serde(default)]
    inputs: Vec<String>,
    /// Formats that it writes. If empty, the converter is queried each time.
    #[serde(default)]
    outputs: Vec<OutputFormat>,
}

impl Keys {
    /// The error in these keys, if there is one.
    pub(crate) fn mistake(&self, library: Option<&Path>) -> Option<String> {
        let single = [&self.natives, &self.java_home, &self.class_archive];
        let mut paths = self.class_path.iter().chain(single.into_iter().flatten());
        if library.is_none() {
            return Some("a jvm engine needs `library`, the jar with the converter".to_owned());
        }
        if paths.any(|path| !path.is_absolute() || path.parent().is_none()) {
            return Some(
                "`class_path`, `natives`, `java_home` and `class_archive` must be absolute paths below the root"
                    .to_owned(),
            );
        }
        if self.class_path.iter().chain(library.map(PathBuf::from).iter()).any(|path| has_colon(path)) {
            return Some("a class path cannot hold a path with a colon".to_owned());
        }
        if self.heap_mib.is_some_and(|heap| !(8..=1 << 20).contains(&heap)) {
            return Some("`heap_mib` must be between 8 and 1048576".to_owned());
        }
        None
    }

    /// Converts the keys to the data for the engine host and the row for the table of formats.
    pub(crate) fn into_jvm(self, library: &Path) -> (Jvm, EngineFormats) {
        let (jars, bridge_problem) = split(jars());
        let bridge = jars.unwrap_or_default().join(BRIDGE);
        let (home, home_problem) =
            split(java_home(self.java_home.as_deref(), &|name| std::env::var_os(name)));
        let jvm = Jvm {
            home,
            class_path: [bridge, library.to_owned()].into_iter().chain(self.class_path).collect(),
            natives: self.natives,
            converter: self.converter,
            heap_bytes: self.heap_mib.map(|mib| mib << 20),
            archive: self.class_archive,
            problem: home_problem.or(bridge_problem),
        };
        let formats = EngineFormats { engine: String::new(), inputs: self.inputs, outputs: self.outputs };
        (jvm, formats)
    }
}

fn has_colon(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&b':')
}

/// The library of the built-in engine `assimp-jvm`: Assimp through the jars of LWJGL. Reads the
/// file system.
pub(crate) fn assimp() -> Library {
    let (home, home_problem) = split(java_home(None, &|name| std::env::var_os(name)));
    let (jars, jars_problem) = split(jars());
    let directory = jars.as_ref().map(|jars| jars.join("assimp"));
    let class_path = jars.iter().map(|jars| jars.join(BRIDGE));
    let jvm = Jvm {
        home,
        class_path: class_path.chain(directory.as_deref().map(jars_in).unwrap_or_default()).collect(),
        natives: directory.as_ref().map(|directory| directory.join("natives")),
        converter: None,
        heap_bytes: None,
        archive: directory.map(|directory| directory.join("assimp.jsa")).filter(|archive| archive.is_file()),
        problem: home_problem.or(jars_problem),
    };
    Library {
        kind: EngineKind::Jvm,
        path: jvm.class_path.get(1).cloned(),
        jvm: Some(Box::new(jvm)),
        ..Library::of_nothing()
    }
}

/// Jars of a directory, sorted by name, so that ours come first: the order that the class data
/// archive was built with.
fn jars_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut jars: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    jars.retain(|path| path.extension().is_some_and(|extension| extension == "jar"));
    jars.sort();
    jars
}

fn split<T, E>(result: Result<T, E>) -> (Option<T>, Option<E>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}

/// The directory with the bridge: the configured one, or else the one beside this program, in a
/// build directory or as installed.
fn jars() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(JARS_VARIABLE).map(PathBuf::from) {
        let directory = named.canonicalize().unwrap_or(named);
        return if directory.join(BRIDGE).is_file() {
            Ok(directory)
        } else {
            Err(format!("{JARS_VARIABLE} names {}, which has no {BRIDGE}", directory.display()))
        };
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("/"));
    let places = ["../java", "../lib/cadmill/java", "../../java"].map(|place| beside.join(place));
    let found = places.iter().find(|place| place.join(BRIDGE).is_file());
    found.and_then(|place| place.canonicalize().ok()).ok_or_else(|| {
        format!(
            "the jars of the JVM bridge were not found near {}: run `make setup`, or name their \
             directory in {JARS_VARIABLE}",
            own.display()
        )
    })
}

/// The Java installation: named in the engines file, else in the environment, else the system's. A
/// named one must be a Java installation; no other is tried then.
fn java_home(
    named: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, String> {
    if let Some(home) = named {
        return usable(home).ok_or_else(|| format!("`java_home` names {}, {}", home.display(), no_jvm()));
    }
    for name in HOME_VARIABLES {
        if let Some(home) = environment(name).filter(|home| !home.is_empty()).map(PathBuf::from) {
            return usable(&home).ok_or_else(|| format!("{name} names {}, {}", home.display(), no_jvm()));
        }
    }
    let candidates = system_homes();
    candidates.iter().find_map(|home| usable(home)).ok_or_else(|| {
        format!("no Java was found: install version 17 or later, or name it in {}", HOME_VARIABLES[0])
    })
}

fn no_jvm() -> String {
    format!("which has no {LIBJVM}")
}

fn usable(home: &Path) -> Option<PathBuf> {
    home.join(LIBJVM).is_file().then(|| home.canonicalize().ok()).flatten()
}

/// The installation that `java` resolves to, the distribution's default, then all others, newest
/// last.
fn system_homes() -> Vec<PathBuf> {
    let java = Path::new("/usr/bin/java").canonicalize().ok();
    let behind_java = java.and_then(|java| Some(java.parent()?.parent()?.to_owned()));
    let mut others: Vec<PathBuf> = std::fs::read_dir(INSTALLATIONS)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    others.sort();
    let default = Path::new(INSTALLATIONS).join("default-java");
    behind_java.into_iter().chain([default]).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_taken_or_refused() {
        let fake = tempfile::tempdir().unwrap();
        let home = fake.path().join("jdk");
        std::fs::create_dir_all(home.join("lib/server")).unwrap();
        std::fs::write(home.join(LIBJVM), "").unwrap();
        let nothing = |_: &str| None;
        assert_eq!(java_home(Some(&home), &nothing).unwrap(), home.canonicalize().unwrap());
        let error = java_home(Some(Path::new("/nonexistent")), &nothing).unwrap_err();
        assert!(error.contains("/nonexistent") && error.contains(LIBJVM), "{error}");
        let only = |wanted: &'static str, value: PathBuf| {
            move |name: &str| (name == wanted).then(|| value.clone().into_os_string())
        };
        for name in HOME_VARIABLES {
            assert!(java_home(None, &only(name, home.clone())).is_ok());
            let error = java_home(None, &only(name, PathBuf::from("/nowhere"))).unwrap_err();
            assert!(error.contains(name) && error.contains("/nowhere"), "{error}");
        }
        let both = |name: &str| match name {
            "CADMILL_JAVA_HOME" => Some(home.clone().into_os_string()),
            _ => Some("/nowhere".into()),
        };
        assert!(java_home(None, &both).is_ok(), "ours comes first");
    }

    #[test]
    fn jars_come_by_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["lwjgl-assimp-3.jar", "cadmill-assimp.jar", "lwjgl-3.jar", "assimp.jsa"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let names: Vec<String> = jars_in(directory.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["cadmill-assimp.jar", "lwjgl-3.jar", "lwjgl-assimp-3.jar"]);
    }
}
