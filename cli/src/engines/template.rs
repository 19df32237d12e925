//! The files of a plugin to begin with, in each language. They are those of `native-sys/plugins/templates`,
//! the header and the crate `cadmill-plugin`, as they were when this program was built: what is written
//! fits this version of the interface.

use crate::args::Language;

/// A template of the repository.
macro_rules! template {
    ($name:literal) => {
        include_str!(concat!("../../../native-sys/plugins/templates/", $name))
    };
}

/// A source file of the crate `cadmill-plugin`: its path in the plugin and its content.
macro_rules! library {
    ($($name:literal),+) => {
        [$((concat!("cadmill-plugin/src/", $name), include_str!(concat!("../../../crates/plugin/src/", $name)))),+]
    };
}

const HEADER: (&str, &str) =
    ("cadmill_plugin.h", include_str!("../../../native-sys/include/cadmill_plugin.h"));
const EXPORTS: (&str, &str) = ("exports.map", template!("exports.map"));

/// What differs between the languages.
pub(super) struct Template {
    /// Paths below the new directory and what the files have, with marks.
    files: Vec<(&'static str, &'static str)>,
    /// The file that has the plugin.
    source: &'static str,
    /// The command that builds it, in the new directory.
    build: &'static str,
    /// The library that this makes, with a mark.
    library: &'static str,
    /// What the other files are for, and under which licence all of them are.
    places: &'static str,
    licence: &'static str,
}

impl Template {
    pub(super) fn of(language: Language) -> Self {
        match language {
            Language::C => Self {
                files: vec![
                    ("plugin.c", template!("c/plugin.c")),
                    ("Makefile", template!("c/Makefile")),
                    HEADER,
                    EXPORTS,
                ],
                source: "plugin.c",
                build: "make",
                library: "lib@NAME@.so",
                places: template!("c/where.md"),
                licence: template!("c/licence.md"),
            },
            Language::Cpp => Self {
                files: vec![
                    ("plugin.cpp", template!("cpp/plugin.cpp")),
                    ("CMakeLists.txt", template!("cpp/CMakeLists.txt")),
                    HEADER,
                    EXPORTS,
                ],
                source: "plugin.cpp",
                build: "cmake -B build && cmake --build build",
                library: "build/lib@NAME@.so",
                places: template!("cpp/where.md"),
                licence: template!("c/licence.md"),
            },
            Language::Rust => Self {
                files: rust(),
                source: "src/lib.rs",
                build: "cargo build --release",
                // Cargo has no hyphens in names of libraries, and no package whose name begins with a digit.
                library: "target/release/libplugin_@NAME_@.so",
                places: template!("rust/where.md"),
                licence: template!("rust/licence.md"),
            },
        }
    }

    /// The command that builds the library.
    pub(super) fn build(&self) -> &'static str {
        self.build
    }

    /// The library that the command makes, below the new directory.
    pub(super) fn library(&self, name: &str) -> String {
        marked(self.library, name)
    }

    /// Paths below the new directory and contents.
    pub(super) fn files(&self, name: &str) -> Vec<(&'static str, String)> {
        let readme = template!("README.md")
            .replace("@WHERE@", self.places.trim_end())
            .replace("@LICENCE@", self.licence.trim_end())
            .replace("@SOURCE@", self.source)
            .replace("@BUILD@", self.build)
            .replace("@LIBRARY@", self.library);
        let files = self.files.iter().map(|(path, content)| (*path, marked(content, name)));
        let more = [("README.md", marked(&readme, name)), ("sample.xyz", template!("sample.xyz").to_owned())];
        files.chain(more).collect()
    }
}

fn rust() -> Vec<(&'static str, &'static str)> {
    let own = [
        ("src/lib.rs", template!("rust/plugin.rs")),
        ("Cargo.toml", template!("rust/Cargo.toml.in")),
        ("cadmill-plugin/Cargo.toml", template!("rust/library.toml.in")),
        ("cadmill-plugin/LICENSE-MIT", include_str!("../../../LICENSE-MIT")),
        ("cadmill-plugin/LICENSE-APACHE", include_str!("../../../LICENSE-APACHE")),
    ];
    let library = library!(
        "lib.rs",
        "abi.rs",
        "description.rs",
        "error.rs",
        "host.rs",
        "plugin.rs",
        "private.rs",
        "request.rs"
    );
    own.into_iter().chain(library).collect()
}

/// The text with the name and the versions in the places that are marked for them.
fn marked(text: &str, name: &str) -> String {
    text.replace("@NAME@", name)
        .replace("@NAME_@", &name.replace('-', "_"))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@RUST@", env!("CARGO_PKG_RUST_VERSION"))
}
