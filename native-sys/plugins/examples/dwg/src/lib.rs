//! An example of a plugin in Rust: reads and writes DWG and DXF by the library acadrust.
//! SPDX-License-Identifier: 0BSD; acadrust is under MPL-2.0.
//!
//! It refuses what acadrust reads in part, drawings older than R2000, and a result that reads back with
//! other entities, layers or texts than it was written with. docs/ENGINES.md says what was tried.

use acadrust::entities::EntityType;
use acadrust::io::read::ReadOutcome;
use acadrust::{CadDocument, DwgReader, DwgWriter, DxfReader, DxfVersion, DxfWriter};
use cadmill_plugin::{Description, Error, Format, Host, Kind, OptionSpec, Plugin, Request, Stage};
use std::collections::BTreeMap;
use std::io::Cursor;

/// Versions that are written. Older ones have no geographic data, and code pages that not every text fits.
const VERSIONS: [(&str, DxfVersion); 3] =
    [("R2018", DxfVersion::AC1032), ("R2013", DxfVersion::AC1027), ("R2010", DxfVersion::AC1024)];

struct Dwg;

impl Plugin for Dwg {
    fn describe() -> Description {
        let dwg = || Format::new("dwg", &["dwg"]).title("AutoCAD drawing");
        let dxf = || Format::new("dxf", &["dxf"]).title("AutoCAD DXF").text();
        let versions = Kind::Choice(VERSIONS.map(|(name, _)| name.to_owned()).to_vec());
        let version = OptionSpec::new("version", versions, "Version of the drawing that is written.");
        Description::new("acadrust", "0.6.8")
            .licence("MPL-2.0")
            .deterministic()
            .input(dwg())
            .input(dxf())
            .output(dwg())
            .output(dxf())
            .option(version.preset("R2018"))
    }

    fn convert(request: &Request<'_>, host: &Host<'_>) -> Result<(), Error> {
        let named = request.option("version").unwrap_or("R2018");
        let version = VERSIONS.iter().find(|(name, _)| *name == named);
        let (_, version) = version.ok_or_else(|| Error::bad_option("an unknown version"))?;
        let input = std::fs::read(request.input()).map_err(Error::rejected)?;
        let mut document = whole(&input)?;
        step(host, Stage::Read, 0.4)?;
        let is_dwg = request.output_format() == "dwg";
        let output = if is_dwg {
            document.version = *version;
            DwgWriter::write_to_vec(&document)
        } else {
            DxfWriter::new(&document).with_version(*version).write_to_vec()
        };
        let output = output.map_err(|error| Error::unfit(format!("acadrust cannot write it: {error}")))?;
        step(host, Stage::Write, 0.7)?;
        compare(&summary(&document), &summary(&whole(&output)?))?;
        lose(&document, is_dwg, host);
        std::fs::write(request.output(), output).map_err(Error::failed)?;
        host.fact("entities", &document.entities().count().to_string());
        host.fact("layers", &document.layers.iter().count().to_string());
        host.fact("version", named);
        Ok(())
    }
}

cadmill_plugin::export!(Dwg);

/// A drawing of which every record was read.
fn whole(bytes: &[u8]) -> Result<CadDocument, Error> {
    let bytes = Cursor::new(bytes.to_vec());
    let read = if bytes.get_ref().starts_with(b"AC") {
        DwgReader::from_stream(bytes).read_with_stats()
    } else {
        DxfReader::from_reader(bytes).and_then(DxfReader::read_with_stats)
    };
    let ReadOutcome { document, stats } = read.map_err(Error::rejected)?;
    if let Some(diagnostic) = stats.diagnostics.first() {
        return Err(Error::rejected(format!("acadrust reads it in part: {}", diagnostic.message)));
    }
    if !stats.stream_completed || stats.skipped_source_records > 0 || stats.recovered_errors > 0 {
        let skipped = stats.skipped_source_records;
        return Err(Error::rejected(format!("acadrust reads it in part; skipped records: {skipped}")));
    }
    if document.version < DxfVersion::AC1015 {
        return Err(Error::unfit("it is older than R2000"));
    }
    Ok(document)
}

/// How often there is each kind of entity with its layer and its text, and each layer.
fn summary(document: &CadDocument) -> BTreeMap<String, usize> {
    let mut summary = BTreeMap::new();
    let entities = document.entities().map(|entity| {
        let kind = match entity {
            // The same lines, written in less space.
            EntityType::Polyline2D(_) => "LWPOLYLINE",
            _ => entity.as_entity().entity_type(),
        };
        format!("{kind} on layer {} {}", entity.common().layer, text(entity))
    });
    for item in entities.chain(document.layers.iter().map(|layer| format!("layer {}", layer.name))) {
        *summary.entry(item).or_default() += 1;
    }
    summary
}

fn text(entity: &EntityType) -> String {
    match entity {
        EntityType::Text(text) => text.value.clone(),
        EntityType::MText(text) => text.value.clone(),
        EntityType::AttributeDefinition(text) => format!("{} {}", text.tag, text.default_value),
        EntityType::AttributeEntity(text) => format!("{} {}", text.tag, text.value),
        EntityType::Insert(insert) => {
            let values = insert.attributes.iter().map(|text| format!(" {} {}", text.tag, text.value));
            format!("{}{}", insert.block_name, values.collect::<String>())
        }
        _ => String::new(),
    }
}

/// Nothing is left out in silence.
fn compare(was: &BTreeMap<String, usize>, is: &BTreeMap<String, usize>) -> Result<(), Error> {
    let differs = was.keys().chain(is.keys()).find(|item| was.get(*item) != is.get(*item));
    let Some(item) = differs else { return Ok(()) };
    let [was, is] = [was, is].map(|summary| summary.get(item).copied().unwrap_or_default());
    Err(Error::unfit(format!("acadrust does not keep it: {item} ({was}, then {is})")))
}

/// What the comparison does not show.
fn lose(document: &CadDocument, is_dwg: bool, host: &Host<'_>) {
    let lose = |what: &str, is_lost: fn(&EntityType) -> bool| {
        let count = document.entities().filter(|entity| is_lost(entity)).count();
        if count > 0 {
            host.loss(&format!("{what}: {count}"));
        }
    };
    lose("polygons (MPOLYGON) without their fill", |e| matches!(e, EntityType::Hatch(h) if h.is_mpolygon));
    lose("entities of kinds that acadrust does not know", |e| matches!(e, EntityType::Unknown(_)));
    // Of DXF, acadrust does not read in which plane the text of an attribute is.
    lose("mirrored blocks whose attributes may not be", |e| {
        let EntityType::Insert(i) = e else { return false };
        !i.attributes.is_empty() && (i.x_scale() * i.y_scale() < 0.0 || i.normal.z < 1.0)
    });
    if is_dwg {
        lose("shapes without their name", |e| matches!(e, EntityType::Shape(_)));
    }
}

/// Reports progress, and ends the conversion if that is wanted.
fn step(host: &Host<'_>, stage: Stage, fraction: f64) -> Result<(), Error> {
    host.progress(stage, fraction);
    if host.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}
