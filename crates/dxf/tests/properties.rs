//! Any geometry and any text is read back as it was: by the linter's reader always, and by ezdxf in
//! one batch. No drawing breaks a rule.

mod common;

use cadmill_dxf::lint::{Entity, Profile, check, read};
use cadmill_dxf::*;
use common::{ezdxf, sample};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// An entity, and what readers must find.
#[derive(Debug, Clone)]
enum Shape {
    Point([f64; 3]),
    Line([f64; 3], [f64; 3]),
    Polyline { vertices: Vec<[f64; 2]>, bulges: Vec<f64>, closed: bool, elevation: f64 },
    InSpace(Vec<[f64; 3]>, bool),
    Hatch(Vec<Vec<[f64; 2]>>, f64),
    Face(Vec<[f64; 3]>),
    Polyface(Vec<[f64; 3]>),
    Text(String),
    MText(String),
    Insert(String),
    Data(String),
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e7..1e7f64,
        2 => (-10_000_000_000i64..10_000_000_000).prop_map(|mm| mm as f64 / 1000.0),
        1 => proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
    ]
}

fn point() -> impl Strategy<Value = [f64; 3]> {
    [real(), real(), real()]
}

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        3 => proptest::char::range('가', '힣'),
        3 => proptest::char::range(' ', '~'),
        2 => proptest::sample::select(r"^%%%\\{}PUM+~0123ABcd".chars().collect::<Vec<_>>()),
        1 => proptest::sample::select("\n\r\t\u{a0}\u{85}\u{2028}é漢😀".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    // Some are longer than a piece and than a value.
    prop_oneof![4 => vec(character(), 1..20), 1 => vec(character(), 1..400)]
        .prop_map(String::from_iter)
        .prop_filter("readers see nothing of it", |text| {
            text.chars().any(|c| !c.is_whitespace() && !c.is_control())
        })
}

fn ring() -> impl Strategy<Value = Vec<[f64; 2]>> {
    vec([real(), real()], 3..8).prop_filter("its ends are one", |ring| ring.first() != ring.last())
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        point().prop_map(Shape::Point),
        (point(), point()).prop_map(|(from, to)| Shape::Line(from, to)),
        (ring(), any::<bool>(), real(), vec(-2.0..2.0f64, 8)).prop_map(
            |(vertices, closed, elevation, bulges)| {
                let bulges = bulges[..vertices.len()].to_vec();
                Shape::Polyline { vertices, bulges, closed, elevation }
            }
        ),
        (vec(point(), 3..8), any::<bool>())
            .prop_filter("its ends are one", |(vertices, _)| vertices.first() != vertices.last())
            .prop_map(|(vertices, closed)| Shape::InSpace(vertices, closed)),
        (vec(ring(), 1..4), real()).prop_map(|(rings, elevation)| Shape::Hatch(rings, elevation)),
        vec(point(), 4).prop_filter("its ends are one", |c| c[0] != c[3]).prop_map(Shape::Face),
        vec(point(), 3..6).prop_map(Shape::Polyface),
        text().prop_map(Shape::Text),
        text().prop_map(Shape::MText),
        text().prop_map(Shape::Insert),
        text().prop_map(Shape::Data),
    ]
}

/// A drawing: its settings, names of layers, and entities on them.
#[derive(Debug, Clone)]
struct Case {
    version: Version,
    page: u16,
    shapes: Vec<(String, Shape)>,
}

fn case() -> impl Strategy<Value = Case> {
    let version = proptest::sample::select(Version::ALL.to_vec());
    let page = proptest::sample::select(CodePage::NUMBERS.to_vec());
    let layers =
        vec(text(), 3).prop_map(|names| names.into_iter().chain(["0".to_owned()]).collect::<Vec<_>>());
    (version, page, layers, vec((0..4usize, shape()), 1..6)).prop_map(|(version, page, layers, shapes)| {
        Case {
            version,
            page,
            shapes: shapes.into_iter().map(|(layer, shape)| (layers[layer].clone(), shape)).collect(),
        }
    })
}

struct Written {
    bytes: Vec<u8>,
    /// The layer of each entity.
    layers: Vec<String>,
    extents: Extents,
}

fn write(case: &Case) -> Written {
    let code_page = CodePage::new(case.page).unwrap();
    let mut setup = Setup::new(Settings { version: case.version, code_page, ..Settings::default() });
    let layers: Vec<LayerId> =
        case.shapes.iter().map(|(layer, _)| setup.layer(layer, Layer::default())).collect();
    let attribute = AttributeDefinition {
        tag: "TAG".to_owned(),
        at: [0.0; 3],
        height: 1.0,
        style: TextStyleId::STANDARD,
        visible: true,
    };
    let block = setup.block("BLOCK", Block { attributes: vec![attribute], ..Block::default() });
    let application = setup.application("CADMILL");
    let drawing = setup.finish().unwrap();
    let renamed = |layer: &String| {
        let found = drawing.renamed().iter().find(|each| each.kind == NameKind::Layer && each.from == *layer);
        found.map_or_else(|| layer.clone(), |each| each.to.clone())
    };
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    for ((_, shape), layer) in case.shapes.iter().zip(layers) {
        put(writer.entities(), shape, &Properties::on(layer), block, application).unwrap();
    }
    let finished = writer.finish().unwrap();
    let extents = finished.extents;
    let layers = case.shapes.iter().map(|(layer, _)| renamed(layer)).collect();
    Written { bytes: sample::patched(finished), layers, extents }
}

fn put(
    out: &mut Entities<'_, Vec<u8>>,
    shape: &Shape,
    properties: &Properties<'_>,
    block: BlockId,
    application: ApplicationId,
) -> Result<(), Error> {
    let label = Text {
        at: [0.0; 3],
        height: 1.0,
        text: "",
        style: TextStyleId::STANDARD,
        rotation: 0.0,
        horizontal: Horizontal::Left,
        vertical: Vertical::Baseline,
    };
    match shape {
        Shape::Point(at) => out.point(properties, *at),
        Shape::Line(from, to) => out.line(properties, *from, *to),
        Shape::Polyline { vertices, bulges, closed, elevation } => {
            let elevation = Some(*elevation);
            out.polyline(properties, &Polyline { bulges, elevation, ..Polyline::new(vertices, *closed) })
        }
        Shape::InSpace(vertices, closed) => out.polyline_in_space(properties, vertices, *closed),
        Shape::Hatch(rings, elevation) => out.hatch(properties, rings, *elevation),
        Shape::Face(corners) => out.face(properties, corners),
        Shape::Polyface(vertices) => {
            let faces: Vec<[u32; 3]> = (2..vertices.len() as u32).map(|last| [0, last - 1, last]).collect();
            out.polyface(properties, vertices, &faces)
        }
        Shape::Text(text) => out.text(properties, &Text { text, ..label }),
        Shape::MText(text) => out.mtext(
            properties,
            &MText {
                at: [0.0; 3],
                height: 1.0,
                width: 0.0,
                text,
                style: TextStyleId::STANDARD,
                rotation: 0.0,
                attachment: Attachment::TopLeft,
            },
        ),
        Shape::Insert(text) => out.insert(
            properties,
            &Insert { block, at: [0.0; 3], scale: [1.0; 3], rotation: 0.0, attributes: &[text] },
        ),
        Shape::Data(text) => {
            let values = [DataValue::Text(text)];
            let data = [ExtendedData { application, values: &values }];
            out.point(&Properties { data: &data, ..*properties }, [0.0, 0.0])
        }
    }
}

/// What a text says where its line breaks are this.
fn said(text: &str, line_break: char) -> String {
    let text = text.replace("\r\n", "\n");
    let kept = text.chars().filter_map(|c| match c {
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(line_break),
        '\t' => Some(c),
        _ if c.is_control() => None,
        _ => Some(c),
    });
    kept.collect()
}

fn in_plane(vertices: &[[f64; 2]], height: f64) -> Vec<[f64; 3]> {
    vertices.iter().map(|[x, y]| [*x, *y, height]).collect()
}

/// What the linter's reader must find.
fn compare(shape: &Shape, entity: &Entity) {
    match shape {
        Shape::Point(at) => assert_eq!(entity.points(10), [*at]),
        Shape::Line(from, to) => assert_eq!([entity.points(10), entity.points(11)], [vec![*from], vec![*to]]),
        Shape::Polyline { vertices, bulges, closed, elevation } => {
            assert_eq!(entity.points(10), in_plane(vertices, 0.0));
            assert_eq!(entity.real(38), Some(*elevation));
            assert_eq!(entity.get(70), Some(if *closed { "129" } else { "128" }));
            let written: Vec<f64> = entity.all(42).map(|bulge| bulge.parse().unwrap()).collect();
            assert_eq!(written, bulges.iter().copied().filter(|bulge| *bulge != 0.0).collect::<Vec<_>>());
        }
        Shape::InSpace(vertices, closed) => {
            let written: Vec<_> = entity.parts.iter().flat_map(|vertex| vertex.points(10)).collect();
            assert_eq!(written, *vertices);
            assert_eq!(entity.get(70), Some(if *closed { "9" } else { "8" }));
        }
        Shape::Hatch(rings, elevation) => {
            let mut points = entity.points(10).into_iter();
            assert_eq!(points.next(), Some([0.0, 0.0, *elevation]));
            for ring in rings {
                assert_eq!(points.by_ref().take(ring.len()).collect::<Vec<_>>(), in_plane(ring, 0.0));
            }
            assert_eq!(points.len(), 1);
        }
        Shape::Face(corners) => {
            let written: Vec<_> = (10..14).flat_map(|code| entity.points(code)).collect();
            assert_eq!(written, *corners);
        }
        Shape::Polyface(vertices) => {
            let written: Vec<_> = entity.parts.iter().flat_map(|vertex| vertex.points(10)).collect();
            assert_eq!(written[..vertices.len()], *vertices);
        }
        Shape::Text(text) | Shape::MText(text) => assert_eq!(entity.text(), said(text, '\n')),
        Shape::Insert(text) => {
            let (written, text) = (entity.parts[0].text(), said(text, ' '));
            // It may be cut.
            assert!(
                text.starts_with(&written) && (written == text || entity.parts[0].get(1).unwrap().len() > 80)
            );
        }
        Shape::Data(text) => {
            let written: String = entity.all(1000).map(lint::plain).collect();
            assert_eq!(written, said(text, '\n'));
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(case in case()) {
        let written = write(&case);
        let findings = check(&written.bytes, Profile::Strict);
        prop_assert!(findings.is_empty(), "{:#?}", findings.iter().map(ToString::to_string).collect::<Vec<_>>());
        let entities = read(&written.bytes).unwrap();
        prop_assert_eq!(entities.len(), case.shapes.len());
        let mut extents = Extents::EMPTY;
        for (((_, shape), layer), entity) in case.shapes.iter().zip(&written.layers).zip(&entities) {
            prop_assert_eq!(&entity.layer(), layer);
            compare(shape, entity);
            grow(&mut extents, shape);
        }
        // Points along arcs come close to what these reach.
        let (near, exact) = (case.shapes.iter().map(|(_, shape)| slack(shape)).fold(0.0, f64::max), extents);
        for (written, exact) in [(written.extents.min, exact.min), (written.extents.max, exact.max)] {
            for (written, exact) in written.into_iter().zip(exact) {
                prop_assert!((written - exact).abs() <= near, "{} {} {}", written, exact, near);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_lines_are_checked_without_a_panic(
        version in proptest::sample::select(Version::ALL.to_vec()),
        changes in vec((any::<usize>(), any::<usize>(), 0..4), 1..20),
    ) {
        let drawing = sample::everything(sample::settings(version));
        let mut lines: Vec<&[u8]> = drawing.split(|byte| *byte == b'\n').collect();
        for (at, other, change) in changes {
            let (at, other) = (at % lines.len(), other % lines.len());
            match change {
                0 => drop(lines.remove(at)),
                1 => lines.swap(at, other),
                2 => lines[at] = lines[other],
                _ => lines[at] = &lines[at][..lines[at].len() / 2],
            }
        }
        check(&lines.join(&b'\n'), Profile::Strict);
        let _ = read(&lines.join(&b'\n'));
    }
}

fn grow(extents: &mut Extents, shape: &Shape) {
    match shape {
        Shape::Point(at) => extents.add(*at),
        Shape::Line(from, to) => [from, to].into_iter().for_each(|end| extents.add(*end)),
        Shape::Polyline { vertices, elevation, .. } => {
            in_plane(vertices, *elevation).into_iter().for_each(|vertex| extents.add(vertex));
            for (start, end, bulge) in arcs(shape) {
                (1..STEPS).for_each(|step| {
                    let [x, y] = along(start, end, bulge, f64::from(step) / f64::from(STEPS));
                    extents.add([x, y, *elevation]);
                });
            }
        }
        Shape::InSpace(vertices, _) | Shape::Face(vertices) | Shape::Polyface(vertices) => {
            vertices.iter().for_each(|vertex| extents.add(*vertex));
        }
        Shape::Hatch(rings, elevation) => {
            let vertices = rings.iter().flat_map(|ring| in_plane(ring, *elevation));
            vertices.for_each(|vertex| extents.add(vertex));
        }
        Shape::Text(_) | Shape::MText(_) | Shape::Insert(_) | Shape::Data(_) => extents.add([0.0; 3]),
    }
}

/// Points along an arc.
const STEPS: u32 = 256;

/// The arcs of a polyline: their ends, and their bulges.
fn arcs(shape: &Shape) -> Vec<([f64; 2], [f64; 2], f64)> {
    let Shape::Polyline { vertices, bulges, closed, .. } = shape else { return Vec::new() };
    let ends = vertices.iter().skip(1).chain(closed.then(|| &vertices[0]));
    vertices.iter().zip(ends).zip(bulges).map(|((start, end), bulge)| (*start, *end, *bulge)).collect()
}

/// The point of an arc at a part of its angle: the chord to it turns with it.
fn along(start: [f64; 2], end: [f64; 2], bulge: f64, part: f64) -> [f64; 2] {
    let angle = 4.0 * bulge.atan();
    if angle == 0.0 {
        return start;
    }
    let (dx, dy) = (end[0] - start[0], end[1] - start[1]);
    let length = (part * angle / 2.0).sin() / (angle / 2.0).sin();
    let (sin, cos) = (-(1.0 - part) * angle / 2.0).sin_cos();
    [start[0] + length * (dx * cos - dy * sin), start[1] + length * (dx * sin + dy * cos)]
}

/// How far an arc may reach beyond the points along it.
fn slack(shape: &Shape) -> f64 {
    let of = |(start, end, bulge): ([f64; 2], [f64; 2], f64)| {
        let chord = (end[0] - start[0]).hypot(end[1] - start[1]);
        let radius = chord * (bulge + 1.0 / bulge).abs() / 4.0;
        let step = 4.0 * bulge.atan() / f64::from(STEPS);
        // Rounding too.
        if bulge == 0.0 { 0.0 } else { radius * (1.0 - (step / 2.0).cos()) + chord * 1e-5 }
    };
    arcs(shape).into_iter().map(of).fold(0.0, f64::max)
}

/// What ezdxf must find, but for the layer.
fn expected(shape: &Shape) -> Value {
    match shape {
        Shape::Point(at) => json!({"kind": "POINT", "points": [at]}),
        Shape::Line(from, to) => json!({"kind": "LINE", "points": [from, to]}),
        Shape::Polyline { vertices, bulges, closed, elevation } => json!({
            "kind": "LWPOLYLINE",
            "points": in_plane(vertices, *elevation),
            "bulges": bulges,
            "closed": closed,
        }),
        Shape::InSpace(vertices, closed) => {
            json!({"kind": "POLYLINE", "points": vertices, "closed": closed, "mode": "AcDb3dPolyline"})
        }
        Shape::Hatch(rings, elevation) => {
            let rings: Vec<_> = rings.iter().map(|ring| in_plane(ring, *elevation)).collect();
            json!({"kind": "HATCH", "rings": rings})
        }
        Shape::Face(corners) => json!({"kind": "3DFACE", "points": corners}),
        Shape::Polyface(_) => json!({"kind": "POLYLINE", "mode": "AcDbPolyFaceMesh"}),
        Shape::Text(text) => json!({"kind": "TEXT", "text": said(text, ' ')}),
        Shape::MText(text) => json!({"kind": "MTEXT", "text": said(text, '\n')}),
        Shape::Insert(text) => json!({"kind": "INSERT", "attributes": {"TAG": said(text, ' ')}}),
        Shape::Data(text) => json!({"kind": "POINT", "data": {"CADMILL": [[1000, said(text, '\n')]]}}),
    }
}

/// Whether ezdxf shows a text as it is: it resolves no `\U+XXXX`, and makes blanks of tabs.
fn is_shown(text: &str, page: CodePage) -> bool {
    let short = text.len() < 80 && page.has(text);
    short && !text.contains(['\t', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
}

/// Reals of the oracle, which are text.
fn exact(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(exact).collect(),
        Value::Object(map) => match map.get("real").and_then(Value::as_str) {
            Some(text) => json!(text.parse::<f64>().unwrap()),
            None => map.into_iter().map(|(key, value)| (key, exact(value))).collect(),
        },
        other => other,
    }
}

#[test]
fn ezdxf_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let mut wanted = Vec::new();
    for number in 0..150 {
        let mut case = case().new_tree(&mut runner).unwrap().current();
        let page = if case.version.is_utf8() { None } else { CodePage::new(case.page) };
        let is_shown = |text: &String| match page {
            Some(page) => is_shown(text, page),
            None => is_shown(text, CodePage::KOREAN) || is_shown(text, CodePage::WESTERN),
        };
        case.shapes.retain(|(_, shape)| match shape {
            Shape::Text(text) => is_shown(text) && !text.contains('\n'),
            Shape::MText(text) | Shape::Insert(text) => is_shown(text),
            // It resolves no escapes in extended data.
            Shape::Data(text) => is_shown(text) && !text.contains(['^', '\n', '\\']),
            _ => true,
        });
        for (layer, _) in &mut case.shapes {
            if !is_shown(layer) {
                *layer =
                    "가 나".chars().filter(|c| page.is_none_or(|page| page.has(&c.to_string()))).collect();
            }
        }
        let written = write(&case);
        let name = format!("{number:03}.dxf");
        std::fs::write(folder.path().join(&name), &written.bytes).unwrap();
        for ((_, shape), layer) in case.shapes.iter().zip(written.layers) {
            let mut facts = expected(shape);
            facts["file"] = json!(name);
            facts["layer"] = json!(layer);
            wanted.push(facts);
        }
    }
    assert!(wanted.len() > 200);
    assert_eq!(ezdxf::run("audit", folder.path()), "");
    let read = ezdxf::run("read", folder.path());
    let read: Vec<Value> = read.lines().map(|line| exact(serde_json::from_str(line).unwrap())).collect();
    assert_eq!(read.len(), wanted.len());
    for (wanted, read) in wanted.iter().zip(&read) {
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&read[key], value, "{key} of {read:#}");
        }
    }
}
