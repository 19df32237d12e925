//! Drawings that ask for the release and the areas of ogr2ogr have its entities, byte for byte, whatever
//! the other options are: so the features are those that `ogr2ogr` writes with the same options.

use super::{Case, Tool, VECTOR_DATA, open_zip};
use crate::support::{Bench, real};
use std::path::Path;

/// Options of the translation, and the equivalent switches of `ogr2ogr`.
const OPTIONS: &[(&[&str], &[&str])] = &[
    (&[], &[]),
    (&["t_srs=EPSG:3857"], &["-t_srs", "EPSG:3857"]),
    (&["where=OGR_GEOM_AREA > 100"], &["-where", "OGR_GEOM_AREA > 100"]),
    (&["limit=7"], &["-limit", "7"]),
    (&["spat=-20,35,40,70"], &["-spat", "-20", "35", "40", "70"]),
    (&["clipsrc=-20,35,40,70"], &["-clipsrc", "-20", "35", "40", "70"]),
    (&["simplify=0.5"], &["-simplify", "0.5"]),
    (&["segmentize=2"], &["-segmentize", "2"]),
    (&["explodecollections=yes"], &["-explodecollections"]),
    (&["makevalid=yes"], &["-makevalid"]),
    (&["dim=XYZ"], &["-dim", "XYZ"]),
    (&["dim=XY", "limit=3"], &["-dim", "XY", "-limit", "3"]),
    (&["nlt=PROMOTE_TO_MULTI"], &["-nlt", "PROMOTE_TO_MULTI"]),
    (&["nlt=CONVERT_TO_LINEAR", "skipfailures=yes"], &["-nlt", "CONVERT_TO_LINEAR", "-skipfailures"]),
    (&["a_srs=EPSG:4326", "gt=50"], &["-a_srs", "EPSG:4326", "-gt", "50"]),
];

/// The section of entities, with line ends of our own.
fn entities(path: &Path) -> String {
    let text =
        String::from_utf8(std::fs::read(path).expect("a drawing")).expect("ASCII").replace("\r\n", "\n");
    let begin = text.find("ENTITIES").expect("a section of entities");
    text[begin..][..text[begin..].find("ENDSEC").expect("its end")].to_owned()
}

/// What differs, if anything does; `None` if `ogr2ogr` refuses to draw.
fn difference(case: &Case, (options, switches): (&[&str], &[&str])) -> Option<Result<usize, String>> {
    let bench = Bench::new();
    let given = real(case.input);
    let input = if case.root.is_empty() {
        given.clone()
    } else {
        let directory = bench.path("input");
        open_zip(&given).extract(&directory).expect("the fixture is a zip archive");
        directory.join(case.root)
    };
    let directory = bench.path("vendor");
    std::fs::create_dir(&directory).expect("a directory");
    let all: Vec<&str> = case.switches.iter().chain(switches).copied().collect();
    let output = Tool::Ogr2ogr.run(&directory, &input, Tool::Ogr2ogr.format("dxf"), &all);
    if !output.status.success() {
        return None;
    }
    let mut arguments = vec!["convert", given.to_str().expect("UTF-8"), "--to", "dxf", "-o", "out.dxf"];
    let ogr = ["dxf.version=2004", "dxf.polygon=hatch"];
    let options: Vec<&str> = case.options.iter().chain(options).chain(&ogr).copied().collect();
    arguments.extend(options.iter().flat_map(|option| ["--opt", option]));
    let run = bench.run(&arguments);
    if run.code != Some(0) {
        return Some(Err(format!("{run:?}")));
    }
    let (ours, theirs) = (entities(&bench.path("out.dxf")), entities(&directory.join("out.dxf")));
    let first = ours.lines().zip(theirs.lines()).position(|(ours, theirs)| ours != theirs);
    let told =
        || format!("different at line {first:?} of {} and {}", ours.lines().count(), theirs.lines().count());
    Some(if ours == theirs { Ok(ours.matches("AcDbEntity").count()) } else { Err(told()) })
}

/// Compares where `takes` says so, and returns how many entities were equal, and how often nothing
/// could be compared.
fn compare(takes: impl Fn(usize, usize) -> bool) -> (usize, usize) {
    let (mut equal, mut refused, mut failures) = (0, 0, Vec::new());
    for (place, case) in VECTOR_DATA.iter().enumerate().filter(|(_, case)| case.to.contains(&"dxf")) {
        for (number, (options, switches)) in OPTIONS.iter().enumerate() {
            // GDAL makes the colours of a MapInfo table when they are asked for, which an option's
            // translation does not do: that is told.
            let is_table = case.root.ends_with(".tab") && !matches!(number, 0 | 2 | 3 | 4);
            if is_table || !takes(place, number) {
                continue;
            }
            match difference(case, (options, switches)) {
                Some(Ok(entities)) => equal += entities,
                Some(Err(text)) => failures.push(format!("{} {options:?}: {text}", case.input)),
                None => refused += 1,
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    (equal, refused)
}

#[test]
fn entities_are_those_of_ogr2ogr() {
    let (equal, refused) = compare(|place, number| number == 0 || (place + number) % 6 == 0);
    assert!(equal > 1000 && refused <= 3, "{equal} entities are equal, {refused} times there was none");
}

#[ignore = "in `make nightly`"]
#[test]
fn entities_are_those_of_ogr2ogr_with_each_option_on_each_input() {
    let (equal, refused) = compare(|_, _| true);
    assert!(equal > 10_000 && refused <= 9, "{equal} entities are equal, {refused} times there was none");
}
