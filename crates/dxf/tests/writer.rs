//! What the writer refuses, counts, patches and appends.

mod common;

use cadmill_dxf::lint::{Profile, check, read};
use cadmill_dxf::*;
use common::sample::{self, X, Y};
use std::io::{self, Write};

fn drawing(settings: Settings) -> Drawing {
    Setup::new(settings).finish().unwrap()
}

fn label(text: &str) -> Text<'_> {
    Text {
        at: [X, Y, 0.0],
        height: 1.0,
        text,
        style: TextStyleId::STANDARD,
        rotation: 0.0,
        horizontal: Horizontal::Left,
        vertical: Vertical::Baseline,
    }
}

#[test]
fn what_is_refused_leaves_nothing() {
    let mut setup = Setup::new(sample::settings(Version::R2007));
    let application = setup.application("CADMILL");
    let block = setup.block("b", Block::default());
    let drawing = setup.finish().unwrap();
    let mut chunk = drawing.chunk(drawing.first_handle(), Vec::new());
    let plain = Properties::default();
    let (nan, square) = (f64::NAN, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]);
    let lengths = Polyline { bulges: &[1.0], ..Polyline::new(&square, true) };
    let infinite = Polyline { elevation: Some(f64::INFINITY), ..Polyline::new(&square, true) };
    let insert = Insert { block, at: [0.0; 3], scale: [1.0; 3], rotation: 0.0, attributes: &[] };
    let faces: [&[u32]; 1] = [&[0, 1, 9]];
    let no_faces: [&[u32]; 1] = [&[0, 1, 1]];
    let corners = [[0.0, 0.0, 0.0]; 4];
    let long = "x".repeat(250);
    let many = [DataValue::Text(&long); 66];
    let refuse_data = |out: &mut Entities<'_, Vec<u8>>, values: &[DataValue<'_>]| {
        let data = [ExtendedData { application, values }];
        out.point(&Properties { data: &data, ..plain }, [0.0, 0.0])
    };
    let out = &mut chunk;
    let results = [
        (out.point(&plain, [nan, 0.0]), Refusal::NotFinite),
        (out.point(&Properties { linetype_scale: nan, ..plain }, [0.0, 0.0]), Refusal::NotPositive),
        (out.line(&plain, [0.0, 0.0], [0.0, f64::INFINITY]), Refusal::NotFinite),
        (out.circle(&plain, [0.0, 0.0], 0.0), Refusal::NotPositive),
        (out.arc(&plain, [0.0, 0.0], 1.0, 0.0, nan), Refusal::NotFinite),
        (out.polyline(&plain, &Polyline::new(&square[..1], false)), Refusal::TooFewVertices),
        (out.polyline(&plain, &Polyline::new(&[square[0], square[0]], true)), Refusal::TooFewVertices),
        (out.polyline(&plain, &lengths), Refusal::Lengths),
        (out.polyline(&plain, &infinite), Refusal::NotFinite),
        (out.polyline_in_space(&plain, &corners[..1], false), Refusal::TooFewVertices),
        (out.hatch(&plain, &[&square[..2]], 0.0), Refusal::TooFewVertices),
        (out.hatch(&plain, &[&square[1..]], nan), Refusal::NotFinite),
        (out.hatch::<[f64; 2], Vec<[f64; 2]>>(&plain, &[], 0.0), Refusal::TooFewVertices),
        (out.face(&plain, &square[..2]), Refusal::TooFewVertices),
        (out.face(&plain, &[[0.0; 2], [1.0; 2], [2.0; 2], [3.0; 2], [4.0; 2]]), Refusal::Face),
        (out.polyface(&plain, &corners, &faces), Refusal::Face),
        (out.polyface(&plain, &corners, &no_faces), Refusal::TooFewVertices),
        (out.mesh(&plain, &corners, &faces), Refusal::Version),
        (out.text(&plain, &label(" \n\u{a0}")), Refusal::EmptyText),
        (out.text(&plain, &Text { height: 0.0, ..label("a") }), Refusal::NotPositive),
        (out.insert(&plain, &Insert { scale: [1.0, 0.0, 1.0], ..insert }), Refusal::NotPositive),
        (out.insert(&plain, &Insert { attributes: &["a"], ..insert }), Refusal::Lengths),
        (refuse_data(out, &[DataValue::Begin]), Refusal::Braces),
        (refuse_data(out, &[DataValue::End, DataValue::Begin]), Refusal::Braces),
        (refuse_data(out, &[DataValue::Real(nan)]), Refusal::NotFinite),
        (refuse_data(out, &many), Refusal::ExtendedData),
    ];
    for (number, (result, expected)) in results.into_iter().enumerate() {
        match result {
            Err(Error::Refused(refusal)) => assert_eq!(refusal, expected, "{number}"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!((out.next_handle(), out.report()), (drawing.first_handle(), Report::default()));
    assert!(out.extents().is_empty());
    assert!(chunk.into_chunk().unwrap().is_empty());
}

#[test]
fn what_is_changed_is_counted() {
    let mut setup = Setup::new(Settings { version: Version::R2000, ..sample::settings(Version::R2000) });
    let layer = setup.layer("é", Layer::default());
    let application = setup.application("CADMILL");
    let drawing = setup.finish().unwrap();
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    let out = writer.entities();
    let plain = Properties::on(layer);
    let ring = [[0.0, 0.0], [9.0, 0.0], [9.0, 9.0]];
    let spatial = [[0.0; 3], [9.0, 0.0, 0.0], [9.0, 9.0, 0.0]];
    let long = "가".repeat(200);
    let values = [DataValue::Text(&long)];
    let data = [ExtendedData { application, values: &values }];
    let faces: [&[u32]; 2] = [&[0, 1, 2], &[0, 1, 1]];
    let all = |out: &mut Entities<'_, Vec<u8>>| -> Result<(), Error> {
        out.text(&plain, &label("aéb\u{1}"))?;
        out.text(&plain, &label(r"\U+AC00"))?;
        out.text(&plain, &label(&long))?;
        out.text(&plain, &label("a\nb"))?;
        out.hatch(&plain, &[&ring[..], &ring[..2]], 0.0)?;
        out.polyface(&plain, &spatial, &faces)?;
        out.point(&Properties { color: Color::Rgb(1, 2, 3), data: &data, ..plain }, ring[0])
    };
    all(out).unwrap();
    let finished = writer.finish().unwrap();
    let expected = Report {
        entities: 7,
        // One is in the layer's name.
        escaped_characters: 2,
        dropped_controls: 1,
        escaped_escapes: 1,
        long_texts: 2,
        split_strings: 1,
        dropped_rings: 1,
        dropped_faces: 1,
        indexed_colors: 1,
        ..Report::default()
    };
    assert_eq!(finished.report, expected);
    let bytes = sample::patched(finished);
    assert_eq!(check(&bytes, Profile::Strict), []);
    let entities = read(&bytes).unwrap();
    assert_eq!(entities[0].layer(), "é");
    assert_eq!((entities[2].kind.as_str(), entities[2].text()), ("MTEXT", long));
}

/// The value of a header variable in a finished drawing.
fn variable<'a>(text: &'a str, name: &str, code: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("{name}\r\n")).unwrap();
    let (_, value) = after.split_once(&format!("{code:>3}\r\n")).unwrap();
    value.lines().next().unwrap()
}

#[test]
fn what_is_known_last_replaces_what_was_written() {
    let write = |settings: Settings| {
        let drawing = drawing(settings);
        let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
        writer.entities().line(&Properties::default(), [X, Y, -1.0], [X + 30.0, Y + 10.0, 5.0]).unwrap();
        writer.finish().unwrap()
    };
    let unknown = write(Settings::default());
    assert!(!unknown.patches.is_empty());
    let extents = unknown.extents;
    assert_eq!((extents.min, extents.max), ([X, Y, -1.0], [X + 30.0, Y + 10.0, 5.0]));
    let patched = sample::patched(unknown);
    let text = String::from_utf8(patched.clone()).unwrap();
    assert_eq!(variable(&text, "$EXTMIN", "10").parse::<f64>().unwrap(), X);
    assert_eq!(variable(&text, "$EXTMAX", "30").trim().parse::<f64>().unwrap(), 5.0);
    assert_eq!(variable(&text, "$HANDSEED", "5"), "00000101");

    let known = write(Settings { extents: Some(extents), handle_seed: Some(0x101), ..Settings::default() });
    assert_eq!(known.patches, []);
    assert_eq!(known.out, patched);
    // A seed that is too small is replaced all the same.
    let small = write(Settings { extents: Some(extents), handle_seed: Some(0x100), ..Settings::default() });
    assert_eq!(small.patches.len(), 1);
    assert_eq!(sample::patched(small), patched);

    let drawing = drawing(Settings::default());
    let empty = Writer::new(Vec::new(), &drawing).unwrap().finish().unwrap();
    assert_eq!(empty.patches.len(), 1);
    assert_eq!(check(&sample::patched(empty), Profile::Strict), []);
}

#[test]
fn patches_are_applied_to_files() {
    let drawing = drawing(Settings::default());
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = Writer::new(io::BufWriter::new(&file), &drawing).unwrap();
    writer.entities().point(&Properties::default(), [1.0, 2.0]).unwrap();
    let patches = writer.finish().unwrap().patches;
    for patch in &patches {
        patch.apply(&mut file).unwrap();
    }
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut file).unwrap();
    io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    assert_eq!(check(&bytes, Profile::Strict), []);
}

#[test]
fn chunks_are_appended() {
    for dialect in [Dialect::Plain, Dialect::Ogr] {
        let drawing = drawing(Settings { dialect, ..Settings::default() });
        let plain = Properties::default();
        let vertices = [[0.0, 0.0, 1.0], [1.0, 0.0, 2.0]];
        let mut whole = Writer::new(Vec::new(), &drawing).unwrap();
        whole.entities().polyline_in_space(&plain, &vertices, false).unwrap();
        whole.entities().point(&plain, [5.0, 6.0]).unwrap();
        let whole = whole.finish().unwrap();

        let mut parts = Writer::new(Vec::new(), &drawing).unwrap();
        let mut first = drawing.chunk(drawing.first_handle(), Vec::new());
        // Four handles: the polyline, two vertices and the end.
        let mut second = drawing.chunk(drawing.first_handle() + 4, b"old".to_vec());
        second.point(&plain, [5.0, 6.0]).unwrap();
        first.polyline_in_space(&plain, &vertices, false).unwrap();
        let (first, second) = (first.into_chunk().unwrap(), second.into_chunk().unwrap());
        assert_eq!(first.next_handle(), drawing.first_handle() + 4);
        parts.append(&first).unwrap();
        parts.append(&second).unwrap();
        assert!(matches!(parts.append(&second), Err(Error::Order { .. })));
        let parts = parts.finish().unwrap();
        assert_eq!((parts.extents, parts.report), (whole.extents, whole.report));
        assert_eq!(sample::patched(parts), sample::patched(whole));
    }
}

/// Counts what it gets, and remembers the longest piece.
#[derive(Default)]
struct Meter {
    total: usize,
    longest: usize,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total += bytes.len();
        self.longest = self.longest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn long_entities_are_written_in_pieces() {
    let drawing = drawing(sample::settings(Version::R2010));
    let mut writer = Writer::new(Meter::default(), &drawing).unwrap();
    let vertices: Vec<[f64; 3]> = (0..40_000).map(|n| [X + f64::from(n), Y, f64::from(n)]).collect();
    let faces: Vec<[u32; 3]> = (2..40_000).map(|n| [0, n - 1, n]).collect();
    let plain = Properties::default();
    let all = |out: &mut Entities<'_, Meter>| -> Result<(), Error> {
        out.polyline(&plain, &Polyline::new(&vertices, false))?;
        out.polyline_in_space(&plain, &vertices, false)?;
        out.hatch(&plain, &[&vertices], 0.0)?;
        out.mesh(&plain, &vertices, &faces)?;
        out.polyface(&plain, &vertices, &faces)
    };
    all(writer.entities()).unwrap();
    let Finished { out, length, report, .. } = writer.finish().unwrap();
    assert_eq!(out.total as u64, length);
    assert!(out.total > 20_000_000 && out.longest < 512 << 10, "{} of {}", out.longest, out.total);
    // The last one is two.
    assert_eq!((report.entities, report.split_meshes), (6, 1));
}

#[test]
fn split_meshes_have_all_faces() {
    let drawing = drawing(sample::settings(Version::R2004));
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    let count = 33_000u32;
    let vertices: Vec<[f64; 3]> = (0..count).map(|n| [f64::from(n), f64::from(n % 7), 0.0]).collect();
    let faces: Vec<[u32; 3]> = (2..count).map(|n| [n - 2, n - 1, n]).collect();
    writer.entities().polyface(&Properties::default(), &vertices, &faces).unwrap();
    let bytes = sample::patched(writer.finish().unwrap());
    assert_eq!(check(&bytes, Profile::Strict), []);
    let mut read_faces = Vec::new();
    for mesh in read(&bytes).unwrap() {
        let points: Vec<[f64; 3]> = mesh.parts.iter().flat_map(|part| part.points(10)).collect();
        for face in mesh.parts.iter().filter(|part| part.get(70) == Some("128")) {
            let corner = |code| points[face.real(code).unwrap() as usize - 1][0] as u32;
            read_faces.push([corner(71), corner(72), corner(73)]);
        }
    }
    assert_eq!(read_faces, faces);
}

/// Fails after so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_output_is_told() {
    let drawing = drawing(Settings::default());
    let mut writer = Writer::new(Full(1 << 20), &drawing).unwrap();
    let error = (0..100_000).find_map(|_| writer.entities().point(&Properties::default(), [X, Y]).err());
    assert!(matches!(error, Some(Error::Io(error)) if error.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn setups_are_checked() {
    let mut setup = Setup::new(Settings::default());
    setup.linetype("L", "", &[f64::NAN]);
    assert_eq!(setup.finish().err(), Some(SetupError::Number("L".to_owned())));
    let mut setup = Setup::new(Settings { dialect: Dialect::Ogr, ..Settings::default() });
    for number in 0..131_072 {
        setup.layer(&number.to_string(), Layer::default());
    }
    assert_eq!(setup.finish().err(), Some(SetupError::TooMany));
}

#[test]
fn names_are_found_and_renamed() {
    let mut setup = Setup::new(Settings::default());
    let first = setup.layer("a/b", Layer::default());
    assert_eq!(setup.layer("a/b", Layer { frozen: true, ..Layer::default() }), first);
    let drawing = setup.finish().unwrap();
    assert_eq!((drawing.layer("a/b"), drawing.layer("0")), (Some(first), Some(LayerId::ZERO)));
    assert_eq!(drawing.layer("a_b"), None);
    let renamed = Renamed { kind: NameKind::Layer, from: "a/b".to_owned(), to: "a_b".to_owned() };
    assert_eq!(drawing.renamed(), [renamed]);
}
