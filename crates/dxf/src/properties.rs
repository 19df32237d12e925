//! What entities have besides geometry.

use crate::color::{Color, Lineweight};
use crate::setup::{ApplicationId, LayerId, LinetypeId};

/// What an entity has besides its geometry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Properties<'a> {
    /// Its layer.
    pub layer: LayerId,
    /// Its colour.
    pub color: Color,
    /// The pattern of its lines.
    pub linetype: LinetypeId,
    /// The thickness of its lines.
    pub lineweight: Lineweight,
    /// The size of the pattern of its lines; 1 is as declared.
    pub linetype_scale: f64,
    /// 255 is opaque, 0 transparent. R2000 shows every entity as opaque.
    pub opacity: u8,
    /// Its extended data, once for each application.
    pub data: &'a [ExtendedData<'a>],
}

impl Default for Properties<'_> {
    /// Those of an entity on layer `0`, by layer.
    fn default() -> Self {
        Self::on(LayerId::ZERO)
    }
}

impl Properties<'_> {
    /// Those of an entity on a layer, from which it has everything.
    pub fn on(layer: LayerId) -> Self {
        Self {
            layer,
            color: Color::ByLayer,
            linetype: LinetypeId::BY_LAYER,
            lineweight: Lineweight::ByLayer,
            linetype_scale: 1.0,
            opacity: 255,
            data: &[],
        }
    }
}

/// Data that an application attached to an entity (XDATA). AutoCAD lists them by `XDLIST`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtendedData<'a> {
    /// The application.
    pub application: ApplicationId,
    /// The values.
    pub values: &'a [DataValue<'a>],
}

/// A value of extended data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DataValue<'a> {
    /// A string. One of more than 255 bytes becomes several, which follow each other.
    Text(&'a str),
    /// A number.
    Real(f64),
    /// A number of 32 bits.
    Long(i32),
    /// A number of 16 bits.
    Short(i16),
    /// A layer.
    Layer(LayerId),
    /// The beginning of a list.
    Begin,
    /// The end of a list.
    End,
}
