//! A single output file is zipped on request, and its content is the same.

use crate::support::{Bench, real};
use std::io::Read;

/// The path that `cadmill convert` prints, and the content of that file.
fn converted(bench: &Bench, input: &str, more: &[&str]) -> (String, Vec<u8>) {
    let input = real(input);
    let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", "dxf"];
    arguments.extend(more);
    let run = bench.run(&arguments).succeeded();
    let path = run.stdout.trim().to_owned();
    let bytes = std::fs::read(bench.path(&path)).unwrap();
    bench.assert_no_plaintext_left();
    (path, bytes)
}

/// The only file of an archive: its name and content.
fn only_file(bytes: &[u8]) -> (String, Vec<u8>) {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    assert_eq!(zip.len(), 1);
    let mut file = zip.by_index(0).unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    (file.name().unwrap().into_owned(), content)
}

#[test]
fn never_always_and_auto() {
    let bench = Bench::new();
    // 5 MB of DXF, and 70 kB.
    let (large, small) = ("gis/countries_50m.zip", "gis/naturalearth_cities.zip");
    let (path, plain) = converted(&bench, large, &["-o", "plain.dxf"]);
    assert_eq!(path, "plain.dxf");
    assert!(plain.len() > 1 << 20, "{}", plain.len());
    for when in ["always", "auto"] {
        let (path, zipped) = converted(&bench, large, &["-o", "plain.dxf", "--compress", when]);
        assert_eq!(path, "plain.dxf.zip");
        assert_eq!(only_file(&zipped), ("plain.dxf".to_owned(), plain.clone()));
        assert!(zipped.len() < plain.len() / 2);
    }
    let (path, little) = converted(&bench, small, &["-o", "little.dxf", "--compress", "auto"]);
    assert_eq!(path, "little.dxf");
    assert!(little.len() < 1 << 20, "{}", little.len());
    let (path, zipped) = converted(&bench, small, &["-o", "little.dxf", "--compress", "always"]);
    assert_eq!((path.as_str(), only_file(&zipped)), ("little.dxf.zip", ("little.dxf".to_owned(), little)));
}
