//! The output is the library's: its bytes are those that the vendor's command line tool, `ogr2ogr`
//! or `assimp export`, writes for the same input and options. Shapefiles are written in UTF-8, and
//! textures are embedded where a format carries them, lie beside it where it names them, and MapInfo tables have a character set for
//! their text, so the tool is asked for the same.
//!
//! The tools come from the Debian packages gdal-bin and assimp-utils and load the same library as
//! cadmill, which a test checks. Only timestamps that a writer embeds are masked, on both sides:
//! see [`masks`].
//!
//! Drawings in DXF are compared whole with `dxf.writer=gdal`, and by their entities as [`drawings`].
//!
//! Not compared, because the vendor's tool does not give the same bytes twice, or does something
//! that its library does not:
//!
//! - `assbin` and `assxml` embed the path of the output: cadmill gives them the bare
//!   name, the tool's own path handling differs; glTF 1 embeds it too, and `--to`
//!   cannot ask for it anyway;
//! - `x` embeds heap addresses as the names of nameless nodes;
//! - `stp` of several nodes, because it orders them by their heap addresses;
//! - `3mf` of drawings with lines, because it takes each face for a triangle and
//!   reads past the end of a shorter one;
//! - formats that write the root's matrix (glTF, COLLADA, X3D), for `.x` input and
//!   for left-handed output: `assimp export` multiplies that matrix by a rotation of
//!   nothing, which turns the -0 that the change of hands leaves there into 0;
//! - `pbrt`: its writer fails on any output path that has a directory in it.

mod drawings;
mod masks;

use crate::support::{Bench, real};
pub(crate) use masks::mask;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A vendor's command line tool.
#[derive(Debug, Clone, Copy)]
enum Tool {
    Ogr2ogr,
    Assimp,
}

/// A format: the value of `--to`, the file extension, the vendor's name.
type Format = (&'static str, &'static str, &'static str);

const GDAL_FORMATS: &[Format] = &[
    ("csv", "csv", "CSV"),
    ("dgn", "dgn", "DGN"),
    ("dxf", "dxf", "DXF"),
    ("ESRI Shapefile", "shp", "ESRI Shapefile"),
    ("fgb", "fgb", "FlatGeobuf"),
    ("geojson", "geojson", "GeoJSON"),
    ("GeoJSONSeq", "geojsonl", "GeoJSONSeq"),
    ("gml", "gml", "GML"),
    ("gpkg", "gpkg", "GPKG"),
    ("GPKG", "gpkg", "GPKG"),
    ("jml", "jml", "JML"),
    ("kml", "kml", "KML"),
    ("mif", "mif", "MapInfo File"),
    ("shp", "shp", "ESRI Shapefile"),
    ("sqlite", "sqlite", "SQLite"),
    ("tab", "tab", "MapInfo File"),
];

const ASSIMP_FORMATS: &[Format] = &[
    ("3ds", "3ds", "3ds"),
    ("3mf", "3mf", "3mf"),
    ("assjson", "json", "assjson"),
    ("collada", "dae", "collada"),
    ("dae", "dae", "collada"),
    ("fbx", "fbx", "fbx"),
    ("glb", "glb", "glb2"),
    ("glb2", "glb", "glb2"),
    ("gltf", "gltf", "gltf2"),
    ("obj", "obj", "obj"),
    ("objnomtl", "obj", "objnomtl"),
    ("ply", "ply", "ply"),
    ("plyb", "ply", "plyb"),
    ("stl", "stl", "stl"),
    ("stlb", "stl", "stlb"),
    ("stp", "stp", "stp"),
    ("x3d", "x3d", "x3d"),
];

/// Inputs in every vector format that has a fixture.
const VECTOR_DATA: &[Case] = &[
    case("zipped Shapefile", "gis/naturalearth_lowres.zip", "naturalearth_lowres.shp")
        .to(&["dxf", "geojson", "gpkg", "shp", "kml", "csv", "gml", "jml"]),
    case(
        "Shapefile in a folder of a zip",
        "gis/nested_countries.zip",
        "data/countries/naturalearth_lowres.shp",
    )
    .to(&["dxf", "GPKG", "dgn"]),
    case("zipped Shapefile", "gis/naturalearth_cities.zip", "naturalearth_cities.shp")
        .to(&["dxf", "fgb", "tab"]),
    case("GeoJSON", "gis/countries.geojson", "").to(&["dxf", "geojson", "shp", "fgb", "gml", "sqlite"]),
    case("GeoPackage", "gis/countries.gpkg", "").to(&[
        "dxf",
        "geojson",
        "gpkg",
        "ESRI Shapefile",
        "fgb",
        "mif",
    ]),
    case("FlatGeobuf", "gis/countries.fgb", "").to(&["dxf", "geojson", "gpkg", "kml", "GeoJSONSeq"]),
    case("KML", "gis/cities.kml", "").to(&["dxf", "geojson", "gpkg", "shp", "csv"]),
    case("CSV", "gis/cities.csv", "").to(&["geojson", "gpkg", "csv", "sqlite"]),
    case("zipped GML", "gis/cities_gml.zip", "cities.gml").to(&["dxf", "geojson", "shp", "gml", "kml"]),
    case("zipped MapInfo TAB", "gis/countries_tab.zip", "countries.tab")
        .to(&["dxf", "geojson", "gpkg", "shp", "tab"]),
    case("TopoJSON", "gis/us_states.topojson", "")
        .to(&["dxf", "geojson", "gpkg", "shp"])
        .with(&["layer=states"], &["states"]),
    case("DXF", "dxf/openscad_example007.dxf", "").to(&["dxf", "geojson", "gpkg", "shp", "gml"]),
    case("DXF", "dxf/PinkEggFromLW.dxf", "").to(&["dxf", "geojson"]),
];

/// Options of GDAL, and the equivalent switches of `ogr2ogr`.
const VECTOR_OPTIONS: &[Case] = &[
    case("zipped Shapefile", "gis/naturalearth_lowres.zip", "naturalearth_lowres.shp")
        .to(&["geojson", "dxf", "shp"])
        .with(
            &["t_srs=EPSG:3857", "where=continent = 'Africa'"],
            &["-t_srs", "EPSG:3857", "-where", "continent = 'Africa'"],
        ),
    case("zipped Shapefile", "gis/naturalearth_lowres.zip", "naturalearth_lowres.shp").to(&["gpkg"]).with(
        &["nlt=PROMOTE_TO_MULTI", "lco.FID=number", "dsco.VERSION=1.2", "gt=50"],
        &["-nlt", "PROMOTE_TO_MULTI", "-lco", "FID=number", "-dsco", "VERSION=1.2", "-gt", "50"],
    ),
    case("GeoJSON", "gis/countries.geojson", "").to(&["csv"]).with(
        &["lco.GEOMETRY=AS_WKT", "lco.SEPARATOR=SEMICOLON", "select=name,iso_a3", "limit=20"],
        &["-lco", "GEOMETRY=AS_WKT", "-lco", "SEPARATOR=SEMICOLON", "-select", "name,iso_a3", "-limit", "20"],
    ),
    case("GeoPackage", "gis/countries.gpkg", "").to(&["gml"]).with(
        &["dsco.FORMAT=GML3.2", "nln=lands", "simplify=0.5"],
        &["-dsco", "FORMAT=GML3.2", "-nln", "lands", "-simplify", "0.5"],
    ),
    case("FlatGeobuf", "gis/countries.fgb", "").to(&["fgb"]).with(
        &["lco.SPATIAL_INDEX=NO", "spat=-20,35,40,70", "preserve_fid=yes"],
        &["-lco", "SPATIAL_INDEX=NO", "-spat", "-20", "35", "40", "70", "-preserve_fid"],
    ),
    case("FlatGeobuf", "gis/countries.fgb", "").to(&["geojson"]).with(
        &["clipsrc=-20,35,40,70", "lco.RFC7946=YES", "lco.COORDINATE_PRECISION=3", "makevalid=yes"],
        &[
            "-clipsrc",
            "-20",
            "35",
            "40",
            "70",
            "-lco",
            "RFC7946=YES",
            "-lco",
            "COORDINATE_PRECISION=3",
            "-makevalid",
        ],
    ),
    case("CSV", "gis/cities.csv", "").to(&["shp", "dxf", "geojson"]).with(
        &["oo.X_POSSIBLE_NAMES=lon", "oo.Y_POSSIBLE_NAMES=lat", "a_srs=EPSG:4326"],
        &["-oo", "X_POSSIBLE_NAMES=lon", "-oo", "Y_POSSIBLE_NAMES=lat", "-a_srs", "EPSG:4326"],
    ),
    case("zipped MapInfo TAB", "gis/countries_tab.zip", "countries.tab").to(&["dxf"]).with(
        &["explodecollections=yes", "segmentize=2", "skipfailures=yes"],
        &["-explodecollections", "-segmentize", "2", "-skipfailures"],
    ),
];

/// Inputs in the mesh formats that have fixtures.
const MESHES: &[Case] = &[
    case("OBJ and MTL in a zip", "mesh/logo3d_obj.zip", "logo3d.obj")
        .to(&["glb2", "stl", "stlb", "ply", "plyb", "obj", "objnomtl", "3ds"]),
    case("OBJ with a texture in a zip", "mesh/earth_ball_obj.zip", "ball.obj")
        .to(&["gltf", "dae", "obj", "fbx"]),
    case("OBJ", "mesh/rabbit.obj", "").to(&["glb", "x3d", "plyb"]),
    case("ASCII PLY", "mesh/cube_ascii.ply", "").to(&["glb2", "stlb", "obj", "stp", "fbx"]),
    case("binary PLY", "mesh/cube_binary.ply", "").to(&["glb2", "ply", "stl", "collada"]),
    case("zipped PLY", "mesh/wuson_ply.zip", "Wuson.ply").to(&["glb2", "stlb", "3ds"]),
    case("ASCII STL", "mesh/moon_ascii.stl", "").to(&["stlb", "plyb", "stp", "3mf"]),
    case("binary STL", "mesh/moon_binary.stl", "").to(&["stl", "glb2", "gltf", "collada", "3ds"]),
    case("zipped STL", "mesh/openscad_projection_stl.zip", "projection.stl").to(&["stlb", "obj"]),
    case("glTF with a buffer and a texture in a zip", "mesh/boxTexcoords_gltf.zip", "boxTexcoords.gltf")
        .to(&["gltf", "glb2", "obj", "x3d", "collada"]),
    case("animated glTF in a zip", "mesh/AnimatedMorphCube_gltf.zip", "AnimatedMorphCube.gltf")
        .to(&["gltf", "glb2", "fbx"]),
    case("GLB", "mesh/gear_scene.glb", "").to(&["gltf", "stlb", "collada", "fbx"]),
    // Textures inside the file become files beside the output.
    case("GLB compressed by Draco", "mesh/pmndrs_draco.glb", "").to(&["glb2", "plyb", "collada"]),
    case("COLLADA", "mesh/gear_scene.dae", "").to(&["glb2", "gltf", "stl", "collada", "3ds", "fbx"]),
    case("3DS", "mesh/cubes_with_alpha.3DS", "").to(&["3ds", "glb2", "obj", "collada", "assjson"]),
    // Not to x3d: its names have characters that the writer of that does not escape.
    case("3DS", "mesh/fels.3ds", "").to(&["gltf", "plyb"]),
    case("X", "mesh/kwxport_test_cubewithvcolors.x", "").to(&["stl", "ply", "obj", "3ds"]),
    case("zipped X", "mesh/testwuson_x.zip", "Testwuson.X").to(&["stlb", "plyb", "glb2"]),
    case("X3D", "mesh/ComputerKeyboard.x3d", "").to(&["x3d", "glb2", "stlb", "collada"]),
    case("OFF", "mesh/teapot.off", "").to(&["stlb", "ply", "glb2", "stp"]),
    case("3MF", "mesh/box.3mf", "").to(&["3mf", "stl", "glb2", "obj"]),
    case("DXF", "dxf/PinkEggFromLW.dxf", "").to(&["stl", "stlb", "obj", "glb2", "3mf"]),
];

/// Post-processing steps, and the equivalent switches of `assimp export`.
const MESH_OPTIONS: &[Case] = &[
    case("OBJ and MTL in a zip", "mesh/logo3d_obj.zip", "logo3d.obj").to(&["glb2", "stlb", "obj"]).with(
        &["postprocess=triangulate,join-identical-vertices"],
        &["--triangulate", "--join-identical-vertices"],
    ),
    case("OBJ with a texture in a zip", "mesh/earth_ball_obj.zip", "ball.obj")
        .to(&["gltf"])
        .with(&["postprocess=triangulate,calc-tangent-space"], &["--triangulate", "--calc-tangent-space"]),
    case("binary PLY", "mesh/cube_binary.ply", "")
        .to(&["glb2", "ply"])
        .with(&["postprocess=triangulate, gen-smooth-normals"], &["--triangulate", "--gen-smooth-normals"]),
    case("COLLADA", "mesh/gear_scene.dae", "")
        .to(&["stlb", "plyb"])
        .with(&["postprocess=pretransform-vertices"], &["--pretransform-vertices"]),
    // The tool has one switch for these three steps. They leave a -0 in the root's
    // matrix, which glTF would show; see the top.
    case("3DS", "mesh/cubes_with_alpha.3DS", "")
        .to(&["obj", "stlb", "plyb"])
        .with(&["postprocess=left-handed"], &["--left-handed"]),
    case("3MF", "mesh/box.3mf", "").to(&["ply"]).with(
        &["postprocess=gen-normals", "postprocess=improve-cache-locality"],
        &["--gen-normals", "--improve-cache-locality"],
    ),
    case("X3D", "mesh/ComputerKeyboard.x3d", "").to(&["glb2"]).with(
        &["postprocess=optimize-meshes,optimize-graph,remove-redundant-materials"],
        &["--optimize-meshes", "--optimize-graph", "--remove-redundant-materials"],
    ),
];

/// One input, its output formats, and the options for both tools.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: &'static str,
    /// A file under tests/fixtures/real.
    input: &'static str,
    /// The file inside the archive that the vendor's tool is given; empty if the input is not an
    /// archive. cadmill finds it itself.
    root: &'static str,
    to: &'static [&'static str],
    options: &'static [&'static str],
    switches: &'static [&'static str],
}

const fn case(kind: &'static str, input: &'static str, root: &'static str) -> Case {
    Case { kind, input, root, to: &[], options: &[], switches: &[] }
}

impl Case {
    const fn to(self, to: &'static [&'static str]) -> Self {
        Self { to, ..self }
    }

    const fn with(self, options: &'static [&'static str], switches: &'static [&'static str]) -> Self {
        Self { options, switches, ..self }
    }
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Ogr2ogr => "ogr2ogr",
            Self::Assimp => "assimp",
        }
    }

    /// cadmill's name for the engine that uses the tool's library.
    fn engine(self) -> &'static str {
        match self {
            Self::Ogr2ogr => "gdal",
            Self::Assimp => "assimp",
        }
    }

    fn format(self, to: &str) -> Format {
        let formats = match self {
            Self::Ogr2ogr => GDAL_FORMATS,
            Self::Assimp => ASSIMP_FORMATS,
        };
        *formats.iter().find(|f| f.0 == to).unwrap_or_else(|| panic!("no row for the format {to}"))
    }

    /// Runs the tool. The output has the same name as cadmill's, because formats embed the name. It
    /// is in a directory, because Assimp looks for one in the path.
    fn run(self, directory: &Path, input: &Path, format: Format, switches: &[&str]) -> Output {
        let (_, extension, id) = format;
        let output = format!("./out.{extension}");
        let mut command = Command::new(self.program());
        match self {
            Self::Ogr2ogr => command.current_dir(directory).args(["-f", id]).arg(output).arg(input),
            // Runs in the input's directory: the X3D reader names the root after the path that it
            // is given, and cadmill does not give it a path of this machine.
            Self::Assimp => command
                .current_dir(input.parent().expect("a directory"))
                .arg("export")
                .arg(name_of(input))
                .arg(directory.join(output))
                .arg(format!("-f{id}")),
        };
        let also: &[&str] = match self {
            Self::Ogr2ogr if id == "ESRI Shapefile" => &["-lco", "ENCODING=UTF-8"],
            Self::Assimp if ["collada", "fbx", "fbxa", "glb2", "gltf2"].contains(&id) => &["-embtex"],
            _ => &[],
        };
        command.args(also);
        command.args(switches).env("LC_ALL", "C");
        // As in the engine process, memory that the library never wrote to contains zeros: its
        // writers copy some of it to the output.
        command.env("GLIBC_TUNABLES", "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0");
        command.output().unwrap_or_else(|e| panic!("{} cannot be run: {e}", self.program()))
    }
}

/// Converts the input of a case with cadmill and with the tool, and compares the outputs.
fn compare(tool: Tool, case: &Case, to: &str) -> Result<(), String> {
    let bench = Bench::new();
    let given = real(case.input);
    let input = if case.root.is_empty() {
        given.clone()
    } else {
        let directory = bench.path("input");
        open_zip(&given).extract(&directory).expect("the fixture is a zip archive");
        directory.join(case.root)
    };
    compare_files(&bench, tool, (&given, case.options), (&input, case.switches), to)
}

/// The same for two equivalent inputs.
fn compare_files(
    bench: &Bench,
    tool: Tool,
    (given, options): (&Path, &[&str]),
    (input, switches): (&Path, &[&str]),
    to: &str,
) -> Result<(), String> {
    let format = tool.format(to);
    let (ours, charset) = run_cadmill(bench, tool, given, format, options)?;
    let charset = charset.map(|charset| format!("ENCODING={charset}"));
    let switches: Vec<&str> =
        switches.iter().copied().chain(charset.iter().flat_map(|charset| ["-lco", charset])).collect();
    let directory = bench.path("vendor");
    std::fs::create_dir(&directory).expect("a directory");
    let output = tool.run(&directory, input, format, &switches);
    if !output.status.success() {
        return Err(format!("{}: {}", tool.program(), String::from_utf8_lossy(&output.stderr)));
    }
    let theirs: Files = std::fs::read_dir(&directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (name_of(&path), std::fs::read(&path).expect("a readable file")))
        .collect();
    // cadmill puts textures beside an output that names them.
    let texture = |name: &str| std::fs::read(input.with_file_name(name)).ok();
    let ours = ours
        .into_iter()
        .filter(|(name, bytes)| theirs.contains_key(name) || texture(name).as_ref() != Some(bytes))
        .collect();
    differences(ours, theirs)
}

/// Runs `cadmill convert` and returns the files of its output, and the character set that it reports
/// to have chosen for a MapInfo table, by its name for `ogr2ogr`.
fn run_cadmill(
    bench: &Bench,
    tool: Tool,
    input: &Path,
    (to, extension, id): Format,
    options: &[&str],
) -> Result<(Files, Option<String>), String> {
    let name = format!("out.{extension}");
    let mut arguments = vec!["convert", input.to_str().expect("UTF-8"), "--to", to, "-o", &name, "--json"];
    arguments.extend(options.iter().flat_map(|o| ["--opt", o]));
    // Otherwise our own writer writes it.
    arguments.extend((to == "dxf").then_some(["--opt", "dxf.writer=gdal"]).iter().flatten());
    let run = bench.run(&arguments);
    if run.code != Some(0) {
        return Err(format!("cadmill: {run:?}"));
    }
    let json = run.json();
    assert_eq!(json["engine"]["name"], tool.engine(), "{run:?}");
    assert_eq!(json["engine"]["format_id"], id, "{run:?}");
    let warnings = json["warnings"].as_array().expect("a list");
    let charset =
        warnings.iter().filter_map(|line| line.as_str()?.strip_prefix("the text was written in ")).next();
    let charset = charset.and_then(|rest| rest.split(',').next()).map(|name| name.replace("windows-", "CP"));
    Ok((read_output(bench, &json, &name), charset))
}

/// The files of an output with this name, according to the `--json` report.
pub(crate) fn read_output(bench: &Bench, json: &serde_json::Value, name: &str) -> Files {
    let path = bench.path(json["output"]["path"].as_str().expect("a path"));
    let files = if json["output"]["engine_files"] == 1 {
        assert_eq!(name_of(&path), name);
        BTreeMap::from([(name.to_owned(), std::fs::read(&path).expect("a readable output"))])
    } else {
        assert_eq!(name_of(&path), format!("{name}.zip"));
        read_zip(&path)
    };
    assert_eq!(json["output"]["engine_files"], files.len(), "{json}");
    files
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|n| n.to_str()).expect("a name in UTF-8").to_owned()
}

fn open_zip(path: &Path) -> zip::ZipArchive<std::fs::File> {
    zip::ZipArchive::new(std::fs::File::open(path).expect("a readable file")).expect("a zip archive")
}

pub(crate) fn read_zip(path: &Path) -> Files {
    let mut archive = open_zip(path);
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).expect("an entry that expands");
            (entry.name().expect("a name in UTF-8").into_owned(), bytes)
        })
        .collect()
}

/// Compares two sets of files after masking, and returns the first difference.
pub(crate) fn differences(mut ours: Files, mut theirs: Files) -> Result<(), String> {
    if !ours.keys().eq(theirs.keys()) {
        return Err(format!("cadmill wrote {:?}, the tool {:?}", ours.keys(), theirs.keys()));
    }
    for ((name, ours), theirs) in ours.iter_mut().zip(theirs.values_mut()) {
        let spots = (mask(name, ours)?, mask(name, theirs)?);
        if spots.0 != spots.1 {
            return Err(format!("{name}: {} times of cadmill's, {} of the tool's", spots.0, spots.1));
        }
        if ours != theirs {
            return Err(format!("{name}: {}", first_difference(ours, theirs)));
        }
        if ours.is_empty() {
            return Err(format!("{name}: nothing to compare"));
        }
    }
    Ok(())
}

fn first_difference(ours: &[u8], theirs: &[u8]) -> String {
    let shared = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let context = |bytes: &[u8]| {
        let range = shared.saturating_sub(16).min(bytes.len())..(shared + 16).min(bytes.len());
        bytes[range].escape_ascii().to_string()
    };
    format!(
        "{} and {} bytes, different at {shared}\n    cadmill: {}\n    tool:    {}",
        ours.len(),
        theirs.len(),
        context(ours),
        context(theirs)
    )
}

/// Compares every case in every format; returns the kinds of input that compared equal.
fn compare_all(tool: Tool, cases: &[Case]) -> BTreeSet<&'static str> {
    compare_some(tool, cases, |case, _| case.to)
}

/// Compares every case in one of its formats, each in another.
fn compare_one_each(tool: Tool, cases: &[Case]) -> BTreeSet<&'static str> {
    compare_some(tool, cases, |case, place| std::slice::from_ref(&case.to[place % case.to.len()]))
}

fn compare_some(
    tool: Tool,
    cases: &[Case],
    formats: impl Fn(&Case, usize) -> &'static [&'static str],
) -> BTreeSet<&'static str> {
    let mut kinds = BTreeSet::new();
    let mut failures = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        for to in formats(case, place) {
            match compare(tool, case, to) {
                Ok(()) => drop(kinds.insert(case.kind)),
                Err(text) => failures.push(format!("{} to {to} {:?}: {text}", case.input, case.options)),
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    kinds
}

#[test]
fn vector_data_is_that_of_ogr2ogr() {
    let kinds = compare_one_each(Tool::Ogr2ogr, VECTOR_DATA);
    assert!(kinds.len() >= 10, "too few formats of input: {kinds:?}");
}

#[ignore = "in `make nightly`"]
#[test]
fn vector_data_is_that_of_ogr2ogr_in_each_format() {
    let kinds = compare_all(Tool::Ogr2ogr, VECTOR_DATA);
    assert!(kinds.len() >= 10, "too few formats of input: {kinds:?}");
}

#[test]
fn options_are_the_switches_of_ogr2ogr() {
    compare_all(Tool::Ogr2ogr, VECTOR_OPTIONS);
}

#[test]
fn meshes_are_those_of_assimp_export() {
    let kinds = compare_one_each(Tool::Assimp, MESHES);
    assert!(kinds.len() >= 16, "too few formats of input: {kinds:?}");
}

#[ignore = "in `make nightly`"]
#[test]
fn meshes_are_those_of_assimp_export_in_each_format() {
    let kinds = compare_all(Tool::Assimp, MESHES);
    assert!(kinds.len() >= 16, "too few formats of input: {kinds:?}");
}

#[test]
fn options_are_the_switches_of_assimp_export() {
    compare_all(Tool::Assimp, MESH_OPTIONS);
}

/// `ogr2ogr` makes the GeoJSON driver keep what the data model cannot represent: foreign members,
/// the id, a fourth coordinate. This goes to the output as GeoJSON, or as metadata of a GeoPackage.
#[test]
fn members_of_geojson_that_gdal_does_not_know_are_kept() {
    const TEXT: &str = r#"{"type": "FeatureCollection", "made_by": "hand", "features": [
        {"type": "Feature", "id": "a1", "colour": {"rgb": [1, 2, 3]}, "properties": {"name": "Ä", "o": {"k": [1]}},
         "geometry": {"type": "Point", "coordinates": [1, 2, 3, 4]}}]}"#;
    for to in ["geojson", "gpkg"] {
        let bench = Bench::new();
        let input = bench.path("members.geojson");
        std::fs::write(&input, TEXT).unwrap();
        let outcome = compare_files(&bench, Tool::Ogr2ogr, (&input, &[]), (&input, &[]), to);
        assert!(outcome.is_ok(), "to {to}: {}", outcome.unwrap_err());
    }
}

/// The comparison is meaningful only if both sides run the same library.
#[test]
fn the_tools_load_the_library_that_cadmill_loads() {
    let engines = Bench::new().run(&["engines", "--json"]).succeeded().json();
    for tool in [Tool::Ogr2ogr, Tool::Assimp] {
        let engine =
            engines["engines"].as_array().expect("a list").iter().find(|e| e["name"] == tool.engine());
        let ours = engine.and_then(|e| e["path"].as_str()).expect("the path of the library");
        assert_eq!(library_of(tool), std::fs::canonicalize(ours).unwrap(), "{}", tool.program());
    }
}

/// The vendor library that a tool is linked with.
fn library_of(tool: Tool) -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    let program = std::env::split_paths(&path).map(|p| p.join(tool.program())).find(|p| p.is_file());
    let program = program.unwrap_or_else(|| panic!("{} is not installed", tool.program()));
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let wanted = format!("lib{}.so", tool.engine());
    let line = text.lines().find(|l| l.trim_start().starts_with(&wanted));
    let found =
        line.and_then(|l| l.split_whitespace().nth(2)).unwrap_or_else(|| panic!("no {wanted}: {text}"));
    std::fs::canonicalize(found).expect("the library is there")
}

/// GDAL issues hundreds of warnings for this drawing.
#[test]
fn a_flood_of_warnings_is_converted_and_cut_short() {
    let bench = Bench::new();
    let input = real("dxf/PinkEggFromLW.dxf");
    let directory = bench.path("vendor");
    std::fs::create_dir(&directory).unwrap();
    let format = Tool::Ogr2ogr.format("geojson");
    let complaints = Tool::Ogr2ogr.run(&directory, &input, format, &[]).stderr;
    let complaints = String::from_utf8(complaints).unwrap().lines().count();
    assert!(complaints > 200, "{complaints} lines are no flood any more");

    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "out.geojson", "--json"];
    let run = bench.run(&arguments).succeeded();
    let warnings = run.json()["warnings"].as_array().expect("a list").len();
    assert!((1..=20).contains(&warnings), "{warnings} warnings");
    assert!(run.stderr.lines().count() <= 40, "{}", run.stderr);
    assert!(run.stderr.contains(" more, see --json"), "{}", run.stderr);
}
