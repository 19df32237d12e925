//! Where on the earth a drawing lies: the object GEODATA, from R2010.
//!
//! The extension dictionary of the model space's block record has it as `ACAD_GEOGRAPHICDATA`. No
//! AutoCAD has read one of these: ezdxf reads the EPSG code, and other readers pass over the object.

use crate::handles;
use crate::pairs::Pairs;
use crate::report::Report;
use crate::text::{self, Place};
use crate::units::Units;
use cadmill_core::domain::text::Charset;

/// The reference system of a drawing's coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Georeference {
    /// The code of EPSG.
    pub epsg: u32,
    /// The system's name.
    pub name: String,
    /// Whether the coordinates are degrees, of longitude and latitude; otherwise they are of a
    /// projection, to the east and to the north.
    pub is_geographic: bool,
    /// Metres in a unit of the coordinates, if they are of a projection.
    pub metres: f64,
    /// A point of the drawing.
    pub point: [f64; 2],
}

/// Metres in a degree of the equator, on the ellipsoid of WGS 84.
const DEGREE: f64 = 111_319.490_793_273_57;

impl Georeference {
    /// The definition of the system, in the XML that AutoCAD has for it: as little as names it.
    fn definition(&self) -> String {
        let (epsg, name) = (self.epsg, escaped(&self.name));
        let (kind, unit, axes) = match self.is_geographic {
            true => ("Geographic", "Degree", [("Longitude", "E", "East"), ("Latitude", "N", "North")]),
            false => ("Projected", "Meter", [("Easting", "E", "East"), ("Northing", "N", "North")]),
        };
        let axis = |(number, (name, short, direction)): (u8, (&str, &str, &str))| {
            format!(
                "<CoordinateSystemAxis><AxisOrder>{number}</AxisOrder><AxisName>{name}</AxisName>\
                 <AxisAbbreviation>{short}</AxisAbbreviation><AxisDirection>{direction}</AxisDirection>\
                 </CoordinateSystemAxis>\n"
            )
        };
        let axes: String = (1..).zip(axes).map(axis).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-16\" standalone=\"no\" ?>\n\
             <Dictionary version=\"1.0\" xmlns=\"http://www.osgeo.org/mapguide/coordinatesystem\">\n\
             <{kind}CoordinateSystem id=\"{name}\">\n<Name>{name}</Name>\n\
             <Axis uom=\"{unit}\">\n{axes}</Axis>\n</{kind}CoordinateSystem>\n\
             <Alias id=\"{epsg}\" type=\"CoordinateSystem\">\n<ObjectId>{name}</ObjectId>\n\
             <Namespace>EPSG Code</Namespace>\n</Alias>\n</Dictionary>\n"
        )
    }

    /// Whether the numbers are such that a reader takes them.
    pub(crate) fn is_sound(&self) -> bool {
        self.point.iter().all(|value| value.is_finite()) && self.metres.is_finite() && self.metres > 0.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writes the extension dictionary of the model space, and the object in it.
pub(crate) fn write(pairs: &mut Pairs, of: &Georeference, charset: Charset) {
    pairs.str(0, "DICTIONARY");
    pairs.handle(5, handles::MODEL_EXTENSION);
    pairs.handle(330, handles::MODEL_SPACE);
    pairs.str(100, "AcDbDictionary");
    // It owns what is in it.
    pairs.int(280, 1);
    pairs.int(281, 1);
    pairs.str(3, "ACAD_GEOGRAPHICDATA");
    pairs.handle(360, handles::GEODATA);

    pairs.str(0, "GEODATA");
    pairs.handle(5, handles::GEODATA);
    pairs.handle(330, handles::MODEL_EXTENSION);
    pairs.str(100, "AcDbGeoData");
    // The layout of R2010, which later releases write too.
    pairs.int(90, 2);
    pairs.handle(330, handles::MODEL_SPACE);
    // A grid of a projection, or longitude and latitude.
    pairs.int(70, if of.is_geographic { 3 } else { 2 });
    // The same point in the drawing and in the system, whose coordinates the drawing has.
    let [x, y] = of.point;
    pairs.point3(10, [x, y, 0.0]);
    pairs.point3(11, [x, y, 0.0]);
    let (horizontal, vertical) = if of.is_geographic { (DEGREE, 1.0) } else { (of.metres, of.metres) };
    // The scales in metres, and the units that have them, if any does.
    pairs.real(40, horizontal);
    pairs.int(91, Units::of_metres(horizontal).value());
    pairs.real(41, vertical);
    pairs.int(92, Units::of_metres(vertical).value());
    pairs.point3(210, [0.0, 0.0, 1.0]);
    pairs.point2(12, 0.0, 1.0);
    // No scale, no correction for the height above the sea.
    pairs.int(95, 1);
    pairs.real(141, 1.0);
    pairs.int(294, 0);
    pairs.real(142, 0.0);
    pairs.real(143, 0.0);
    let definition = of.definition();
    text::pieces(&definition, Place::Data, charset, &mut Report::default(), |piece, is_last| {
        pairs.bytes(if is_last { 301 } else { 303 }, piece);
    });
    for code in [302, 305, 306, 307] {
        pairs.str(code, "");
    }
    // No mesh.
    pairs.int(93, 0);
    pairs.int(96, 0);
}
