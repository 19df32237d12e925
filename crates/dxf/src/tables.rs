//! The sections TABLES and BLOCKS.
//!
//! AutoCAD needs all nine tables, and in them what every drawing has. VPORT comes first, because its
//! view is known last and is replaced in place.

use crate::drawing::{Drawing, Font, Linetype, Record};
use crate::entities::Entities;
use crate::error::Error;
use crate::extents::{Extents, VIEW_ASPECT};
use crate::handles;
use crate::header::Patchable;
use crate::pairs::Pairs;
use crate::setup::{BlockId, Layer, LinetypeId};
use crate::sink::Sink;
use crate::version::Version;
use std::io::Write;

/// Writes TABLES.
pub(crate) fn write(
    sink: &mut Sink<impl Write>,
    drawing: &Drawing,
    patchable: &mut Patchable,
) -> Result<(), Error> {
    sink.pairs.section("TABLES");
    table(&mut sink.pairs, "VPORT", handles::VPORT_TABLE, 1);
    viewport(sink, drawing, patchable);
    let pairs = &mut sink.pairs;
    pairs.str(0, "ENDTAB");

    table(pairs, "LTYPE", handles::LTYPE_TABLE, drawing.linetypes.len());
    for linetype in &drawing.linetypes {
        let Record { name, handle, value: Linetype { description, dashes } } = linetype;
        record(pairs, "LTYPE", *handle, handles::LTYPE_TABLE, "AcDbLinetypeTableRecord", name);
        pairs.bytes(3, description);
        // Aligned to the ends, which is the letter A.
        pairs.int(72, 65);
        pairs.int(73, dashes.len() as i64);
        pairs.real(40, dashes.iter().map(|dash| dash.abs()).sum());
        for dash in dashes {
            pairs.real(49, *dash);
            pairs.int(74, 0);
        }
    }
    pairs.str(0, "ENDTAB");

    table(pairs, "LAYER", handles::LAYER_TABLE, drawing.layers.len());
    for each in &drawing.layers {
        layer(&mut sink.pairs, drawing, each);
        sink.spill()?;
    }
    let pairs = &mut sink.pairs;
    pairs.str(0, "ENDTAB");

    table(pairs, "STYLE", handles::STYLE_TABLE, drawing.styles.len());
    for style in &drawing.styles {
        text_style(pairs, style);
    }
    pairs.str(0, "ENDTAB");

    table(pairs, "VIEW", handles::VIEW_TABLE, 0);
    pairs.str(0, "ENDTAB");
    table(pairs, "UCS", handles::UCS_TABLE, 0);
    pairs.str(0, "ENDTAB");

    table(pairs, "APPID", handles::APPID_TABLE, drawing.applications.len());
    for Record { name, handle, .. } in &drawing.applications {
        record(pairs, "APPID", *handle, handles::APPID_TABLE, "AcDbRegAppTableRecord", name);
    }
    pairs.str(0, "ENDTAB");

    table(pairs, "DIMSTYLE", handles::DIMSTYLE_TABLE, 1);
    let class = "AcDbDimStyleTableRecord";
    record(pairs, "DIMSTYLE", handles::DIMSTYLE_STANDARD, handles::DIMSTYLE_TABLE, class, b"Standard");
    pairs.handle(340, handles::STYLE_STANDARD);
    pairs.str(0, "ENDTAB");

    table(pairs, "BLOCK_RECORD", handles::BLOCK_RECORD_TABLE, 2 + drawing.blocks.len());
    let version = drawing.settings.version;
    let extension = drawing.settings.georeference.as_ref().map(|_| handles::MODEL_EXTENSION);
    block_record(pairs, handles::MODEL_SPACE, extension, MODEL_SPACE, handles::MODEL_LAYOUT, version);
    block_record(pairs, handles::PAPER_SPACE, None, PAPER_SPACE, handles::PAPER_LAYOUT, version);
    for Record { name, handle, .. } in &drawing.blocks {
        block_record(pairs, *handle, None, name, 0, version);
    }
    pairs.str(0, "ENDTAB");
    pairs.str(0, "ENDSEC");
    Ok(())
}

const MODEL_SPACE: &[u8] = b"*Model_Space";
const PAPER_SPACE: &[u8] = b"*Paper_Space";

fn table(pairs: &mut Pairs, name: &str, handle: u64, records: usize) {
    pairs.str(0, "TABLE");
    pairs.str(2, name);
    pairs.handle(5, handle);
    pairs.handle(330, 0);
    pairs.str(100, "AcDbSymbolTable");
    pairs.int(70, records.min(32_767) as i64);
    if name == "DIMSTYLE" {
        pairs.str(100, "AcDbDimStyleTable");
    }
}

/// Begins a record of a table, with its name and flags.
fn record(pairs: &mut Pairs, table: &str, handle: u64, owner: u64, class: &str, name: &[u8]) {
    pairs.str(0, table);
    pairs.handle(if table == "DIMSTYLE" { 105 } else { 5 }, handle);
    record_of(pairs, table, owner, class, name);
}

/// The rest of the beginning, after the handle.
fn record_of(pairs: &mut Pairs, table: &str, owner: u64, class: &str, name: &[u8]) {
    pairs.handle(330, owner);
    pairs.str(100, "AcDbSymbolTableRecord");
    pairs.str(100, class);
    pairs.bytes(2, name);
    if table != "BLOCK_RECORD" && table != "LAYER" {
        pairs.int(70, 0);
    }
}

fn viewport(sink: &mut Sink<impl Write>, drawing: &Drawing, patchable: &mut Patchable) {
    let extents = drawing.settings.extents.unwrap_or(Extents::EMPTY);
    let class = "AcDbViewportTableRecord";
    record(&mut sink.pairs, "VPORT", handles::VPORT_ACTIVE, handles::VPORT_TABLE, class, b"*Active");
    sink.pairs.point2(10, 0.0, 0.0);
    sink.pairs.point2(11, 1.0, 1.0);
    patchable.put_view(sink, &extents);
    let pairs = &mut sink.pairs;
    pairs.point2(13, 0.0, 0.0);
    pairs.point2(14, 10.0, 10.0);
    pairs.point2(15, 10.0, 10.0);
    pairs.point3(16, [0.0, 0.0, 1.0]);
    pairs.point3(17, [0.0; 3]);
    patchable.put_view_height(sink, &extents);
    let pairs = &mut sink.pairs;
    pairs.real(41, VIEW_ASPECT);
    pairs.real(42, 50.0);
    for code in [43, 44, 50, 51] {
        pairs.real(code, 0.0);
    }
    let flags =
        [(71, 0), (72, 1000), (73, 1), (74, 3), (75, 0), (76, 0), (77, 0), (78, 0), (281, 0), (65, 0)];
    for (code, value) in flags {
        pairs.int(code, value);
    }
}

fn layer(pairs: &mut Pairs, drawing: &Drawing, Record { name, handle, value }: &Record<Layer>) {
    record(pairs, "LAYER", *handle, handles::LAYER_TABLE, "AcDbLayerTableRecord", name);
    pairs.int(70, i64::from(value.frozen) | i64::from(value.locked) << 2);
    let index = match value.color.index() {
        index @ 1..=255 => index,
        _ => 7,
    };
    // A layer that is off has a negative colour.
    pairs.int(62, if value.off { -index } else { index });
    if let Some(rgb) = value.color.rgb()
        && drawing.settings.version.has_true_color()
    {
        pairs.int(420, rgb);
    }
    let linetype = match value.linetype {
        LinetypeId::BY_LAYER | LinetypeId::BY_BLOCK => LinetypeId::CONTINUOUS,
        linetype => linetype,
    };
    pairs.bytes(6, &drawing.linetypes[linetype.0 as usize].name);
    pairs.int(290, value.plotted.into());
    pairs.int(
        370,
        match value.lineweight.value() {
            weight if weight < 0 => -3,
            weight => weight,
        },
    );
    pairs.handle(390, handles::PLOT_STYLE);
}

fn text_style(pairs: &mut Pairs, Record { name, handle, value }: &Record<Font>) {
    record(pairs, "STYLE", *handle, handles::STYLE_TABLE, "AcDbTextStyleTableRecord", name);
    // Each text has a height of its own.
    pairs.real(40, 0.0);
    pairs.real(41, value.style.width);
    pairs.real(50, value.style.slant);
    pairs.int(71, 0);
    pairs.real(42, 2.5);
    pairs.bytes(3, &value.files[0]);
    pairs.bytes(4, &value.files[1]);
}

fn block_record(
    pairs: &mut Pairs,
    handle: u64,
    extension: Option<u64>,
    name: &[u8],
    layout: u64,
    version: Version,
) {
    pairs.str(0, "BLOCK_RECORD");
    pairs.handle(5, handle);
    if let Some(dictionary) = extension {
        pairs.str(102, "{ACAD_XDICTIONARY");
        pairs.handle(360, dictionary);
        pairs.str(102, "}");
    }
    record_of(pairs, "BLOCK_RECORD", handles::BLOCK_RECORD_TABLE, "AcDbBlockTableRecord", name);
    pairs.handle(340, layout);
    if version.is_utf8() {
        // Units, whether it may be exploded, and whether it scales unevenly.
        pairs.int(70, 0);
        pairs.int(280, 1);
        pairs.int(281, 0);
    }
}

/// Writes BLOCKS.
pub(crate) fn write_blocks<W: Write>(entities: &mut Entities<'_, W>, drawing: &Drawing) -> Result<(), Error> {
    entities.sink().pairs.section("BLOCKS");
    let spaces = [
        (handles::MODEL_SPACE, handles::MODEL_SPACE_BEGIN, handles::MODEL_SPACE_END, MODEL_SPACE, false),
        (handles::PAPER_SPACE, handles::PAPER_SPACE_BEGIN, handles::PAPER_SPACE_END, PAPER_SPACE, true),
    ];
    for (record, begin, end, name, is_paper) in spaces {
        begin_block(&mut entities.sink().pairs, record, begin, name, [0.0; 3], is_paper, false);
        end_block(&mut entities.sink().pairs, record, end, is_paper);
    }
    let mut next = drawing.first_in_blocks;
    for (number, Record { name, handle, value }) in (0..).zip(&drawing.blocks) {
        let has_attributes = !value.block.attributes.is_empty();
        let base = value.block.base;
        begin_block(&mut entities.sink().pairs, *handle, value.begin, name, base, false, has_attributes);
        entities.set_owner(*handle, next);
        entities.contents(BlockId(number))?;
        next = entities.next_handle();
        end_block(&mut entities.sink().pairs, *handle, value.end, false);
    }
    entities.sink().pairs.str(0, "ENDSEC");
    entities.end_of_blocks();
    Ok(())
}

fn begin_block(
    pairs: &mut Pairs,
    record: u64,
    handle: u64,
    name: &[u8],
    base: [f64; 3],
    is_paper: bool,
    has_attributes: bool,
) {
    head(pairs, "BLOCK", record, handle, is_paper);
    pairs.str(100, "AcDbBlockBegin");
    pairs.bytes(2, name);
    pairs.int(70, if has_attributes { 2 } else { 0 });
    pairs.point3(10, base);
    pairs.bytes(3, name);
    pairs.str(1, "");
}

fn end_block(pairs: &mut Pairs, record: u64, handle: u64, is_paper: bool) {
    head(pairs, "ENDBLK", record, handle, is_paper);
    pairs.str(100, "AcDbBlockEnd");
}

fn head(pairs: &mut Pairs, kind: &str, record: u64, handle: u64, is_paper: bool) {
    pairs.str(0, kind);
    pairs.handle(5, handle);
    pairs.handle(330, record);
    pairs.str(100, "AcDbEntity");
    if is_paper {
        pairs.int(67, 1);
    }
    pairs.str(8, "0");
}
