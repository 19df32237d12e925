//! The available engines: the built-in ones and those that the operator declares in an engines
//! file.
//!
//! ```toml
//! [[engine]]
//! name = "gdal"                       # replaces the built-in engine of this name
//! kind = "gdal"
//! library = "/opt/gdal/lib/libgdal.so.35"
//! sha256 = "…"                        # optional; checked before the file is loaded
//! data = ["/opt/gdal/share"]          # optional; directories that the library may read
//!
//! [[engine]]
//! name = "vendor"
//! kind = "jvm"
//! library = "/opt/vendor/converter.jar"
//! [engine.jvm]                        # optional; see `jvm::Keys`
//! class_path = ["/opt/vendor/lib/formats.jar"]
//!
//! [[engine]]
//! name = "own"
//! kind = "plugin"                     # a library behind native-sys/include/cadmill_plugin.h
//! library = "/opt/own/libown.so"
//! [engine.plugin]                     # optional
//! inputs = ["own"]                    # if empty, the engine is used only if it is named
//! outputs = [{ id = "step", extension = "stp" }]
//! ```

use crate::engine::jvm;
use crate::engine::plugin;
use crate::engine::protocol::Library;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, EngineKind, OutputFormat};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One engine.
///
/// - `name` contains lower-case letters, digits and hyphens only.
/// - The path of the library, if given, is absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// The name that `--engine` takes.
    pub name: String,
    /// How it is bound.
    pub kind: EngineKind,
    /// The library behind it. That of `assimp-jvm` and `occt` is located on first use: most commands
    /// do not need it.
    library: OnceLock<Library>,
    /// What a converter in Java or a plugin reads and writes: the table does not contain it.
    declared: Option<EngineFormats>,
}

impl Engine {
    fn built_in(kind: EngineKind) -> Self {
        Self {
            name: kind.as_str().to_owned(),
            kind,
            library: Library { kind, ..Library::of_nothing() }.into(),
            declared: None,
        }
    }

    /// Assimp through its jar. It is used only if it is named.
    fn assimp_jvm() -> Self {
        Self {
            name: jvm::ASSIMP.to_owned(),
            kind: EngineKind::Jvm,
            library: OnceLock::new(),
            declared: Some(EngineFormats::of_kind(jvm::ASSIMP, EngineKind::Assimp)),
        }
    }

    /// OpenCASCADE through its plugin.
    fn occt(formats: EngineFormats) -> Self {
        Self {
            name: plugin::OCCT.to_owned(),
            kind: EngineKind::Plugin,
            library: OnceLock::new(),
            declared: Some(formats),
        }
    }

    /// The library behind it.
    pub fn library(&self) -> &Library {
        self.library.get_or_init(if self.kind == EngineKind::Plugin { plugin::occt } else { jvm::assimp })
    }

    /// What the engine reads and writes, according to the table.
    pub fn formats(&self) -> EngineFormats {
        match &self.declared {
            Some(formats) => EngineFormats { engine: self.name.clone(), ..formats.clone() },
            None => EngineFormats::of_kind(&self.name, self.kind),
        }
    }
}

/// All engines, in the order in which a default is chosen.
#[derive(Debug, Clone)]
pub struct Engines {
    engines: Vec<Engine>,
}

impl Default for Engines {
    fn default() -> Self {
        let native = EngineFormats::built_in().into_iter().map(|formats| match formats.engine.as_str() {
            plugin::OCCT => Engine::occt(formats),
            name if name == EngineKind::Gdal.as_str() => Engine::built_in(EngineKind::Gdal),
            _ => Engine::built_in(EngineKind::Assimp),
        });
        Self { engines: native.chain([Engine::assimp_jvm()]).collect() }
    }
}

/// Whether an engine can have this name: lower-case letters, digits and hyphens, at least one of them.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    engine: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: EngineKind,
    library: Option<PathBuf>,
    sha256: Option<String>,
    #[serde(default)]
    data: Vec<PathBuf>,
    #[serde(default)]
    needs: Vec<PathBuf>,
    jvm: Option<jvm::Keys>,
    plugin: Option<PluginKeys>,
}

/// The table `plugin` of an engine in an engines file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginKeys {
    /// Extensions that it reads. If empty, the engine is used only if it is named.
    #[serde(default)]
    inputs: Vec<String>,
    /// Formats that it writes. If empty, the plugin is asked each time.
    #[serde(default)]
    outputs: Vec<OutputFormat>,
}

impl Engines {
    /// The built-in engines, and those of the file if there is one.
    ///
    /// # Errors
    /// As for [`Engines::from_file`].
    pub fn with(file: Option<&Path>) -> Result<Self, Failure> {
        file.map_or_else(|| Ok(Self::default()), Self::from_file)
    }

    /// The built-in engines and those of the file.
    ///
    /// # Errors
    /// `usage.engines_file`, with the position in the file.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let fail = |text: String| {
            Failure::new(FailureCode::UsageEnginesFile, format!("engines file {}: {text}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        Self::parse(&text).map_err(fail)
    }

    /// The built-in engines and those of this text, which an engines file would contain.
    ///
    /// # Errors
    /// `usage.engines_file`, with the position in the text.
    pub fn from_text(text: &str) -> Result<Self, Failure> {
        Self::parse(text).map_err(|text| Failure::new(FailureCode::UsageEnginesFile, text))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let mut engines = Self::default();
        let mut seen = Vec::new();
        for entry in file.engine {
            if seen.contains(&entry.name) {
                return Err(format!("engine '{}' is declared twice", entry.name));
            }
            seen.push(entry.name.clone());
            let engine = entry.checked()?;
            match engines.engines.iter_mut().find(|e| e.name == engine.name) {
                Some(existing) => *existing = engine,
                None => engines.engines.push(engine),
            }
        }
        Ok(engines)
    }

    /// The engine with this name.
    pub fn get(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| e.name == name)
    }

    /// All engines.
    pub fn iter(&self) -> impl Iterator<Item = &Engine> {
        self.engines.iter()
    }

    /// What every engine reads and writes, according to the table.
    pub fn formats(&self) -> Vec<EngineFormats> {
        self.engines.iter().map(Engine::formats).collect()
    }
}

impl Entry {
    fn checked(self) -> Result<Engine, String> {
        let name = &self.name;
        if !is_name(name) {
            return Err(format!(
                "engine '{name}': a name must consist of lower-case letters, digits and hyphens"
            ));
        }
        if self.library.as_ref().is_some_and(|p| !p.is_absolute()) {
            return Err(format!("engine '{name}': `library` must be an absolute path"));
        }
        if self.needs.iter().any(|p| !p.is_absolute()) {
            return Err(format!("engine '{name}': `needs` must be absolute paths of libraries"));
        }
        if self.data.iter().any(|p| !p.is_absolute() || p.parent().is_none()) {
            return Err(format!(
                "engine '{name}': `data` must be absolute paths of directories below the root"
            ));
        }
        let sha256 = self.sha256.map(|s| s.to_ascii_lowercase());
        if let Some(pin) = &sha256 {
            if pin.len() != 64 || !pin.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(format!("engine '{name}': `sha256` must be 64 hexadecimal digits"));
            }
            if self.library.is_none() {
                return Err(format!(
                    "engine '{name}': a pinned engine needs `library`, the file that is pinned"
                ));
            }
        }
        let fail = |text: &str| Err(format!("engine '{name}': {text}"));
        let (jvm, declared) = match (self.kind, &self.library) {
            (EngineKind::Jvm, library) => {
                let keys = self.jvm.unwrap_or_default();
                if let Some(mistake) = keys.mistake(library.as_deref()) {
                    return fail(&mistake);
                }
                let (jvm, formats) = keys.into_jvm(library.as_deref().unwrap_or(Path::new("")));
                (Some(Box::new(jvm)), Some(formats))
            }
            _ if self.jvm.is_some() => return fail("`jvm` is allowed for the kind jvm only"),
            (EngineKind::Plugin, None) => return fail("a plugin needs `library`, its file"),
            (EngineKind::Plugin, Some(_)) => {
                let PluginKeys { inputs, outputs } = self.plugin.unwrap_or_default();
                (None, Some(EngineFormats { engine: String::new(), inputs, outputs }))
            }
            _ if self.plugin.is_some() => return fail("`plugin` is allowed for the kind plugin only"),
            _ => (None, None),
        };
        let library = Library {
            kind: self.kind,
            path: self.library,
            sha256,
            seal: None,
            data: self.data,
            needs: self.needs,
            jvm,
        };
        Ok(Engine { name: self.name, kind: self.kind, library: library.into(), declared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_engines_are_values_of_the_metrics() {
        let known = cadmill_core::metrics::known_engines();
        let built_in = Engines::default();
        let names: Vec<&str> = built_in.iter().map(|engine| engine.name.as_str()).chain(["other"]).collect();
        assert_eq!(names, known);
    }

    #[test]
    fn a_declared_engine_is_added_or_replaces_the_built_in_one() {
        let pin = "AB".repeat(32);
        let engines = Engines::parse(&format!(
            "[[engine]]\nname='gdal'\nkind='gdal'\nlibrary='/opt/libgdal.so'\nsha256='{pin}'\n[[engine]]\nname='assimp-6'\nkind='assimp'\n"
        ))
        .unwrap();
        assert_eq!(
            engines.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
            ["gdal", "occt", "assimp", "assimp-jvm", "assimp-6"]
        );
        assert_eq!(
            engines.get("gdal").unwrap().library().sha256.as_deref(),
            Some(pin.to_lowercase().as_str())
        );
        assert_eq!(engines.get("assimp").unwrap().library().path, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("[[engine]]\nname='x'", "kind"),
            ("[[engine]]\nname='x'\nkind='occt'", "occt"),
            ("[[engine]]\nname='x'\nkind='gdal'\nlibary='/x'", "libary"),
            ("[[engine]]\nname='X y'\nkind='gdal'", "lower-case"),
            ("[[engine]]\nname='x'\nkind='gdal'\nlibrary='x.so'", "absolute"),
            ("[[engine]]\nname='x'\nkind='gdal'\nlibrary='/x.so'\nsha256='12'", "64"),
            ("[[engine]]\nname='x'\nkind='gdal'\ndata=['share']", "absolute"),
            ("[[engine]]\nname='x'\nkind='gdal'\nneeds=['liby.so']", "absolute"),
            ("[[engine]]\nname='x'\nkind='gdal'\n[engine.jvm]\nheap_mib=64", "kind jvm"),
            ("[[engine]]\nname='x'\nkind='jvm'", "the jar"),
            ("[[engine]]\nname='x'\nkind='plugin'", "needs `library`"),
            ("[[engine]]\nname='x'\nkind='gdal'\n[engine.plugin]\ninputs=['x']", "kind plugin"),
            ("[[engine]]\nname='x'\nkind='plugin'\nlibrary='/x.so'\n[engine.jvm]\nheap_mib=64", "kind jvm"),
            ("[[engine]]\nname='x'\nkind='plugin'\nlibrary='/x.so'\n[engine.plugin]\ninput=['x']", "input"),
            ("[[engine]]\nname='x'\nkind='jvm'\nlibrary='/x.jar'\n[engine.jvm]\nheap=64", "heap"),
            ("[[engine]]\nname='x'\nkind='jvm'\nlibrary='/x.jar'\n[engine.jvm]\nheap_mib=1", "between"),
            ("[[engine]]\nname='x'\nkind='jvm'\nlibrary='/x.jar'\n[engine.jvm]\nnatives='n'", "absolute"),
            ("[[engine]]\nname='x'\nkind='jvm'\nlibrary='/x:y.jar'", "colon"),
            ("[[engine]]\nname='x'\nkind='gdal'\ndata=['/']", "below the root"),
            ("[[engine]]\nname='x'\nkind='gdal'\n[[engine]]\nname='x'\nkind='gdal'", "twice"),
            (
                "[[engine]]\nname='x'\nkind='gdal'\nsha256='0000000000000000000000000000000000000000000000000000000000000000'",
                "library",
            ),
        ] {
            let error = Engines::parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
