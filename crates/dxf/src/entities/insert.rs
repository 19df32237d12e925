//! INSERT, with the values of its attributes, and the contents of blocks.

use super::polyline::Polyline;
use super::{Entities, check, check_numbers};
use crate::error::{Error, Refusal};
use crate::handles;
use crate::properties::Properties;
use crate::setup::{AttributeDefinition, BlockId, LayerId, Shape, ShapeGeometry};
use crate::text::{self, Place};
use std::io::Write;

/// A block that is shown somewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Insert<'a> {
    /// The block.
    pub block: BlockId,
    /// Where its base point lies.
    pub at: [f64; 3],
    /// Its size along each axis; not zero.
    pub scale: [f64; 3],
    /// Degrees anticlockwise from the first axis.
    pub rotation: f64,
    /// The values of its attributes, one for each that the block has, or none at all.
    pub attributes: &'a [&'a str],
}

impl<W: Write> Entities<'_, W> {
    /// Writes an insertion of a block.
    ///
    /// Values of attributes are cut at 255 bytes, and counted.
    ///
    /// # Errors
    ///
    /// If there are values for some attributes only, or a scale is zero; see [`Entities`].
    pub fn insert(&mut self, properties: &Properties<'_>, insert: &Insert<'_>) -> Result<(), Error> {
        let drawing = self.drawing;
        let block = &drawing.blocks[insert.block.0 as usize];
        let definitions = &block.value.block.attributes;
        let values = insert.attributes;
        check(&[insert.at, insert.scale])?;
        check_numbers(&[insert.rotation])?;
        if insert.scale.contains(&0.0) {
            return Err(Refusal::NotPositive.into());
        }
        if !values.is_empty() && values.len() != definitions.len() {
            return Err(Refusal::Lengths.into());
        }
        let parts = if values.is_empty() { 0 } else { values.len() as u64 + 1 };
        let handle = self.begin("INSERT", properties, 1 + parts)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbBlockReference");
        if parts > 0 {
            pairs.int(66, 1);
        }
        pairs.bytes(2, &block.name);
        pairs.point3(10, insert.at);
        for (code, scale) in (41..).zip(insert.scale) {
            pairs.real(code, scale);
        }
        pairs.real(50, insert.rotation);
        self.grow(insert.at);
        if parts == 0 {
            return self.end();
        }
        self.put_data();
        let all = definitions.iter().zip(&block.value.tags).zip(values);
        for (child, ((definition, tag), value)) in (handle + 1..).zip(all) {
            self.child("ATTRIB", child, handle, properties);
            self.sink.pairs.str(100, "AcDbText");
            let charset = drawing.settings.charset();
            let whole = text::encode_cut(value, Place::Line, charset, &mut self.report, &mut self.scratch);
            self.report.cut_attributes += u64::from(!whole);
            let at = place(insert, block.value.block.base, definition.at);
            let height = definition.height * insert.scale[1].abs();
            self.line_of_text(at, height, insert.rotation, definition.style);
            self.attribute("AcDbAttribute", None, definition, tag);
        }
        self.end_of_parts(handle + parts, handle, properties)
    }

    fn attribute(
        &mut self,
        class: &str,
        prompt: Option<&[u8]>,
        definition: &AttributeDefinition,
        tag: &[u8],
    ) {
        // Two versions, or none: AutoCAD refuses one alone.
        let versions = self.drawing.settings.version.has_mesh();
        let pairs = &mut self.sink.pairs;
        pairs.str(100, class);
        if versions {
            pairs.int(280, 0);
        }
        if let Some(prompt) = prompt {
            pairs.bytes(3, prompt);
        }
        pairs.bytes(2, tag);
        pairs.int(70, (!definition.visible).into());
        if versions {
            pairs.int(280, 1);
        }
    }

    /// Writes what a block shows, and its attributes.
    pub(crate) fn contents(&mut self, block: BlockId) -> Result<(), Error> {
        let drawing = self.drawing;
        let definition = &drawing.blocks[block.0 as usize].value;
        for shape in &definition.block.shapes {
            self.shape(shape)?;
        }
        let properties = Properties::default();
        for (attribute, tag) in definition.block.attributes.iter().zip(&definition.tags) {
            self.begin("ATTDEF", &properties, 1)?;
            self.sink.pairs.str(100, "AcDbText");
            self.scratch.clear();
            self.line_of_text(attribute.at, attribute.height, 0.0, attribute.style);
            self.attribute("AcDbAttributeDefinition", Some(tag), attribute, tag);
            self.end()?;
        }
        Ok(())
    }

    fn shape(&mut self, shape: &Shape) -> Result<(), Error> {
        let properties = Properties { color: shape.color, ..Properties::on(LayerId::ZERO) };
        match &shape.geometry {
            ShapeGeometry::Point(at) => self.point(&properties, *at),
            ShapeGeometry::Line(from, to) => self.line(&properties, *from, *to),
            ShapeGeometry::Circle(center, radius) => self.circle(&properties, *center, *radius),
            ShapeGeometry::Polyline(vertices, closed) => {
                self.polyline(&properties, &Polyline::new(vertices, *closed))
            }
            ShapeGeometry::Area(ring) => self.hatch(&properties, &[ring], 0.0),
        }
    }

    /// Makes what follows the entities of the model space, which begin at the drawing's first handle.
    pub(crate) fn end_of_blocks(&mut self) {
        self.set_owner(handles::MODEL_SPACE, self.drawing.first_handle());
    }
}

/// A point of a block in the coordinates of the drawing.
fn place(insert: &Insert<'_>, base: [f64; 3], point: [f64; 3]) -> [f64; 3] {
    let [x, y, z] = [0, 1, 2].map(|axis| (point[axis] - base[axis]) * insert.scale[axis]);
    let (sin, cos) = insert.rotation.to_radians().sin_cos();
    let [at_x, at_y, at_z] = insert.at;
    [at_x + x * cos - y * sin, at_y + x * sin + y * cos, at_z + z]
}
