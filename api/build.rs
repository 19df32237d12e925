//! Embeds the page that `make page` builds into `page/dist`. Without it the program has a page that says
//! how to build it, so that cargo needs no Node.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The whole directory: `dist` may appear and disappear.
    println!("cargo:rerun-if-changed=page");
    let page = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("page");
    let dist = page.join("dist");
    let files = if dist.join("index.html").is_file() { built(&dist) } else { unbuilt(&page) };
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("page.rs");
    fs::write(&out, files).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}

/// The table of all files, each with its compressed copy.
fn built(dist: &Path) -> String {
    let assets = fs::read_dir(dist.join("assets")).unwrap_or_else(|e| panic!("page/dist/assets: {e}"));
    let mut files: Vec<PathBuf> = assets.flatten().map(|entry| entry.path()).collect();
    files.push(dist.join("index.html"));
    // The same sources make the same program.
    files.sort();
    let mut table = "static FILES: &[File] = &[\n".to_owned();
    for path in files.iter().filter(|path| path.extension().is_none_or(|extension| extension != "gz")) {
        let gzip = path.with_extension(format!("{}.gz", path.extension().unwrap_or_default().display()));
        let name = path.file_name().unwrap_or_default();
        let _ = writeln!(
            table,
            "    File {{ name: {:?}, plain: include_bytes!({path:?}), gzip: Some(include_bytes!({gzip:?})) }},",
            name.display().to_string()
        );
    }
    table + "];\nconst IS_BUILT: bool = true;\n"
}

fn unbuilt(page: &Path) -> String {
    let path = page.join("unbuilt.html");
    format!(
        "static FILES: &[File] = &[File {{ name: \"index.html\", plain: include_bytes!({path:?}), gzip: None }}];\n\
         const IS_BUILT: bool = false;\n"
    )
}
