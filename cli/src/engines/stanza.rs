//! The stanza of an engines file for one library.

use crate::args::LibraryArgs;
use cadmill_converter::conversion::Description;
use cadmill_converter::digest;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A library as an engines file declares it.
#[derive(Debug)]
pub(super) struct Stanza {
    name: String,
    jar: bool,
    library: PathBuf,
    sha256: String,
    data: Vec<PathBuf>,
    needs: Vec<PathBuf>,
    natives: Option<PathBuf>,
}

impl Stanza {
    /// Reads the library's digest.
    ///
    /// # Errors
    /// `engine.library_missing` if the file cannot be read, `usage.invalid` for a name.
    pub(super) fn new(args: &LibraryArgs, name: Option<&str>) -> Result<Self, Failure> {
        let library = absolute(&args.path)?;
        let failed = |e: std::io::Error| {
            Failure::new(FailureCode::EngineLibraryMissing, format!("cannot read {}: {e}", library.display()))
        };
        let sha256 = digest::sha256(File::open(&library).map_err(failed)?).map_err(failed)?;
        let all = |paths: &[PathBuf]| paths.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            name: name.map_or_else(|| from_file(&library), str::to_owned),
            jar: args.jar,
            library,
            sha256,
            data: all(&args.data)?,
            needs: all(&args.needs)?,
            natives: args.natives.as_deref().map(absolute).transpose()?,
        })
    }

    /// The engine's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As text of an engines file. `description` gives the formats for which the engine is used without
    /// being named; without it, it has to be named.
    pub(super) fn text(&self, description: Option<&Description>) -> String {
        let kind = if self.jar { "jvm" } else { "plugin" };
        let list = |paths: &[PathBuf]| paths.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(", ");
        let mut stanza = format!(
            "[[engine]]\nname = \"{}\"\nkind = \"{kind}\"\nlibrary = {}\nsha256 = \"{}\"\n",
            self.name,
            quoted(&self.library),
            self.sha256
        );
        if !self.data.is_empty() {
            let _ = writeln!(stanza, "data = [{}]", list(&self.data));
        }
        if !self.needs.is_empty() && !self.jar {
            let _ = writeln!(stanza, "needs = [{}]", list(&self.needs));
        }
        let mut keys = String::new();
        if self.jar && !self.needs.is_empty() {
            let _ = writeln!(keys, "class_path = [{}]", list(&self.needs));
        }
        if let Some(natives) = &self.natives {
            let _ = writeln!(keys, "natives = {}", quoted(natives));
        }
        if let Some(description) = description {
            let inputs: Vec<String> = description.inputs.iter().map(|input| text(input)).collect();
            let outputs: Vec<String> = description
                .outputs
                .iter()
                .map(|(id, extension)| format!("{{ id = {}, extension = {} }}", text(id), text(extension)))
                .collect();
            let _ = writeln!(keys, "inputs = [{}]", inputs.join(", "));
            let _ = writeln!(keys, "outputs = [\n  {},\n]", outputs.join(",\n  "));
        }
        if !keys.is_empty() {
            let _ = write!(stanza, "[engine.{kind}]\n{keys}");
        }
        stanza
    }
}

/// A path with symbolic links resolved: the stanza's pin is that of the file itself.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|e| {
        Failure::new(FailureCode::EngineLibraryMissing, format!("cannot read {}: {e}", path.display()))
    })
}

/// A TOML string: one of JSON is one of TOML as well.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// `libvendor-step.so.2` is `vendor-step`.
fn from_file(library: &Path) -> String {
    let name = library.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.split('.').next().unwrap_or_default();
    let name = name.strip_prefix("lib").filter(|rest| !rest.is_empty()).unwrap_or(name);
    let kept = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    name.chars().map(kept).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_converter::engine::registry::Engines;
    use cadmill_converter::engine::supervisor::Identity;

    #[test]
    fn an_engine_is_named_after_its_file() {
        for (file, name) in [
            ("/x/libpoints.so", "points"),
            ("/x/libVendor_STEP.so.2.1", "vendor-step"),
            ("/x/converter.jar", "converter"),
            ("/x/lib.so", "lib"),
        ] {
            assert_eq!(from_file(Path::new(file)), name);
        }
    }

    #[test]
    fn the_text_is_an_engines_file() {
        let stanza = |jar| Stanza {
            name: "own".to_owned(),
            jar,
            library: "/opt/a \"b\"/lib\u{1}.so".into(),
            sha256: "ab".repeat(32),
            data: vec!["/opt/data".into()],
            needs: vec!["/opt/other".into()],
            natives: jar.then(|| "/opt/natives".into()),
        };
        let description = Description {
            identity: Identity::default(),
            inputs: vec!["own".to_owned()],
            outputs: vec![("own2".to_owned(), "o2".to_owned()), ("plain".to_owned(), String::new())],
            options: Vec::new(),
        };
        for (jar, described) in
            [(false, Some(&description)), (false, None), (true, Some(&description)), (true, None)]
        {
            let text = stanza(jar).text(described);
            let engines = Engines::from_text(&text).unwrap_or_else(|failure| panic!("{failure:?}: {text}"));
            let engine = engines.get("own").unwrap();
            assert_eq!(engine.formats().inputs.is_empty(), described.is_none(), "{text}");
            assert_eq!(engine.library().path.as_deref(), Some(Path::new("/opt/a \"b\"/lib\u{1}.so")));
        }
    }
}
