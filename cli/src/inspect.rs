//! `cadmill inspect`: what a file contains, without converting it.

use crate::args::InspectArgs;
use crate::{context, error, output, progress, sweep};
use cadmill_converter::conversion::inspect::{self, Archive, Inspected, Inspection, InspectionRequest};
use cadmill_converter::engine::supervisor::clean;
use cadmill_core::domain::contents::{Contents, Layer, Reference, Scene};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::limits::{ArchiveLimits, Caps, display_size};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;

/// Names that the text shows of a long list; the JSON has all.
const SHOWN: usize = 20;

pub(crate) fn run(args: &InspectArgs) -> ExitCode {
    let inspection = match inspect(args) {
        Ok(inspection) => inspection,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    if args.json {
        output::result(&format!("{:#}", as_json(&inspection)));
    } else {
        output::result(as_text(&inspection).trim_end());
    }
    // What could not be read is in the result, and the exit code tells of the first.
    match inspection.files.iter().find_map(|file| file.contents.as_ref().err()) {
        Some(failure) => ExitCode::from(failure.code.exit_code()),
        None => ExitCode::SUCCESS,
    }
}

fn inspect(args: &InspectArgs) -> Result<Inspection, Failure> {
    let mut setting = context::build(args.engines.engines_file.as_deref())?;
    let cancel = context::cancel_on_signals(&context::Second::Same)?;
    let _private = if args.archive_only {
        None
    } else {
        let (private, _) = context::private(&mut setting, false)?;
        sweep::killed(&setting, None);
        private
    };
    let request = InspectionRequest {
        engine: args.engine.clone(),
        root: args.root.clone(),
        options: args.options.clone(),
        caps: Caps { memory_bytes: args.memory, time: args.timeout, ..Caps::default() },
        archive: ArchiveLimits {
            entries: args.max_entries,
            expanded_bytes: args.max_expanded,
            ..ArchiveLimits::default()
        },
        archive_only: args.archive_only,
    };
    inspect::inspect(&request, &args.input, &setting, &cancel)
}

fn as_json(inspection: &Inspection) -> Value {
    json!({
        "input_bytes": inspection.input_bytes,
        "archive": inspection.archive.as_ref().map(archive_json),
        "files": inspection.files.iter().map(file_json).collect::<Vec<_>>(),
        "candidates_total": inspection.candidates_total,
        "cadmill": cadmill_core::BUILD,
    })
}

fn archive_json(archive: &Archive) -> Value {
    let file = |(name, bytes): &(String, u64)| json!({ "name": name, "bytes": bytes });
    json!({
        "entries": archive.entries,
        "expanded_bytes": archive.expanded_bytes,
        "files": archive.files.iter().map(file).collect::<Vec<_>>(),
        "candidates": archive.candidates,
        "weak_candidates": archive.weak_candidates,
        "archives": archive.archives,
        "guessed_names": archive.guessed_names,
    })
}

fn file_json(file: &Inspected) -> Value {
    let mut object = json!({
        "name": file.name,
        "engine": file.engine,
        "library": file.identity.as_ref().map(|identity| &identity.library),
        "version": file.identity.as_ref().map(|identity| &identity.version),
        "warnings": file.warnings.lines,
        "warnings_total": file.warnings.total,
    });
    match &file.contents {
        Ok(contents) => object["contents"] = contents_json(contents),
        Err(failure) => object["error"] = error::error_object(failure),
    }
    object
}

fn contents_json(contents: &Contents) -> Value {
    let counts = |list: &[(String, u64)]| -> Vec<Value> {
        list.iter().map(|(name, features)| json!({ "name": name, "features": features })).collect()
    };
    let layer = |layer: &Layer| {
        let fields = layer.fields.iter().map(|(name, kind)| json!({ "name": name, "type": kind }));
        json!({
            "name": layer.name,
            "geometry": layer.geometry,
            "features": layer.features,
            "geometries": counts(&layer.geometries),
            "drawing_layers": counts(&layer.drawing_layers),
            "drawing_layers_total": layer.drawing_layers_total,
            "fields": fields.collect::<Vec<_>>(),
            "fields_total": layer.fields_total,
            "reference_system": layer.reference_system,
            "extent": layer.extent.map(extent_json),
        })
    };
    json!({
        "driver": contents.driver,
        "encoding": contents.encoding,
        "layers": contents.layers.iter().map(layer).collect::<Vec<_>>(),
        "layers_total": contents.layers_total,
        "scene": contents.scene.as_ref().map(scene_json),
        "references": contents.references,
        "references_total": contents.references_total,
    })
}

fn scene_json(scene: &Scene) -> Value {
    json!({
        "meshes": scene.meshes,
        "vertices": scene.vertices,
        "points": scene.points,
        "lines": scene.lines,
        "triangles": scene.triangles,
        "polygons": scene.polygons,
        "materials": scene.materials,
        "animations": scene.animations,
        "extent": scene.extent.map(extent_json),
    })
}

fn extent_json([least, most]: [[f64; 3]; 2]) -> Value {
    json!({ "least": least, "most": most })
}

fn as_text(inspection: &Inspection) -> String {
    let mut text = String::new();
    if let Some(archive) = &inspection.archive {
        let _ = writeln!(
            text,
            "archive: {} entries, {} expand to {}",
            archive.entries,
            display_size(inspection.input_bytes),
            display_size(archive.expanded_bytes)
        );
        let files: Vec<String> = archive
            .files
            .iter()
            .take(SHOWN)
            .map(|(name, bytes)| format!("{}  {}", clean(name), display_size(*bytes)))
            .collect();
        files.iter().for_each(|line| text += &format!("  {line}\n"));
        text += &more(archive.files.len() as u64, files.len());
        if let Some(line) = &archive.guessed_names {
            let _ = writeln!(text, "{line}");
        }
        for (what, names) in [
            ("could be converted", &archive.candidates),
            ("could be converted if there were nothing else", &archive.weak_candidates),
            ("archives in the archive", &archive.archives),
        ] {
            if !names.is_empty() {
                let _ = writeln!(text, "{what}: {}", list(names.iter().map(String::as_str)));
            }
        }
    }
    for file in &inspection.files {
        text += &file_text(file);
    }
    let unread = inspection.candidates_total.saturating_sub(inspection.files.len() as u64);
    if unread > 0 && !inspection.files.is_empty() {
        let _ = writeln!(text, "\nand {unread} more files, which were not read: --root reads one of them");
    }
    text
}

fn file_text(file: &Inspected) -> String {
    let by = file.identity.as_ref().map(|by| format!(" ({} {})", by.library, by.version)).unwrap_or_default();
    let mut text = format!("\n{}{by}\n", clean(&file.name));
    match &file.contents {
        Ok(contents) => text += &contents_text(contents),
        Err(failure) => {
            let _ = writeln!(text, "  error: {} [{}]", failure.message, failure.code);
            let _ = writeln!(text, "  hint: {}", failure.code.hint());
        }
    }
    for line in progress::warnings(&file.warnings.lines, file.warnings.total) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn contents_text(contents: &Contents) -> String {
    let mut text = String::new();
    if !contents.driver.is_empty() {
        let _ = writeln!(text, "  driver: {}", contents.driver);
    }
    if let Some(encoding) = &contents.encoding {
        let _ = writeln!(text, "  encoding: {encoding}");
    }
    contents.layers.iter().take(SHOWN).for_each(|layer| text += &layer_text(layer));
    text += &more(contents.layers_total, contents.layers.len().min(SHOWN));
    if let Some(scene) = &contents.scene {
        let _ = writeln!(
            text,
            "  scene: {} meshes, {} vertices, {} triangles, {} polygons, {} lines, {} points, {} materials",
            scene.meshes,
            scene.vertices,
            scene.triangles,
            scene.polygons,
            scene.lines,
            scene.points,
            scene.materials
        );
        text += &extent_text(scene.extent);
    }
    let shown = contents.references.iter().take(SHOWN);
    for Reference { name, file } in shown.clone() {
        let _ = match file {
            Some(file) if file == name => writeln!(text, "  refers to {name}"),
            Some(file) => writeln!(text, "  refers to {name}, which is {file}"),
            None => writeln!(text, "  refers to {name}, which is missing"),
        };
    }
    text + &more(contents.references_total, shown.len())
}

fn layer_text(layer: &Layer) -> String {
    let mut text = format!("  layer {}: {}, {} features", layer.name, layer.geometry, layer.features);
    let counts = |list: &[(String, u64)]| {
        let each: Vec<String> = list.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        list_of(&each)
    };
    if layer.geometries.len() > 1 || layer.geometries.iter().any(|(kind, _)| *kind != layer.geometry) {
        let _ = write!(text, ": {}", counts(&layer.geometries));
    }
    text.push('\n');
    if !layer.drawing_layers.is_empty() {
        let _ = writeln!(text, "    on layers: {}", counts(&layer.drawing_layers));
    }
    if !layer.fields.is_empty() {
        let fields: Vec<String> = layer.fields.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let _ = writeln!(text, "    fields: {}", list_of(&fields));
    }
    if let Some(system) = &layer.reference_system {
        let _ = writeln!(text, "    reference system: {system}");
    }
    text + &extent_text(layer.extent)
}

fn extent_text(extent: Option<[[f64; 3]; 2]>) -> String {
    let at = |[x, y, z]: [f64; 3]| format!("{x} {y} {z}");
    extent.map(|[least, most]| format!("    from {} to {}\n", at(least), at(most))).unwrap_or_default()
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    list_of(&names.map(clean).collect::<Vec<_>>())
}

fn list_of(texts: &[String]) -> String {
    let shown = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn more(total: u64, shown: usize) -> String {
    match total.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("  and {more} more, see --json\n"),
    }
}
