//! Formats: what each kind of engine reads and writes, and the default engine for a file extension.
//!
//! The tables are static data, so that a route can be chosen without loading a library. They list
//! what the engines of Debian 12 support; a test compares them with the installed libraries.
//! Formats that are not listed still work: the caller then queries the engines and passes the
//! result as [`EngineFormats`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// How an engine's library is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// GDAL/OGR through its C API: GIS and CAD vector data.
    Gdal,
    /// Assimp through its C API: meshes and scenes.
    Assimp,
    /// A Java converter, in a JVM.
    Jvm,
    /// A plugin: a library behind the interface of `cadmill_plugin.h`.
    Plugin,
}

impl EngineKind {
    /// The name of the kind, which is also the name of its built-in engine, if it has one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gdal => "gdal",
            Self::Assimp => "assimp",
            Self::Jvm => "jvm",
            Self::Plugin => "plugin",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An output format of an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFormat {
    /// The engine's own id: an Assimp export id, or an OGR driver's short name.
    pub id: String,
    /// File extension, lower case, without a dot. Empty if the engine names none.
    pub extension: String,
}

/// The input and output formats of one engine.
///
/// - Extensions are lower case, without a dot.
/// - The order of `outputs` is the order of preference among formats that share
///   an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFormats {
    /// The engine's name, as `--engine` takes it.
    pub engine: String,
    /// Extensions of the files it reads.
    pub inputs: Vec<String>,
    /// Formats it writes.
    pub outputs: Vec<OutputFormat>,
}

impl EngineFormats {
    /// The formats in the table for the engine `name` of this kind.
    pub fn of_kind(name: &str, kind: EngineKind) -> Self {
        let (inputs, outputs): (&[&str], &[(&str, &str)]) = match kind {
            EngineKind::Gdal => (GDAL_INPUTS, GDAL_OUTPUTS),
            EngineKind::Assimp => (ASSIMP_INPUTS, ASSIMP_OUTPUTS),
            // Every converter is different: its formats come from the engines file or from the
            // converter itself.
            EngineKind::Jvm | EngineKind::Plugin => (&[], &[]),
        };
        Self::of_tables(name, inputs, outputs)
    }

    /// The formats in the table of the engines that are built in and native, in the order in which a
    /// default is chosen.
    pub fn built_in() -> Vec<Self> {
        let [gdal, assimp] =
            [EngineKind::Gdal, EngineKind::Assimp].map(|kind| Self::of_kind(kind.as_str(), kind));
        vec![gdal, Self::of_tables(OCCT, OCCT_INPUTS, OCCT_OUTPUTS), assimp]
    }

    fn of_tables(name: &str, inputs: &[&str], outputs: &[(&str, &str)]) -> Self {
        Self {
            engine: name.to_owned(),
            inputs: inputs.iter().map(|&s| s.to_owned()).collect(),
            outputs: outputs
                .iter()
                .map(|&(id, extension)| OutputFormat { id: id.to_owned(), extension: extension.to_owned() })
                .collect(),
        }
    }

    /// Whether the engine reads files with this extension (lower case, no dot).
    pub fn reads(&self, extension: &str) -> bool {
        self.inputs.iter().any(|e| e == extension)
    }
}

/// Extensions that GDAL reads as vector data. Drivers that open network connections or follow
/// references to other files (VRT) are omitted on purpose; the binding also rejects them.
pub const GDAL_INPUTS: &[&str] = &[
    "shp", "geojson", "geojsonl", "geojsons", "json", "topojson", "gpkg", "fgb", "dxf", "dwg", "dgn", "tab",
    "mif", "gml", "kml", "kmz", "gpx", "csv", "gdb", "sqlite", "000", "jml", "gmt", "gxt", "vct", "svg",
    "e00", "sxf",
];

/// Output formats of GDAL: driver short name and extension.
pub const GDAL_OUTPUTS: &[(&str, &str)] = &[
    ("DXF", "dxf"),
    ("GeoJSON", "geojson"),
    ("GeoJSON", "json"),
    ("GeoJSONSeq", "geojsonl"),
    ("GeoJSONSeq", "geojsons"),
    ("GPKG", "gpkg"),
    ("ESRI Shapefile", "shp"),
    ("FlatGeobuf", "fgb"),
    ("KML", "kml"),
    ("LIBKML", "kmz"),
    ("LIBKML", "kml"),
    ("GML", "gml"),
    ("GPX", "gpx"),
    ("CSV", "csv"),
    ("MapInfo File", "tab"),
    ("MapInfo File", "mif"),
    ("DGN", "dgn"),
    ("SQLite", "sqlite"),
    ("JML", "jml"),
    ("OGR_GMT", "gmt"),
    ("Geoconcept", "gxt"),
    ("PGDUMP", "sql"),
];

/// Name of the built-in engine for OpenCASCADE.
pub const OCCT: &str = "occt";

/// Extensions that OpenCASCADE reads, through the plugin `native-sys/plugins/occt`.
pub const OCCT_INPUTS: &[&str] = &["stp", "step", "igs", "iges", "brep", "brp"];

/// Output formats of OpenCASCADE: id and extension.
pub const OCCT_OUTPUTS: &[(&str, &str)] = &[
    ("step", "stp"),
    ("step", "step"),
    ("glb", "glb"),
    ("gltf", "gltf"),
    ("iges", "igs"),
    ("iges", "iges"),
    ("brep", "brep"),
    ("brep", "brp"),
    ("stl", "stl"),
    ("obj", "obj"),
    ("vrml", "wrl"),
    ("vrml", "vrml"),
];

/// Extensions that Assimp reads, except those that are common for other files (`prj`, `raw`, `xml`,
/// `mesh.xml`), and those of STEP (`step`, `stp`), of which it reads buildings (IFC) only.
pub const ASSIMP_INPUTS: &[&str] = &[
    "obj",
    "ply",
    "stl",
    "gltf",
    "glb",
    "dae",
    "zae",
    "3ds",
    "fbx",
    "3mf",
    "off",
    "x",
    "x3d",
    "x3db",
    "ifc",
    "ifczip",
    "blend",
    "dxf",
    "lwo",
    "lws",
    "lxo",
    "ac",
    "ac3d",
    "acc",
    "amf",
    "ase",
    "ask",
    "assbin",
    "b3d",
    "bsp",
    "bvh",
    "cob",
    "csm",
    "enff",
    "hmp",
    "iqm",
    "irr",
    "irrmesh",
    "md2",
    "md3",
    "md5anim",
    "md5camera",
    "md5mesh",
    "mdc",
    "mdl",
    "mesh",
    "mot",
    "ms3d",
    "ndo",
    "nff",
    "ogex",
    "pk3",
    "pmx",
    "q3o",
    "q3s",
    "scn",
    "sib",
    "smd",
    "ter",
    "uc",
    "vta",
    "xgl",
    "zgl",
    "3d",
];

/// Output formats of Assimp: export id and extension, in the library's order, except that the
/// current glTF version, 2, comes first.
pub const ASSIMP_OUTPUTS: &[(&str, &str)] = &[
    ("collada", "dae"),
    ("x", "x"),
    ("stp", "stp"),
    ("stp", "step"),
    ("obj", "obj"),
    ("objnomtl", "obj"),
    ("stl", "stl"),
    ("stlb", "stl"),
    ("ply", "ply"),
    ("plyb", "ply"),
    ("3ds", "3ds"),
    ("gltf2", "gltf"),
    ("glb2", "glb"),
    ("gltf", "gltf"),
    ("glb", "glb"),
    ("assbin", "assbin"),
    ("assxml", "assxml"),
    ("x3d", "x3d"),
    ("fbx", "fbx"),
    ("fbxa", "fbx"),
    ("3mf", "3mf"),
    ("pbrt", "pbrt"),
    ("assjson", "json"),
];

/// Extensions of sidecar files, which are never the root of an archive.
pub const SIDECARS: &[&str] = &[
    // Shapefile: attributes, index, projection, code page, spatial indexes, metadata.
    "dbf",
    "shx",
    "prj",
    "cpg",
    "qix",
    "qpj",
    "sbn",
    "sbx",
    "ain",
    "aih",
    "ixs",
    "mxs",
    "atx",
    "fix",
    // MapInfo: the other files of a .tab or .mif data set.
    "dat",
    "map",
    "id",
    "ind",
    "mid",
    // GML, GeoPackage and SQLite, metadata spreadsheets.
    "xsd",
    "gfs",
    "gpkg-wal",
    "gpkg-shm",
    "gpkg-journal",
    "sqlite-wal",
    "sqlite-journal",
    "vrt",
    // Meshes: materials, buffers, skins, textures.
    "mtl",
    "bin",
    "skin",
    "png",
    "jpg",
    "jpeg",
    "tga",
    "bmp",
    "tif",
    "tiff",
    "gif",
    "dds",
    "ktx",
    "ktx2",
    "webp",
    "hdr",
    "exr",
    "pcx",
    "psd",
    // Documents.
    "txt",
    "md",
    "pdf",
    "html",
    "htm",
    "doc",
    "docx",
    "rtf",
    "url",
    "log",
    "license",
    "nfo",
];

/// Extensions that an engine reads but that often belong to other data: such a file is the root
/// only if there is no other candidate.
pub const WEAK_INPUTS: &[&str] =
    &["json", "csv", "svg", "x", "3d", "000", "mesh", "map", "ac", "mdl", "ter", "uc"];

/// Extensions of formats that are themselves zip archives and are passed to the engine unexpanded.
pub const ZIP_BASED_INPUTS: &[&str] = &["kmz", "3mf", "ifczip", "zae", "pk3", "zgl"];

/// Extension of a path's last component in lower case, without the dot; empty if it has none.
pub fn extension_of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// Last component of a path without its extension.
pub fn stem_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_and_stems() {
        assert_eq!(extension_of("a/b.c/Roads.SHP"), "shp");
        assert_eq!(extension_of("a/b.c/roads"), "");
        assert_eq!(extension_of(".hidden"), "");
        assert_eq!(stem_of("a/b.c/Roads.v2.SHP"), "Roads.v2");
        assert_eq!(stem_of(".hidden"), ".hidden");
    }

    #[test]
    fn tables_are_lower_case_and_sidecars_are_no_strong_inputs() {
        for extension in
            GDAL_INPUTS.iter().chain(ASSIMP_INPUTS).chain(SIDECARS).chain(WEAK_INPUTS).chain(ZIP_BASED_INPUTS)
        {
            assert_eq!(*extension, extension.to_ascii_lowercase());
        }
        for extension in GDAL_INPUTS.iter().chain(ASSIMP_INPUTS) {
            assert!(!SIDECARS.contains(extension), "{extension} is both a sidecar and an input");
        }
        for extension in ZIP_BASED_INPUTS {
            assert!(GDAL_INPUTS.contains(extension) || ASSIMP_INPUTS.contains(extension), "{extension}");
        }
    }
}
