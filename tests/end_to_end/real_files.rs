//! What people bring: it converts, or says the true reason.

use crate::support::{Bench, Run, real, zipped};
use serde_json::Value;
use std::path::Path;
use zip::CompressionMethod::Stored;

fn convert(bench: &Bench, input: &Path, to: &str, more: &[&str]) -> Run {
    let output = format!("out.{to}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    bench.run(&[&arguments[..], more].concat())
}

/// The parts of the shapefile of the countries, by extension.
fn countries() -> Vec<(String, Vec<u8>)> {
    let file = std::fs::File::open(real("gis/naturalearth_lowres.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    (0..archive.len())
        .map(|number| {
            let mut entry = archive.by_index(number).unwrap();
            let extension = entry.name().unwrap().rsplit_once('.').unwrap().1.to_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (extension, bytes)
        })
        .collect()
}

/// An archive of the countries with these names; an empty name leaves a part out.
fn named(bench: &Bench, name: impl Fn(&str) -> String) -> std::path::PathBuf {
    let parts = countries();
    let names: Vec<String> = parts.iter().map(|(extension, _)| name(extension)).collect();
    let entries: Vec<_> = names
        .iter()
        .zip(&parts)
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, (_, bytes))| (name.as_str(), Stored, &bytes[..]))
        .collect();
    let path = bench.path("in.zip");
    std::fs::write(&path, zipped(&entries)).unwrap();
    path
}

fn output(bench: &Bench) -> Value {
    serde_json::from_slice(&std::fs::read(bench.path("out.geojson")).unwrap()).unwrap()
}

#[test]
fn the_parts_of_a_shapefile_belong_together_in_any_case() {
    let bench = Bench::new();
    let plain = named(&bench, |extension| format!("countries.{extension}"));
    convert(&bench, &plain, "geojson", &[]).succeeded();
    let expected = output(&bench);
    let mixed: [fn(&str) -> String; 3] = [
        |extension| match extension {
            "shp" => "Countries.SHP".to_owned(),
            "dbf" => "COUNTRIES.Dbf".to_owned(),
            other => format!("countries.{other}"),
        },
        |extension| if extension == "shp" { "c.shp".to_owned() } else { format!("C.{extension}") },
        |extension| {
            if extension == "shp" {
                "d/c.Shp".to_owned()
            } else {
                format!("d/C.{}", extension.to_uppercase())
            }
        },
    ];
    for name in mixed {
        let bench = Bench::new();
        let archive = named(&bench, name);
        convert(&bench, &archive, "geojson", &[]).succeeded();
        let found = output(&bench);
        assert_eq!((&found["features"], &found["crs"]), (&expected["features"], &expected["crs"]));
    }
}

#[test]
fn a_missing_index_is_made_anew() {
    let bench = Bench::new();
    convert(&bench, &named(&bench, |e| format!("c.{e}")), "geojson", &[]).succeeded();
    let expected = output(&bench);
    for parts in [&["shp", "dbf", "prj", "cpg"][..], &["shp"]] {
        let bench = Bench::new();
        let archive = named(&bench, |e| if parts.contains(&e) { format!("c.{e}") } else { String::new() });
        let json = convert(&bench, &archive, "geojson", &[]).succeeded().json();
        let warnings = json["warnings"].to_string();
        assert!(warnings.contains("index (.shx)"), "{json}");
        assert_eq!(warnings.contains("no table (.dbf)"), parts.len() == 1, "{json}");
        let found = output(&bench);
        let shapes = |value: &Value| -> Vec<Value> {
            value["features"].as_array().unwrap().iter().map(|f| f["geometry"].clone()).collect()
        };
        assert_eq!(shapes(&found), shapes(&expected));
    }
}

#[test]
fn the_first_error_is_the_reason_and_the_hint_is_ours() {
    let mixed = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},
        {"type":"Feature","properties":{},"geometry":{"type":"LineString","coordinates":[[1,2],[3,4]]}}]}"#;
    let track = r#"<gpx version="1.1" creator="x"><wpt lat="1" lon="2"/><trk><trkseg><trkpt lat="1" lon="2"/><trkpt lat="2" lon="2"/></trkseg></trk></gpx>"#;
    for (name, content, to, more, exit, code, parts) in [
        (
            "a.geojson",
            mixed,
            "shp",
            &[][..],
            27,
            "engine.unfit",
            &["non-", "--opt nlt=PROMOTE_TO_MULTI", "--opt skipfailures=yes"][..],
        ),
        ("a.gpx", track, "geojson", &[], 27, "engine.unfit", &["one layer", "--opt layer=NAME"]),
        ("a.geojson", mixed, "csv", &["--opt", "where=nothing = 1"], 27, "engine.unfit", &["--opt where="]),
        ("a.geojson", mixed, "csv", &["--opt", "layer=other"], 27, "engine.unfit", &["--opt layer="]),
        ("a.geojson", "{", "csv", &[], 15, "engine.rejected", &["gdal refused the input"]),
    ] {
        let bench = Bench::new();
        let input = bench.path(name);
        std::fs::write(&input, content).unwrap();
        let json = convert(&bench, &input, to, more).failed(exit, code);
        let message = json["error"]["message"].as_str().unwrap();
        let says = parts.iter().all(|part| message.contains(part));
        assert!(
            says && !message.contains("Terminating") && !message.contains("use -skipfailures"),
            "{message}"
        );
    }
}

/// A collection of features with these properties and geometries.
fn collection(features: &[(&str, &str)]) -> String {
    let feature = |(properties, geometry): &(&str, &str)| {
        format!(r#"{{"type":"Feature","properties":{{{properties}}},"geometry":{geometry}}}"#)
    };
    let features: Vec<String> = features.iter().map(feature).collect();
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
}

const A_POINT: &str = r#"{"type":"Point","coordinates":[1,2]}"#;
const A_LINE: &str = r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#;
const AN_AREA: &str = r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}"#;

#[test]
fn an_input_that_does_not_fit_the_output_is_not_blamed() {
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    for (features, to, part, remedy) in [
        (&[("\"geom\":1", A_POINT)][..], "gpkg", "lco.GEOMETRY_NAME", &["lco.GEOMETRY_NAME=shape"][..]),
        (&[("\"fid\":7", A_POINT), ("\"fid\":7", A_POINT)], "gpkg", "lco.FID", &["lco.FID=number"]),
        (
            &[("\"a\":[1,2]", A_POINT)],
            "fgb",
            "fieldTypeToString=IntegerList",
            &["fieldTypeToString=IntegerList,Integer64List,RealList,StringList"],
        ),
        (&[("", A_POINT), ("", A_LINE)], "gpx", "nlt=POINT", &["where=OGR_GEOMETRY = 'POINT'", "nlt=POINT"]),
        (&[("", AN_AREA)], "gpx", "nlt=MULTILINESTRING", &["nlt=MULTILINESTRING"]),
        (&[("", A_POINT), ("", "null")], "gpx", "skipfailures", &["skipfailures=yes"]),
        (&[("\"a\":1", A_POINT), ("\"a\":1", "null")], "dgn", "skipfailures", &["skipfailures=yes"]),
        (&[("", A_POINT), ("", A_LINE)], "gxt", "where=", &["where=OGR_GEOMETRY = 'POINT'"]),
    ] {
        std::fs::write(&input, collection(features)).unwrap();
        let json = convert(&bench, &input, to, &[]).failed(27, "engine.unfit");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(part) && !message.contains("CreateField"), "{to}: {message}");
        let options: Vec<&str> = remedy.iter().flat_map(|option| ["--opt", option]).collect();
        convert(&bench, &input, to, &options).succeeded();
    }
}

#[test]
fn a_table_without_geometry_does_not_become_an_empty_drawing() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    std::fs::write(&input, "name,lon,lat\na,1,2\nb,3,4\n").unwrap();
    for to in ["dxf", "gmt", "gpx"] {
        let json = convert(&bench, &input, to, &[]).failed(27, "engine.unfit");
        assert!(json["error"]["message"].as_str().unwrap().contains("oo.X_POSSIBLE_NAMES"), "{to}: {json}");
        let columns = ["--opt", "oo.X_POSSIBLE_NAMES=lon", "--opt", "oo.Y_POSSIBLE_NAMES=lat"];
        convert(&bench, &input, to, &columns).succeeded();
    }
}

#[test]
fn a_format_of_one_layer_asks_for_the_layer() {
    let bench = Bench::new();
    let input = bench.path("a.gpx");
    let text = r#"<gpx version="1.1" creator="x"><wpt lat="1" lon="2"/><rte><rtept lat="1" lon="2"/><rtept lat="2" lon="2"/></rte></gpx>"#;
    std::fs::write(&input, text).unwrap();
    for to in ["dgn", "gmt", "fgb", "tab", "jml", "geojson"] {
        let json = convert(&bench, &input, to, &[]).failed(27, "engine.unfit");
        assert!(json["error"]["message"].as_str().unwrap().contains("--opt layer=NAME"), "{to}: {json}");
        convert(&bench, &input, to, &["--opt", "layer=routes"]).succeeded();
    }
    // A drawing has all of them.
    let json = convert(&bench, &input, "dxf", &[]).succeeded().json();
    assert_eq!(json["counts"]["written"], 4, "{json}");
    convert(&bench, &input, "dxf", &["--opt", "layer=routes"]).succeeded();
    let json = convert(&bench, &input, "dxf", &["--opt", "layer=roads"]).failed(27, "engine.unfit");
    assert!(json["error"]["message"].as_str().unwrap().contains("--opt layer="), "{json}");
}

#[test]
fn fields_that_the_output_cannot_have_are_named_in_one_warning() {
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    std::fs::write(&input, collection(&[("\"a\":[\"x\",\"y\"],\"name\":\"n\",\"b\":\"가\"", A_POINT)]))
        .unwrap();
    for (to, fields) in [
        ("dxf", "a, b, name"),
        ("dgn", "a, b, name"),
        ("gpx", "a, b"),
        ("shp", "a"),
        ("gxt", "a"),
        ("mif", "a"),
    ] {
        let more: &[&str] = if to == "gxt" { &["--opt", "a_srs=EPSG:4326"] } else { &[] };
        let json = convert(&bench, &input, to, more).succeeded().json();
        let lines: Vec<&str> =
            json["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let wanted = format!("the output format cannot carry these fields: {fields}");
        assert_eq!(lines.iter().filter(|line| **line == wanted).count(), 1, "{to}: {lines:?}");
        assert!(
            !lines.iter().any(|line| line.contains("CreateField") || line.contains("fields of type")),
            "{lines:?}"
        );
    }
}

#[test]
fn features_without_geometry_are_left_out_of_a_drawing_and_counted() {
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    let text = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{"a":1},"geometry":{"type":"Point","coordinates":[1,2]}},
        {"type":"Feature","properties":{"a":2},"geometry":null},
        {"type":"Feature","properties":{"a":3},"geometry":{"type":"Point","coordinates":[3,4]}}]}"#;
    std::fs::write(&input, text).unwrap();
    let json = convert(&bench, &input, "dxf", &[]).succeeded().json();
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("1 features without geometry"), "{json}");
    assert!(warnings.contains("cannot carry these fields: a"), "{json}");
    let drawing = std::fs::read_to_string(bench.path("out.dxf")).unwrap();
    assert_eq!(drawing.matches("AcDbPoint").count(), 2);
}

#[test]
fn an_option_without_effect_is_refused() {
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    std::fs::write(&input, r#"{"type":"Point","coordinates":[1,2]}"#).unwrap();
    for option in ["oo.INLINE_BLOCKS=YES", "lco.SHPT=POINT", "dsco.FIRST_ENTITY=1000", "cfg.NOTHING=1"] {
        let json = convert(&bench, &input, "csv", &["--opt", option]).failed(2, "usage.option");
        assert!(
            json["error"]["message"].as_str().unwrap().contains(option.split('=').next().unwrap()),
            "{json}"
        );
    }
    let dwg = bench.path("a.kml");
    std::fs::write(&dwg, "<kml/>").unwrap();
    convert(&bench, &dwg, "csv", &["--opt", "encoding=CP949"]).failed(2, "usage.option");
}

const QUAD: &str = "mtllib MATERIAL\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3 4/4\n";

/// The smallest PNG: one pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x60, 0,
    0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// A model in an archive, whose material and texture have these names, referred to by others.
pub(crate) fn model(bench: &Bench, material: (&str, &[u8]), texture: (&str, &[u8])) -> std::path::PathBuf {
    let replaced = |text: &str, word: &[u8]| {
        let (head, tail) = text.split_once("MATERIAL").or(text.split_once("TEXTURE")).unwrap();
        [head.as_bytes(), word, tail.as_bytes()].concat()
    };
    let obj = replaced(QUAD, material.1);
    let mtl = replaced("newmtl m\nKd 0.1 0.2 0.9\nmap_Kd TEXTURE\n", texture.1);
    let path = bench.path("in.zip");
    let entries = [("m.obj", Stored, &obj[..]), (material.0, Stored, &mtl), (texture.0, Stored, PIXEL)];
    std::fs::write(&path, zipped(&entries)).unwrap();
    path
}

#[test]
fn files_that_a_model_names_in_another_spelling_are_found_and_travel_with_it() {
    for (material, texture) in [
        (("m.mtl", &b"m.mtl"[..]), ("tex/wood.png", &b"tex/wood.png"[..])),
        (("m.mtl", b"M.MTL"), ("tex/wood.png", b"Tex\\Wood.PNG")),
        (("재질.mtl", b"\xc0\xe7\xc1\xfa.mtl"), ("나무.png", b"\xb3\xaa\xb9\xab.png")),
        (("m.mtl", b"m.mtl"), ("wood 1.png", b"wood%201.png")),
    ] {
        for to in ["glb", "gltf", "fbx", "dae"] {
            let bench = Bench::new();
            let input = model(&bench, material, texture);
            let json = convert(&bench, &input, to, &[]).succeeded().json();
            let respelt = material.0.as_bytes() != material.1 || texture.0.as_bytes() != texture.1;
            let warnings = json["warnings"].to_string();
            assert_eq!(warnings.contains("the input names"), respelt, "{to}: {json}");
            let path = bench.path(json["output"]["path"].as_str().unwrap());
            let finds = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
            let has = |bytes: &[u8]| finds(bytes, b"IDAT") || finds(bytes, b"data:image/png;base64,");
            let found = match path.extension().is_some_and(|extension| extension == "zip") {
                true => crate::parity::read_zip(&path).values().any(|bytes| has(bytes)),
                false => has(&std::fs::read(&path).unwrap()),
            };
            assert!(found, "{to} {texture:?}: the texture is not in the result");
        }
    }
}

#[test]
fn textures_of_formats_that_name_them_lie_beside_the_model() {
    for to in ["obj", "3ds", "x", "x3d", "ply", "assxml"] {
        let bench = Bench::new();
        let input = model(&bench, ("m.mtl", b"m.mtl"), ("tex/wood.png", b"tex\\wood.png"));
        let json = convert(&bench, &input, to, &[]).succeeded().json();
        let files = crate::parity::read_zip(&bench.path(json["output"]["path"].as_str().unwrap()));
        assert_eq!(files["tex/wood.png"], PIXEL, "{to}: {:?}", files.keys());
    }
    let bench = Bench::new();
    let input = bench.path("in.zip");
    // The names are relative to the model.
    let mtl = b"newmtl m\nmap_Kd Wood.PNG\nmap_Bump out.mtl\n";
    let obj = QUAD.replace("MATERIAL", "m.mtl");
    let entries = [
        ("d/m.obj", Stored, obj.as_bytes()),
        ("d/m.mtl", Stored, &mtl[..]),
        ("d/wood.png", Stored, PIXEL),
        ("d/out.mtl", Stored, b"a texture with the name of the material"),
    ];
    std::fs::write(&input, zipped(&entries)).unwrap();
    let json = convert(&bench, &input, "obj", &[]).succeeded().json();
    let warnings = json["warnings"].to_string();
    assert!(!warnings.contains("not found") && warnings.contains("that of another file"), "{json}");
    let files = crate::parity::read_zip(&bench.path(json["output"]["path"].as_str().unwrap()));
    assert_eq!(files["Wood.PNG"], PIXEL);
    assert!(files["out.mtl"].starts_with(b"# File produced by"), "{:?}", files.keys());
}

/// As its names are meant from there.
#[test]
fn textures_are_found_beside_a_material_library_elsewhere() {
    for (to, texture) in [("obj", "wood.png"), ("glb", "wood.png"), ("obj", "Wood.PNG"), ("glb", "Wood.PNG")]
    {
        let bench = Bench::new();
        let input = bench.path("in.zip");
        let obj = QUAD.replace("MATERIAL", "mats/m.mtl");
        let mtl = format!("newmtl m\nmap_Kd {texture}\n");
        let entries = [
            ("d/m.obj", Stored, obj.as_bytes()),
            ("d/mats/m.mtl", Stored, mtl.as_bytes()),
            ("d/mats/wood.png", Stored, PIXEL),
        ];
        std::fs::write(&input, zipped(&entries)).unwrap();
        let json = convert(&bench, &input, to, &["--strict"]).succeeded().json();
        let path = bench.path(json["output"]["path"].as_str().unwrap());
        if to == "obj" {
            assert_eq!(crate::parity::read_zip(&path)[texture], PIXEL, "{json}");
        } else {
            let bytes = std::fs::read(path).unwrap();
            assert!(memchr::memmem::find(&bytes, b"IDAT").is_some(), "{json}");
        }
    }
}

#[test]
fn textures_that_are_missing_in_the_result_are_reported() {
    for (texture, says) in [
        (&b"stone.png"[..], "'stone.png', which was not found"),
        (b"../elm.png", "'../elm.png', which lies outside"),
        (b"C:\\tex\\oak.png", "'C:\\\\tex\\\\oak.png', which lies outside"),
    ] {
        for to in ["obj", "glb", "fbx"] {
            let bench = Bench::new();
            let input = model(&bench, ("m.mtl", b"m.mtl"), ("wood.png", texture));
            let json = convert(&bench, &input, to, &[]).succeeded().json();
            assert!(json["warnings"].to_string().contains(says), "{to}: {json}");
            assert_eq!(json["warnings_total"], 1, "{to}: {json}");
        }
    }
    let bench = Bench::new();
    let input = model(&bench, ("m.mtl", b"m.mtl"), ("wood.png", b"wood.png"));
    let json = convert(&bench, &input, "stl", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("'stl' has no textures: 1 "), "{json}");
    let within = real("mesh/pmndrs_draco.glb");
    let json = convert(&bench, &within, "obj", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("1 within the input were left out"), "{json}");
}

#[test]
fn a_model_of_lines_is_no_model_of_faces() {
    let bench = Bench::new();
    let input = bench.path("lines.obj");
    std::fs::write(&input, "v 0 0 0\nv 1 0 0\nv 1 1 0\nl 1 2 3\n").unwrap();
    for to in ["stl", "stlb", "3ds", "stp", "x"] {
        let json = convert(&bench, &input, to, &[]).failed(27, "engine.unfit");
        assert!(json["error"]["message"].as_str().unwrap().contains("2 lines"), "{json}");
    }
    std::fs::write(&input, "v 0 0 0\nv 1 0 0\nv 1 1 0\nl 1 2 3\nf 1 2 3\n").unwrap();
    let json = convert(&bench, &input, "stl", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("2 lines and 0 points were left out"), "{json}");
    let facets = std::fs::read_to_string(bench.path("out.stl")).unwrap();
    assert_eq!(
        (facets.matches("facet normal").count(), facets.matches("vertex").count()),
        (1, 3),
        "{facets}"
    );
    std::fs::write(&input, "v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\n").unwrap();
    assert_eq!(convert(&bench, &input, "stl", &[]).succeeded().json()["warnings_total"], 0);
}

#[test]
fn coordinates_that_lose_details_are_told() {
    let bench = Bench::new();
    let input = bench.path("far.obj");
    std::fs::write(
        &input,
        "v 200000.12 550000.34 10\nv 200000.13 550000.34 10.01\nv 200000.14 550000.36 10\nf 1 2 3\n",
    )
    .unwrap();
    let json = convert(&bench, &input, "glb", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("steps of 0.0625"), "{json}");
    assert!(json["warnings"].to_string().contains("--opt origin=auto"), "{json}");
}

/// Vertices of a national grid with centimetres, as their distances from the first one.
#[test]
fn a_model_is_moved_before_its_coordinates_are_rounded() {
    let bench = Bench::new();
    let input = bench.path("far.obj");
    let corners: [(u32, u32, u32); 4] = [(12, 34, 1000), (13, 34, 1001), (13, 35, 1003), (12, 37, 1200)];
    let lines = corners.map(|(x, y, z)| format!("v 200000.{x} 550000.{y} {}.{:02}\n", z / 100, z % 100));
    std::fs::write(&input, format!("{}f 1 2 3\nf 1 3 4\n", lines.concat())).unwrap();
    for (option, by) in
        [("origin=auto", "-200000 -550000 0"), ("origin=200000.1,550000,-5", "-200000.1 -550000 5")]
    {
        let json = convert(&bench, &input, "ply", &["--opt", option]).succeeded().json();
        let warnings = json["warnings"].to_string();
        assert!(warnings.contains(&format!("moved by {by}\"")) && !warnings.contains("steps"), "{json}");
        let text = std::fs::read_to_string(bench.path("out.ply")).unwrap();
        let body = text.split_once("end_header\n").unwrap().1.lines().take(6);
        let vertices: Vec<[f64; 3]> = body
            .map(|line| {
                let numbers: Vec<f64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
                [numbers[0], numbers[1], numbers[2]]
            })
            .collect();
        // The faces have vertices of their own.
        for (vertex, corner) in vertices.iter().zip([0, 1, 2, 0, 2, 3]) {
            let to = |n: u32, first: u32| (f64::from(n) - f64::from(first)) / 100.0;
            let (corner, first) = (corners[corner], corners[0]);
            let expected = [to(corner.0, first.0), to(corner.1, first.1), to(corner.2, first.2)];
            for axis in 0..3 {
                let distance = vertex[axis] - vertices[0][axis];
                assert!((distance - expected[axis]).abs() < 1e-4, "{text}");
            }
        }
    }
    for origin in ["origin=1,2", "origin=near"] {
        convert(&bench, &input, "glb", &["--opt", origin]).failed(2, "usage.option");
    }
    let json = convert(&bench, &real("mesh/cube_ascii.ply"), "glb", &["--opt", "origin=auto"])
        .failed(2, "usage.option");
    assert!(json["error"]["message"].as_str().unwrap().contains("has no effect"), "{json}");
    std::fs::write(&input, "v 1 2 3\nv 1 2 nan\n").unwrap();
    let json = convert(&bench, &input, "glb", &["--opt", "origin=auto"]).failed(27, "engine.unfit");
    assert!(json["error"]["message"].as_str().unwrap().contains("line 2 "), "{json}");
}

/// A drawing with these entities.
fn drawing(entities: &str) -> String {
    format!("  0\nSECTION\n  2\nENTITIES\n{entities}  0\nENDSEC\n  0\nEOF\n")
}

const POINT: &str = "  0\nPOINT\n  8\nSpots\n 10\n1.5\n 20\n2.5\n";
const LINE: &str = "  0\nLINE\n  8\nAxes\n 10\n0\n 20\n0\n 11\n5\n 21\n5\n";

#[test]
fn a_drawing_becomes_a_shapefile_for_each_kind_of_geometry() {
    let bench = Bench::new();
    let input = bench.path("plan.dxf");
    std::fs::write(&input, drawing(&format!("{POINT}{LINE}{LINE}{POINT}{LINE}"))).unwrap();
    let json = convert(&bench, &input, "shp", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("points (2), lines (3)"), "{json}");
    assert!(!json["warnings"].to_string().contains("Attempt"), "{json}");
    let files = crate::parity::read_zip(&bench.path(json["output"]["path"].as_str().unwrap()));
    for name in ["out_points.shp", "out_points.dbf", "out_lines.shp", "out_lines.shx"] {
        assert!(files.contains_key(name), "{:?}", files.keys());
    }
    // Records of a table are counted in its header.
    let records = |name: &str| u32::from_le_bytes(files[name][4..8].try_into().unwrap());
    assert_eq!((records("out_points.dbf"), records("out_lines.dbf")), (2, 3));
    let one = ["--opt", "where=OGR_GEOMETRY='POINT'"];
    let json = convert(&bench, &input, "shp", &one).succeeded().json();
    let files = crate::parity::read_zip(&bench.path(json["output"]["path"].as_str().unwrap()));
    assert!(files.contains_key("out.shp"), "{:?}", files.keys());
}

#[test]
fn all_files_of_an_archive_are_converted() {
    let bench = Bench::new();
    let input = bench.path("in.zip");
    let (first, second) = (drawing(POINT), drawing(LINE));
    let entries = [
        ("a/plan.dxf", Stored, first.as_bytes()),
        ("b/Plan.dxf", Stored, second.as_bytes()),
        ("도로.dxf", Stored, second.as_bytes()),
        ("meta.json", Stored, b"{}"),
    ];
    std::fs::write(&input, zipped(&entries)).unwrap();
    convert(&bench, &input, "geojson", &[]).failed(10, "input.root_ambiguous");
    let json = convert(&bench, &input, "geojson", &["--all"]).succeeded().json();
    assert_eq!(json["parts"].as_array().unwrap().len(), 3, "{json}");
    assert!(json["warnings"].to_string().contains("meta.json"), "{json}");
    let files = crate::parity::read_zip(&bench.path(json["output"]["path"].as_str().unwrap()));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["Plan-2/Plan-2.geojson", "plan/plan.geojson", "도로/도로.geojson"]);
    assert!(String::from_utf8_lossy(&files["plan/plan.geojson"]).contains("\"Point\""));

    // A format that keeps layers has a layer of each.
    let json = convert(&bench, &input, "gpkg", &["--all", "--strict"]).failed(28, "engine.incomplete");
    assert!(json["error"]["message"].as_str().unwrap().contains("meta.json"), "{json}");
    std::fs::write(&input, zipped(&entries[..3])).unwrap();
    let json = convert(&bench, &input, "gpkg", &["--all", "--strict"]).succeeded().json();
    assert_eq!(
        json["counts"],
        serde_json::json!({"unit": "features", "read": 3, "written": 3, "skipped": 0})
    );
    assert!(json["output"]["path"].as_str().unwrap().ends_with("out.gpkg"), "{json}");
    let arguments = ["inspect", &bench.path("out.gpkg").display().to_string(), "--json"];
    let told = bench.run(&arguments).succeeded().json().to_string();
    for layer in ["\"plan\"", "\"Plan-2\"", "\"도로\""] {
        assert!(told.contains(layer), "{layer}: {told}");
    }

    let broken = [("a.dxf", Stored, first.as_bytes()), ("b.geojson", Stored, b"{\"type\": 5")];
    std::fs::write(&input, zipped(&broken)).unwrap();
    let json = convert(&bench, &input, "kml", &["--all"]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().starts_with("b.geojson: "), "{json}");
    let one = [("a.dxf", Stored, first.as_bytes())];
    std::fs::write(&input, zipped(&one)).unwrap();
    let json = convert(&bench, &input, "geojson", &["--all"]).succeeded().json();
    assert!(json["output"]["path"].as_str().unwrap().ends_with("out.geojson"), "{json}");
    bench.assert_no_plaintext_left();
}

#[test]
fn files_of_an_archive_that_are_not_converted_are_named() {
    let bench = Bench::new();
    let input = bench.path("in.zip");
    let plan = drawing(POINT);
    let inner = zipped(&[("b.dxf", Stored, plan.as_bytes())]);
    let entries = [
        ("a.dxf", Stored, plan.as_bytes()),
        ("table.csv", Stored, b"a,b\n1,2\n"),
        ("meta.json", Stored, b"{}"),
        ("house.obj", Stored, b"v 0 0 0\n"),
        ("more/inner.zip", Stored, &inner),
        ("scan.3d", Stored, b"x"),
        ("readme.txt", Stored, b"x"),
        ("old.unknown", Stored, b"x"),
    ];
    for second in [false, true] {
        let also = [("z.dxf", Stored, plan.as_bytes())];
        let more: &[(&str, _, &[u8])] = if second { &also } else { &[] };
        std::fs::write(&input, zipped(&[&entries[..], more].concat())).unwrap();
        let json = convert(&bench, &input, "geojson", &["--all"]).succeeded().json();
        let warnings = json["warnings"].to_string();
        for part in [
            "mostly describe other files: meta.json, table.csv",
            "no engine converts them to geojson: house.obj",
            "archives in the archive: more/inner.zip",
            "no engine converts them to geojson: scan.3d",
        ] {
            assert!(warnings.contains(part), "{part}: {json}");
        }
        assert!(!warnings.contains("readme.txt") && !warnings.contains("unknown"), "{json}");
        assert_eq!(json["losses"], 3, "{json}");
        convert(&bench, &input, "geojson", &["--all", "--strict"]).failed(28, "engine.incomplete");
    }
    std::fs::write(&input, zipped(&entries[..1])).unwrap();
    let json = convert(&bench, &input, "geojson", &["--all"]).succeeded().json();
    assert_eq!(json["warnings_total"], 0, "{json}");
}

#[test]
fn a_file_outside_is_named_and_not_read() {
    let bench = Bench::new();
    let input = model(&bench, ("m.mtl", b"m.mtl"), ("wood.png", b"../elm.png"));
    let json = convert(&bench, &input, "glb", &[]).succeeded().json();
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("../elm.png") && warnings.contains("outside"), "{json}");
}

#[test]
fn an_archive_that_no_server_reads_is_refused_before_it_is_sent() {
    let bench = Bench::new();
    let input = bench.path("in.zip");
    std::fs::write(&input, zipped(&[("a;1", Stored, b"x"), ("a", Stored, b"y")])).unwrap();
    // Nothing listens there.
    let arguments =
        ["submit", input.to_str().unwrap(), "--to", "dxf", "--server", "http://127.0.0.1:9", "--json"];
    bench.run(&arguments).failed(10, "input.archive.duplicate_name");
}
