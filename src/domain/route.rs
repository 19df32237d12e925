//! Choosing the engine, the format and the root file. Pure: works on names only.
//!
//! 1. [`targets`] resolves FORMAT: as an extension first, then as an engine's own format id. Both
//!    may match several targets, which are returned in order of preference.
//! 2. [`choose_root`] selects the file of an archive to convert.
//! 3. [`choose`] takes the first target whose engine reads that file.

use super::failure::{Failure, FailureCode};
use super::format::{EngineFormats, SIDECARS, WEAK_INPUTS, extension_of};

/// An engine and one of its output formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The engine's name.
    pub engine: String,
    /// The engine's own id for the format.
    pub format_id: String,
    /// Extension of the output file, without the dot.
    pub extension: String,
}

/// The targets that `format` can mean, best first. `engine` restricts them to one engine.
///
/// # Errors
/// `engine.unknown` and `format.output_unknown`.
pub fn targets(
    format: &str,
    engine: Option<&str>,
    engines: &[EngineFormats],
) -> Result<Vec<Target>, Failure> {
    if let Some(name) = engine
        && !engines.iter().any(|e| e.engine == name)
    {
        let known: Vec<String> = engines.iter().map(|e| e.engine.clone()).collect();
        let message = format!("unknown engine '{name}'; known engines are {}", known.join(", "));
        return Err(Failure::new(FailureCode::EngineUnknown, message).with("engines", known));
    }
    let wanted = format.strip_prefix('.').unwrap_or(format);
    let eligible = || engines.iter().filter(|e| engine.is_none_or(|name| e.engine == name));
    let collect = |matches: &dyn Fn(&str, &str) -> bool| -> Vec<Target> {
        let mut found: Vec<Target> = Vec::new();
        for formats in eligible() {
            // If several formats of one engine share the extension, the first one is used.
            if let Some(output) = formats.outputs.iter().find(|o| matches(&o.id, &o.extension)) {
                found.push(Target {
                    engine: formats.engine.clone(),
                    format_id: output.id.clone(),
                    extension: output.extension.clone(),
                });
            }
        }
        found
    };
    let by_extension = collect(&|_, extension| !wanted.is_empty() && extension.eq_ignore_ascii_case(wanted));
    if !by_extension.is_empty() {
        return Ok(by_extension);
    }
    let by_id = collect(&|id, _| id.eq_ignore_ascii_case(wanted));
    if !by_id.is_empty() {
        return Ok(by_id);
    }
    let message = match engine {
        Some(name) => format!("engine '{name}' cannot write format '{format}'"),
        None => format!("no engine can write format '{format}'"),
    };
    Err(Failure::new(FailureCode::FormatUnknown, message))
}

/// The first target whose engine reads `input_extension`.
///
/// # Errors
/// `format.input_unknown` if no engine reads such files, `format.no_route` if some engine does but
/// none of these writes the target.
pub fn choose(
    targets: &[Target],
    input_extension: &str,
    engines: &[EngineFormats],
) -> Result<Target, Failure> {
    let reads = |name: &str| engines.iter().any(|e| e.engine == name && e.reads(input_extension));
    if let Some(target) = targets.iter().find(|t| reads(&t.engine)) {
        return Ok(target.clone());
    }
    let readers: Vec<&EngineFormats> = engines.iter().filter(|e| e.reads(input_extension)).collect();
    let wanted = targets.first().map_or("", |t| t.extension.as_str());
    if readers.is_empty() {
        return Err(unread(input_extension));
    }
    let shown = if input_extension.is_empty() {
        "without a name extension".to_owned()
    } else {
        format!("named .{input_extension}")
    };
    let mut possible: Vec<String> =
        readers.iter().flat_map(|e| e.outputs.iter().map(|o| o.extension.clone())).collect();
    possible.sort();
    possible.dedup();
    let message =
        format!("no engine converts files {shown} to {wanted}; they can become {}", possible.join(", "));
    Err(Failure::new(FailureCode::FormatNoRoute, message).with("possible", possible))
}

/// Extensions of archives that are not read.
const OTHER_ARCHIVES: &[&str] =
    &["7z", "arj", "bz2", "cab", "gz", "lz", "lzh", "rar", "tar", "tbz2", "tgz", "txz", "xz", "zst"];

/// The failure for a file that no engine reads, by its extension.
pub fn unread(extension: &str) -> Failure {
    let message = match extension {
        "" => "no engine is known to read files without a name extension".to_owned(),
        "zip" => "the file is named .zip, but does not begin as a zip archive: it is damaged, one part of several, or something was put before it".to_owned(),
        _ if OTHER_ARCHIVES.contains(&extension) => {
            format!("archives named .{extension} are not read: make a zip archive of the files")
        }
        _ => format!("no engine is known to read files named .{extension}"),
    };
    Failure::new(FailureCode::InputFormatUnknown, message)
}

/// The file of an archive to convert, as its name in the archive.
///
/// Files in `__MACOSX`, hidden files and sidecars ([`SIDECARS`]) are ignored. Of the rest, the
/// files that an engine of `targets` reads are candidates; a directory named `*.gdb` counts as one.
/// If there is exactly one candidate, it is the root; weak candidates ([`WEAK_INPUTS`]) count only
/// if there is no other.
///
pub fn choose_root(names: &[&str], targets: &[Target], engines: &[EngineFormats]) -> Result<String, Failure> {
    let targeted: Vec<EngineFormats> =
        engines.iter().filter(|e| targets.iter().any(|t| t.engine == e.engine)).cloned().collect();
    let (strong, weak) = candidates(names, &targeted);
    let found = if strong.is_empty() { weak } else { strong };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(no_root(names, targets, engines)),
        many => {
            let shown: Vec<&str> = many.iter().take(20).map(String::as_str).collect();
            let more = if many.len() > 20 { format!(" and {} more", many.len() - 20) } else { String::new() };
            let message = format!(
                "the archive has {} files that could be converted: {}{more}",
                many.len(),
                shown.join(", ")
            );
            Err(Failure::new(FailureCode::RootAmbiguous, message).with("candidates", many.to_vec()))
        }
    }
}

fn no_root(names: &[&str], targets: &[Target], engines: &[EngineFormats]) -> Failure {
    let (strong, weak) = candidates(names, engines);
    if let Some(other) = strong.first().or(weak.first())
        && let Err(failure) = choose(targets, &extension_of(other), engines)
    {
        return failure;
    }
    let archives = archives(names);
    let files = names.iter().filter(|n| !n.ends_with('/')).count();
    let message = match archives.as_slice() {
        [] => format!("none of the {files} files in the archive has a known input format"),
        archives => {
            let shown = archives.iter().take(20).copied().collect::<Vec<_>>().join(", ");
            format!("the archive has no file of a known input format, but other archives: {shown}")
        }
    };
    Failure::new(FailureCode::RootNotFound, message)
}

/// The zip archives among the files of an archive, by their names.
pub fn archives<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| extension_of(name) == "zip" && !ignored(name)).collect()
}

/// Strong and weak candidates ([`WEAK_INPUTS`]) among the names of an archive, sorted: the files that
/// one of the engines reads, as for [`choose_root`].
pub fn candidates(names: &[&str], engines: &[EngineFormats]) -> (Vec<String>, Vec<String>) {
    let mut strong = Vec::new();
    let mut weak = Vec::new();
    for &name in names {
        let (name, inside) = match geodatabase_prefix(name) {
            Some(prefix) => (prefix, true),
            None => (name, false),
        };
        if name.ends_with('/') || ignored(name) {
            continue;
        }
        let extension = extension_of(name);
        let listed = if WEAK_INPUTS.contains(&extension.as_str()) { &mut weak } else { &mut strong };
        let is_sidecar = SIDECARS.contains(&extension.as_str());
        let is_known = engines.iter().any(|e| e.reads(&extension));
        if is_known && !is_sidecar && !(inside && listed.iter().any(|c| c == name)) {
            listed.push(name.to_owned());
        }
    }
    strong.sort();
    weak.sort();
    (strong, weak)
}

/// For a file inside a file geodatabase, such as `roads.gdb/a0001.gdbtable`, the path of the
/// geodatabase.
fn geodatabase_prefix(name: &str) -> Option<&str> {
    let lower = name.to_ascii_lowercase();
    lower.find(".gdb/").filter(|&at| at > 0).map(|at| &name[..at + 4])
}

fn ignored(name: &str) -> bool {
    name.split('/').any(|part| part == "__MACOSX" || part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines() -> Vec<EngineFormats> {
        EngineFormats::built_in()
    }

    fn route(format: &str, extension: &str) -> Result<(String, String), FailureCode> {
        let engines = engines();
        let targets = targets(format, None, &engines).map_err(|f| f.code)?;
        let target = choose(&targets, extension, &engines).map_err(|f| f.code)?;
        Ok((target.engine, target.format_id))
    }

    #[test]
    fn default_routes() {
        let ok = |engine: &str, id: &str| Ok((engine.to_owned(), id.to_owned()));
        assert_eq!(route("dxf", "shp"), ok("gdal", "DXF"));
        assert_eq!(route("DXF", "gpkg"), ok("gdal", "DXF"));
        assert_eq!(route(".stl", "obj"), ok("assimp", "stl"));
        assert_eq!(route("stlb", "obj"), ok("assimp", "stlb"));
        assert_eq!(route("glb", "obj"), ok("assimp", "glb2"));
        assert_eq!(route("GLB2", "obj"), ok("assimp", "glb2"));
        assert_eq!(route("stp", "ply"), ok("assimp", "stp"));
        assert_eq!(route("step", "ply"), ok("assimp", "stp"));
        assert_eq!(route("step", "igs"), ok("occt", "step"));
        assert_eq!(route("glb", "stp"), ok("occt", "glb"));
        assert_eq!(route("stl", "brep"), ok("occt", "stl"));
        assert_eq!(route("dae", "step"), Err(FailureCode::FormatNoRoute));
        assert_eq!(route("esri shapefile", "geojson"), ok("gdal", "ESRI Shapefile"));
        // Both engines write .json and both read .dxf; the one that reads the input is chosen.
        assert_eq!(route("json", "obj"), ok("assimp", "assjson"));
        assert_eq!(route("json", "shp"), ok("gdal", "GeoJSON"));
    }

    #[test]
    fn routes_that_are_not() {
        assert_eq!(route("dxf", "obj"), Err(FailureCode::FormatNoRoute));
        assert_eq!(route("glb", "shp"), Err(FailureCode::FormatNoRoute));
        assert_eq!(route("dwg", "shp"), Err(FailureCode::FormatUnknown));
        assert_eq!(route("", "shp"), Err(FailureCode::FormatUnknown));
        assert_eq!(route("dxf", "sldprt"), Err(FailureCode::InputFormatUnknown));
        let engines = engines();
        assert_eq!(targets("dxf", Some("nothing"), &engines).unwrap_err().code, FailureCode::EngineUnknown);
        assert_eq!(targets("dxf", Some("assimp"), &engines).unwrap_err().code, FailureCode::FormatUnknown);
    }

    fn root(format: &str, names: &[&str]) -> Result<String, Failure> {
        let engines = engines();
        let targets = targets(format, None, &engines).unwrap();
        choose_root(names, &targets, &engines)
    }

    #[test]
    fn one_known_file_is_the_root() {
        let shapefile = ["a/", "a/roads.shp", "a/roads.dbf", "a/roads.shx", "a/roads.prj", "a/README.txt"];
        assert_eq!(root("dxf", &shapefile).unwrap(), "a/roads.shp");
        let model = ["m/Model.OBJ", "m/model.mtl", "m/tex.png", "__MACOSX/m/._Model.OBJ", "m/.DS_Store"];
        assert_eq!(root("glb", &model).unwrap(), "m/Model.OBJ");
        // Only files that can be converted to the target are candidates.
        assert_eq!(root("glb", &["plan.shp", "house.obj"]).unwrap(), "house.obj");
    }

    #[test]
    fn weak_inputs_count_only_alone() {
        assert_eq!(root("dxf", &["roads.shp", "meta.json"]).unwrap(), "roads.shp");
        assert_eq!(root("dxf", &["meta.json"]).unwrap(), "meta.json");
    }

    #[test]
    fn a_file_geodatabase_is_one_candidate() {
        let names = ["x/Town.gdb/", "x/Town.gdb/a1.gdbtable", "x/Town.gdb/a1.gdbtablx", "x/Town.gdb/gdb"];
        assert_eq!(root("dxf", &names).unwrap(), "x/Town.gdb");
    }

    #[test]
    fn ambiguity_lists_the_candidates() {
        let failure = root("dxf", &["b.shp", "a.shp", "b.dbf"]).unwrap_err();
        assert_eq!(failure.code, FailureCode::RootAmbiguous);
        assert!(failure.message.contains("a.shp, b.shp"), "{}", failure.message);
    }

    #[test]
    fn no_candidate_says_why() {
        assert_eq!(root("dxf", &["readme.txt"]).unwrap_err().code, FailureCode::RootNotFound);
        assert_eq!(root("dxf", &["house.obj", "house.mtl"]).unwrap_err().code, FailureCode::FormatNoRoute);
    }
}
