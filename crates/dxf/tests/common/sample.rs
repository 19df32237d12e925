//! A drawing with every kind of entity, property and text.

use cadmill_dxf::*;

/// Coordinates of a national grid.
pub const X: f64 = 200_000.0;
pub const Y: f64 = 600_000.0;

/// Labels that have everything that is escaped.
pub const LABELS: [&str; 6] = [
    "가각갂 쀍",
    "100%% A^B %%c %",
    "é 漢字 😀",
    "tab\there",
    r"back\slash {braces} \P",
    r"\U+AC00 \M+1ABCD",
];

pub struct Parts {
    pub layers: Vec<LayerId>,
    pub dashed: LinetypeId,
    pub korean: TextStyleId,
    pub symbol: BlockId,
    pub application: ApplicationId,
}

pub fn settings(version: Version) -> Settings {
    let [projected, _] = georeferences();
    let georeference = Some(projected).filter(|_| version.has_georeference());
    let (code_page, units) = (CodePage::KOREAN, Units::Metres);
    Settings { version, code_page, units, georeference, ..Settings::default() }
}

/// Reference systems: a projection and one of degrees.
pub fn georeferences() -> [Georeference; 2] {
    let projected = Georeference {
        epsg: 5186,
        name: "Korea 2000 / Central Belt 2010 <&\"한\">".to_owned(),
        is_geographic: false,
        metres: 1.0,
        point: [X, Y],
    };
    let name = "Korea 2000".to_owned();
    let geographic =
        Georeference { epsg: 4737, name, is_geographic: true, point: [127.0, 38.0], ..projected.clone() };
    [projected, geographic]
}

/// Declares one of each.
pub fn setup(settings: Settings) -> (Setup, Parts) {
    let mut setup = Setup::new(settings);
    let dashed = setup.linetype("DASHED", "__ __ __", &[5.0, -2.5]);
    setup.linetype("점선", "점 . 점", &[0.0, -1.0]);
    let korean = setup.text_style("한글", TextStyle::new("txt.shx", "whgtxt.shx"));
    setup.text_style("slanted", TextStyle { slant: 15.0, width: 0.8, ..TextStyle::new("malgun.ttf", "") });
    let application = setup.application("CADMILL");
    let plain = Layer::default();
    let layers = vec![
        LayerId::ZERO,
        setup.layer("건물", Layer { color: Color::Rgb(255, 136, 0), ..plain.clone() }),
        setup.layer(
            "A0013000",
            Layer { linetype: dashed, lineweight: Lineweight::Hundredths(25), ..plain.clone() },
        ),
        setup.layer("frozen", Layer { frozen: true, color: Color::Index(5), ..plain.clone() }),
        setup.layer("off", Layer { off: true, color: Color::Index(2), ..plain.clone() }),
        setup.layer("locked", Layer { locked: true, plotted: false, ..plain.clone() }),
        setup.layer("Defpoints", plain.clone()),
        setup.layer("a/b", plain.clone()),
        setup.layer("a,b", plain.clone()),
        setup.layer("é^😀", plain),
    ];
    let attribute = |tag: &str, y: f64, visible| AttributeDefinition {
        tag: tag.to_owned(),
        at: [1.0, y, 0.0],
        height: 1.0,
        style: korean,
        visible,
    };
    let shape = |geometry| Shape { color: Color::ByBlock, geometry };
    let block = Block {
        base: [0.5, 0.5, 0.0],
        shapes: vec![
            shape(ShapeGeometry::Point([0.0; 3])),
            shape(ShapeGeometry::Line([0.0; 3], [1.0, 1.0, 0.0])),
            shape(ShapeGeometry::Circle([0.5, 0.5, 0.0], 0.5)),
            shape(ShapeGeometry::Polyline(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], true)),
            shape(ShapeGeometry::Area(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])),
        ],
        attributes: vec![attribute("지번", 0.0, true), attribute("AREA OF IT", -1.5, false)],
    };
    let symbol = setup.block("표지", block);
    setup.block("empty", Block::default());
    (setup, Parts { layers, dashed, korean, symbol, application })
}

/// Writes one of each.
pub fn entities(
    out: &mut Entities<'_, impl std::io::Write>,
    parts: &Parts,
    version: Version,
) -> Result<(), Error> {
    let [zero, buildings, roads, ..] = parts.layers[..] else { unreachable!() };
    let plain = Properties::default();
    for layer in &parts.layers {
        out.point(&Properties::on(*layer), [X, Y])?;
    }
    let values = [
        DataValue::Begin,
        DataValue::Text("지목=대"),
        DataValue::Text(&"가나다라".repeat(100)),
        DataValue::Text("line\nbreak^\\U+AC00 é"),
        DataValue::Real(1.5),
        DataValue::Long(-70_000),
        DataValue::Short(-7),
        DataValue::Layer(buildings),
        DataValue::End,
    ];
    let data = [ExtendedData { application: parts.application, values: &values }];
    let rich = Properties {
        color: Color::Rgb(0, 128, 255),
        linetype: parts.dashed,
        lineweight: Lineweight::Hundredths(30),
        linetype_scale: 0.5,
        opacity: 127,
        data: &data,
        ..Properties::on(roads)
    };
    out.point(&rich, [X + 0.123_456_789_012, Y, 12.5])?;
    out.line(&rich, [X, Y, 0.0], [X + 10.0, Y + 10.0, 5.0])?;
    out.circle(&rich, [X, Y], 3.0)?;
    out.arc(&rich, [X, Y], 3.0, 30.0, 270.0)?;
    let square = [[X, Y], [X + 10.0, Y], [X + 10.0, Y + 10.0], [X, Y + 10.0], [X, Y]];
    let bulges = [0.0, 0.5, 0.0, -1.0, 0.0];
    let contour = Polyline {
        bulges: &bulges,
        elevation: Some(33.25),
        width: Some(0.5),
        ..Polyline::new(&square, true)
    };
    out.polyline(&rich, &contour)?;
    out.polyline(&Properties::on(buildings), &Polyline::new(&square[..3], false))?;
    let spatial = [[X, Y, 1.0], [X + 1.0, Y, 2.0], [X + 1.0, Y + 1.0, 3.0], [X, Y, 1.0]];
    out.polyline_in_space(&rich, &spatial, true)?;
    out.polyline_in_space(&plain, &spatial, false)?;
    let hole = [[X + 4.0, Y + 4.0], [X + 6.0, Y + 4.0], [X + 6.0, Y + 6.0]];
    out.hatch(&rich, &[&square[..], &hole[..]], 7.5)?;
    out.hatch(&Properties { color: Color::Index(2), ..Properties::on(zero) }, &[&square[..]], 0.0)?;
    out.face(&rich, &spatial)?;
    out.face(&plain, &[[X, Y, 0.0], [X + 1.0, Y, 0.0], [X + 1.0, Y + 1.0, 1.0], [X, Y + 1.0, 1.0]])?;
    let corners = [[X, Y, 0.0], [X + 1.0, Y, 0.0], [X + 1.0, Y + 1.0, 1.0], [X, Y + 1.0, 1.0]];
    let faces: [&[u32]; 3] = [&[0, 1, 2], &[0, 1, 2, 3], &[0, 2, 3, 3]];
    out.polyface(&rich, &corners, &faces)?;
    if version.has_mesh() {
        out.mesh(&rich, &corners, &faces[..2])?;
    }
    let insert = Insert {
        block: parts.symbol,
        at: [X + 3.0, Y + 3.0, 1.0],
        scale: [2.0; 3],
        rotation: 30.0,
        attributes: &[],
    };
    out.insert(&plain, &insert)?;
    out.insert(&rich, &Insert { attributes: &["산 12-3", "33.5%%"], ..insert })?;
    for (number, text) in LABELS.into_iter().enumerate() {
        let label = Text {
            at: [X, Y + number as f64, 0.0],
            height: 2.0,
            text,
            style: parts.korean,
            rotation: number as f64 * 10.0,
            horizontal: [Horizontal::Left, Horizontal::Center, Horizontal::Right][number % 3],
            vertical: [Vertical::Baseline, Vertical::Middle, Vertical::Top, Vertical::Bottom][number % 4],
        };
        out.text(&Properties::on(buildings), &label)?;
        let text = format!("{text}\n둘째 줄 {}", "가나다라마".repeat(80));
        out.text(&rich, &Text { text: &text, ..label })?;
        out.mtext(
            &plain,
            &MText {
                at: [X, Y, 0.0],
                height: 2.0,
                width: 40.0,
                text: LABELS[number],
                style: TextStyleId::STANDARD,
                rotation: 0.0,
                attachment: Attachment::MiddleCenter,
            },
        )?;
    }
    Ok(())
}

/// The finished bytes of a drawing with everything.
pub fn everything(settings: Settings) -> Vec<u8> {
    let version = settings.version;
    let (setup, parts) = setup(settings);
    let drawing = setup.finish().unwrap();
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    entities(writer.entities(), &parts, version).unwrap();
    patched(writer.finish().unwrap())
}

/// The drawing with what was known last.
pub fn patched(finished: Finished<Vec<u8>>) -> Vec<u8> {
    let Finished { mut out, patches, length, .. } = finished;
    assert_eq!(out.len() as u64, length);
    for patch in &patches {
        assert!(patch.offset + patch.bytes.len() as u64 <= Patch::WITHIN);
        patch.apply_to(&mut out);
    }
    out
}
