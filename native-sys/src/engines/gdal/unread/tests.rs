use super::*;

fn pairs(pairs: &[(u32, &str)]) -> String {
    pairs.iter().map(|(code, value)| format!("{code:>3}\r\n{value}\r\n")).collect()
}

fn entity(kind: &str, more: &[(u32, &str)]) -> String {
    pairs(&[(0, kind), (8, "0")]) + &pairs(more)
}

fn block(name: &str, flags: &str, entities: &str) -> String {
    pairs(&[(0, "BLOCK"), (8, "0"), (2, name), (70, flags), (3, name)]) + entities + &entity("ENDBLK", &[])
}

fn found(blocks: &str, entities: &str) -> Found {
    let section =
        |name: &str, content: &str| pairs(&[(0, "SECTION"), (2, name)]) + content + &pairs(&[(0, "ENDSEC")]);
    let text = section("HEADER", &pairs(&[(9, "$ACADVER"), (1, "AC1015")]))
        + &section("BLOCKS", blocks)
        + &section("ENTITIES", entities)
        + &section("OBJECTS", &entity("DICTIONARY", &[]))
        + &pairs(&[(0, "EOF")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.DXF");
    std::fs::write(&path, text).unwrap();
    check(&path).unwrap()
}

fn losses(blocks: &str, entities: &str) -> String {
    found(blocks, entities).losses.join("; ")
}

#[test]
fn entities_that_are_not_read_are_counted() {
    let line = entity("LINE", &[]);
    assert_eq!(
        losses("", &(entity("RAY", &[]).repeat(12) + &line + &entity("REGION", &[(1, "xx")]).repeat(3))),
        "12 RAY and 3 REGION entities were left out: GDAL does not read them"
    );
    let others = ["XLINE", "3DSOLID", "IMAGE", "WIPEOUT", "SECTION", "PDFUNDERLAY", "ARC_DIMENSION", "XYZZY"];
    for kind in others {
        assert_eq!(
            losses("", &(line.clone() + &entity(kind, &[]))),
            format!("1 {kind} entities were left out: GDAL does not read them")
        );
    }
    let mesh = entity("POLYLINE", &[(70, "    16")]) + &entity("VERTEX", &[]) + &entity("SEQEND", &[]);
    assert_eq!(
        losses("", &mesh),
        "1 POLYLINE (polygon mesh) entities were left out: GDAL does not read them"
    );
    let many: String = (0..100).map(|number| entity(&format!("A{number}"), &[])).collect();
    assert!(losses("", &many).contains("60 other entities"), "{}", losses("", &many));
}

#[test]
fn a_drawing_that_is_read_has_no_losses() {
    let good = entity("LINE", &[])
        + &entity("line", &[])
        + &entity("POLYLINE", &[(70, "64"), (66, "1")])
        + &entity("VERTEX", &[(70, "192")])
        + &entity("SEQEND", &[])
        + &entity("VIEWPORT", &[(70, "1")])
        + &entity("INSERT", &[(66, "1"), (2, "A")])
        + &entity("ATTRIB", &[(2, "TAG"), (70, "0")])
        + &entity("SEQEND", &[])
        + &entity("INSERT", &[(2, "empty")])
        + &entity("DIMENSION", &[(2, "*D9"), (70, "32")])
        + &entity("LWPOLYLINE", &[(70, "1"), (42, "0.0")])
        + &entity("MTEXT", &[(1, "a"), (42, "12.5")]);
    let blocks = block("*Paper_Space", "0", &entity("VIEWPORT", &[]))
        + &block("A", "2", &entity("LINE", &[]))
        + &block("unused", "0", &entity("RAY", &[]))
        + &block("empty", "0", "");
    assert_eq!(found(&blocks, &good), Found::default());
}

#[test]
fn blocks_count_where_they_are_inserted() {
    let insert = |name: &str| entity("INSERT", &[(2, name), (70, "3")]);
    let blocks = block("A", "0", &(insert("B") + &insert("A") + &insert("NOPE")))
        + &block("B", "0", &entity("RAY", &[]))
        + &block("C", "0", &entity("XLINE", &[]))
        + &block("X", "4", "")
        + &block("*Paper_Space0", "0", &(entity("TEXT", &[]) + &entity("VIEWPORT", &[])));
    let drawn = insert("A") + &insert("A") + &insert("x") + &insert("X");
    let found = found(&blocks, &drawn);
    assert_eq!(
        found.losses,
        [
            "of the blocks that are inserted, 1 RAY entities were left out: GDAL does not read them",
            "2 INSERT entities were left out: the drawing does not have their blocks, 'NOPE', 'x'",
            "1 external references (XREF) were left out, which are drawings in other files: 'X'",
            "1 TEXT entities of other layouts were left out: GDAL reads the model and the layout that was open last",
        ]
    );
}

#[test]
fn curves_are_told_once() {
    let polyline = entity("POLYLINE", &[]) + &entity("VERTEX", &[(42, "0.5")]).repeat(3);
    let drawn = entity("ARC", &[]).repeat(2)
        + &entity("LWPOLYLINE", &[(42, "0"), (42, "-1.0E-1")])
        + &polyline.repeat(2)
        + &entity("INSERT", &[(2, "A")]);
    let found = found(&block("A", "0", &entity("SPLINE", &[(70, "8")])), &drawn);
    assert_eq!(found.losses, [""; 0]);
    assert_eq!(
        found.warnings,
        ["GDAL reads curves as short lines: 2 ARC, 1 SPLINE and 3 polyline entities were read so"]
    );
}

#[test]
fn binary_drawings_are_refused_and_other_files_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dxf");
    std::fs::write(&path, b"AutoCAD Binary DXF\r\n\x1a\0\0\0SECTION\0").unwrap();
    assert!(check(&path).unwrap_err().to_string().contains("binary"));
    for bytes in [&b""[..], b"\0\0", b"0\nSECTION", b"0\nSECTION\n2\nENTITIES\n0"] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(check(&path).unwrap(), Found::default());
    }
    assert_eq!(check(Path::new("a.shp")).unwrap(), Found::default());
}
