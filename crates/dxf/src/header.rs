//! The sections HEADER and CLASSES, and what of the header is known last.
//!
//! The header has as few variables as readers allow: AutoCAD discards drawings with a variable that
//! the release lacks, or with a value that it does not take. Values that are known last have a fixed
//! width, so that they are replaced in place.

use crate::drawing::Drawing;
use crate::extents::Extents;
use crate::number;
use crate::sink::Sink;
use crate::version::Version;
use std::io::{self, Seek, SeekFrom, Write};

/// Bytes that replace others of the same length near the beginning of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where they begin, from the beginning of the drawing. It is less than [`Patch::WITHIN`].
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Patch {
    /// No patch ends later: 16 KiB, so that all else can be published while the drawing is written.
    pub const WITHIN: u64 = 16 << 10;

    /// Replaces bytes of a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn apply(&self, file: &mut (impl Write + Seek)) -> io::Result<()> {
        file.seek(SeekFrom::Start(self.offset))?;
        file.write_all(&self.bytes)
    }

    /// Replaces bytes in memory, which is the drawing from its beginning on.
    ///
    /// # Panics
    ///
    /// If the memory ends before the patch.
    pub fn apply_to(&self, drawing: &mut [u8]) {
        let begin = self.offset as usize;
        drawing[begin..begin + self.bytes.len()].copy_from_slice(&self.bytes);
    }
}

/// Values that were written and may have to be replaced.
#[derive(Default)]
pub(crate) struct Patchable {
    fields: Vec<(u64, Field, String)>,
}

#[derive(Clone, Copy)]
enum Field {
    Min(usize),
    Max(usize),
    ViewX,
    ViewY,
    ViewHeight,
    HandleSeed,
}

impl Field {
    fn value(self, extents: &Extents, seed: u64) -> String {
        let (middle, height) = extents.view();
        number::fixed(match self {
            Self::Min(axis) => extents.min[axis],
            Self::Max(axis) => extents.max[axis],
            Self::ViewX => middle[0],
            Self::ViewY => middle[1],
            Self::ViewHeight => height,
            Self::HandleSeed => return format!("{seed:08X}"),
        })
    }
}

impl Patchable {
    fn put(&mut self, sink: &mut Sink<impl Write>, code: u16, field: Field, extents: &Extents, seed: u64) {
        let value = field.value(extents, seed);
        sink.pairs.str(code, &value);
        let line_end = sink.pairs.line_end().len() as u64;
        let offset = sink.position() - line_end - value.len() as u64;
        self.fields.push((offset, field, value));
    }

    /// The view of a VPORT.
    pub(crate) fn put_view(&mut self, sink: &mut Sink<impl Write>, extents: &Extents) {
        self.put(sink, 12, Field::ViewX, extents, 0);
        self.put(sink, 22, Field::ViewY, extents, 0);
    }

    /// The height of a view of a VPORT.
    pub(crate) fn put_view_height(&mut self, sink: &mut Sink<impl Write>, extents: &Extents) {
        self.put(sink, 40, Field::ViewHeight, extents, 0);
    }

    /// What must be replaced, now that the extents and the first free handle are known.
    pub(crate) fn patches(&self, extents: &Extents, seed: u64) -> Vec<Patch> {
        let changed = self.fields.iter().filter_map(|(offset, field, written)| {
            let value = field.value(extents, seed);
            (value != *written).then(|| Patch { offset: *offset, bytes: value.into_bytes() })
        });
        changed.collect()
    }
}

/// Writes HEADER and CLASSES.
pub(crate) fn write(sink: &mut Sink<impl Write>, drawing: &Drawing, patchable: &mut Patchable) {
    let settings = &drawing.settings;
    let extents = settings.extents.unwrap_or(Extents::EMPTY);
    let seed = settings.handle_seed.unwrap_or(0).min(0xFFFF_FFFF);
    sink.pairs.section("HEADER");
    let variable = |sink: &mut Sink<_>, name: &str| sink.pairs.str(9, name);
    let int = |sink: &mut Sink<_>, name: &str, code: u16, value: i64| {
        variable(sink, name);
        sink.pairs.int(code, value);
    };
    let real = |sink: &mut Sink<_>, name: &str, code: u16, value: f64| {
        variable(sink, name);
        sink.pairs.real(code, value);
    };
    let str = |sink: &mut Sink<_>, name: &str, code: u16, value: &str| {
        variable(sink, name);
        sink.pairs.str(code, value);
    };
    str(sink, "$ACADVER", 1, settings.version.acadver());
    let maintenance = if settings.version >= Version::R2018 { 90 } else { 70 };
    int(sink, "$ACADMAINTVER", maintenance, 0);
    str(sink, "$DWGCODEPAGE", 3, &settings.code_page.to_string());
    variable(sink, "$INSBASE");
    sink.pairs.point3(10, [0.0; 3]);
    for (name, axes, is_max) in
        [("$EXTMIN", 3, false), ("$EXTMAX", 3, true), ("$LIMMIN", 2, false), ("$LIMMAX", 2, true)]
    {
        variable(sink, name);
        for axis in 0..axes {
            let field = if is_max { Field::Max(axis) } else { Field::Min(axis) };
            patchable.put(sink, 10 + 10 * axis as u16, field, &extents, 0);
        }
    }
    int(sink, "$FILLMODE", 70, 1);
    real(sink, "$LTSCALE", 40, 1.0);
    real(sink, "$TEXTSIZE", 40, 2.5);
    str(sink, "$TEXTSTYLE", 7, "Standard");
    str(sink, "$CLAYER", 8, "0");
    str(sink, "$CELTYPE", 6, "ByLayer");
    int(sink, "$CECOLOR", 62, 256);
    str(sink, "$DIMSTYLE", 2, "Standard");
    int(sink, "$LUNITS", 70, 2);
    int(sink, "$LUPREC", 70, 4);
    int(sink, "$AUNITS", 70, 0);
    int(sink, "$PDMODE", 70, settings.point_mode.into());
    real(sink, "$PDSIZE", 40, settings.point_size);
    variable(sink, "$HANDSEED");
    patchable.put(sink, 5, Field::HandleSeed, &extents, seed);
    int(sink, "$TILEMODE", 70, 1);
    int(sink, "$MEASUREMENT", 70, settings.units.is_metric().into());
    int(sink, "$CELWEIGHT", 370, -1);
    int(sink, "$INSUNITS", 70, settings.units.value());
    int(sink, "$PSTYLEMODE", 290, 1);
    int(sink, "$EXTNAMES", 290, 1);
    sink.pairs.str(0, "ENDSEC");
    classes(sink, settings.version, settings.georeference.is_some());
}

fn classes(sink: &mut Sink<impl Write>, version: Version, has_georeference: bool) {
    let pairs = &mut sink.pairs;
    pairs.section("CLASSES");
    let all = [
        // What programs without the class may do with the object: nothing, or all.
        ("ACDBDICTIONARYWDFLT", "AcDbDictionaryWithDefault", 0, false, true),
        ("ACDBPLACEHOLDER", "AcDbPlaceHolder", 0, false, true),
        ("LAYOUT", "AcDbLayout", 0, false, true),
        ("MESH", "AcDbSubDMesh", 0, true, version.has_mesh()),
        ("GEODATA", "AcDbGeoData", 4095, false, has_georeference),
    ];
    for (name, class, rights, is_entity, _) in all.into_iter().filter(|(.., is_used)| *is_used) {
        pairs.str(0, "CLASS");
        pairs.str(1, name);
        pairs.str(2, class);
        pairs.str(3, "ObjectDBX Classes");
        pairs.int(90, rights);
        if version.has_true_color() {
            // How many there are: R2000 discards the drawing for it.
            pairs.int(91, 1);
        }
        pairs.int(280, 0);
        pairs.int(281, is_entity.into());
    }
    pairs.str(0, "ENDSEC");
}
