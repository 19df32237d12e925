//! What a drawing has besides entities: layers, line types, text styles, blocks and applications.
//!
//! All of it is declared before the first entity, because it precedes the entities in the file.
//! Identifiers of what was declared are all that entities name, so none can name what is not there.

use crate::code_page::CodePage;
use crate::color::{Color, Lineweight};
use crate::dialect::Dialect;
use crate::extents::Extents;
use crate::geodata::Georeference;
use crate::name::{NameKind, Names, Renamed, legal};
use crate::units::Units;
use crate::version::Version;
use cadmill_core::domain::text::Charset;

/// What holds for the whole drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The release of the format.
    pub version: Version,
    /// The encoding of text up to R2004.
    pub code_page: CodePage,
    /// How groups and numbers are written.
    pub dialect: Dialect,
    /// The unit of the coordinates.
    pub units: Units,
    /// The box around the drawing, if it is known before. Otherwise the header has room for it, and
    /// [`Finished::patches`](crate::Finished::patches) what goes there.
    pub extents: Option<Extents>,
    /// A handle above all that the drawing will have, if it is known before.
    pub handle_seed: Option<u64>,
    /// The form in which points are shown (`$PDMODE`): 0 a dot, 2 a cross, 3 a slanted cross, 34 a
    /// cross in a circle.
    pub point_mode: i16,
    /// The size in which points are shown (`$PDSIZE`), in units; 0 for five hundredths of the view.
    pub point_size: f64,
    /// The reference system of the coordinates, from R2010.
    pub georeference: Option<Georeference>,
}

impl Default for Settings {
    /// R2004 in Western European, in no unit.
    fn default() -> Self {
        Self {
            version: Version::R2004,
            code_page: CodePage::WESTERN,
            dialect: Dialect::Plain,
            units: Units::None,
            extents: None,
            handle_seed: None,
            point_mode: 0,
            point_size: 0.0,
            georeference: None,
        }
    }
}

impl Settings {
    /// The encoding of text.
    pub fn charset(&self) -> Charset {
        if self.version.is_utf8() { Charset::UTF_8 } else { self.code_page.charset() }
    }
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) u32);
    )*};
}

identifiers! {
    /// A layer of the drawing.
    LayerId;
    /// A line type of the drawing.
    LinetypeId;
    /// A text style of the drawing.
    TextStyleId;
    /// A block of the drawing.
    BlockId;
    /// An application of the drawing, whose extended data entities may have.
    ApplicationId;
}

impl LayerId {
    /// The layer `0`, which every drawing has.
    pub const ZERO: Self = Self(0);
}

impl LinetypeId {
    /// That of the layer.
    pub const BY_LAYER: Self = Self(0);
    /// That of the block's insertion.
    pub const BY_BLOCK: Self = Self(1);
    /// A line without gaps.
    pub const CONTINUOUS: Self = Self(2);
}

impl TextStyleId {
    /// The style `Standard`, with the font `txt`, which has no letters outside of ASCII.
    pub const STANDARD: Self = Self(0);
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The colour of its entities. White if it is by layer or by block.
    pub color: Color,
    /// The line type of its entities. A line without gaps if it is by layer or by block.
    pub linetype: LinetypeId,
    /// The thickness of its entities.
    pub lineweight: Lineweight,
    /// Whether it is hidden, and left out of regeneration.
    pub frozen: bool,
    /// Whether it is hidden.
    pub off: bool,
    /// Whether its entities cannot be changed.
    pub locked: bool,
    /// Whether it is plotted. `Defpoints` never is.
    pub plotted: bool,
}

impl Default for Layer {
    fn default() -> Self {
        Self {
            color: Color::Index(7),
            linetype: LinetypeId::CONTINUOUS,
            lineweight: Lineweight::Default,
            frozen: false,
            off: false,
            locked: false,
            plotted: true,
        }
    }
}

/// A font of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct TextStyle {
    /// The font's file, such as `txt.shx` or `malgun.ttf`.
    pub font: String,
    /// The file with the letters of Asian languages, such as `whgtxt.shx`; empty with TrueType fonts.
    pub big_font: String,
    /// Width of letters in that of the font.
    pub width: f64,
    /// Slant of letters in degrees.
    pub slant: f64,
}

impl TextStyle {
    /// A style with a font, and one for Asian letters or none.
    pub fn new(font: &str, big_font: &str) -> Self {
        Self { font: font.to_owned(), big_font: big_font.to_owned(), width: 1.0, slant: 0.0 }
    }
}

/// A symbol, which entities insert.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// The point that lies where the block is inserted.
    pub base: [f64; 3],
    /// What it shows, on layer `0` and hence on that of the insertion.
    pub shapes: Vec<Shape>,
    /// The attributes that insertions may have.
    pub attributes: Vec<AttributeDefinition>,
}

impl Block {
    /// Handles that its contents take.
    pub(crate) fn handles(&self) -> u64 {
        (self.shapes.len() + self.attributes.len()) as u64
    }
}

/// A part of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Its colour. [`Color::ByBlock`] is that of the insertion, [`Color::ByLayer`] that of its layer.
    pub color: Color,
    /// Its geometry.
    pub geometry: ShapeGeometry,
}

/// The geometry of a part of a block.
#[derive(Debug, Clone, PartialEq)]
pub enum ShapeGeometry {
    /// A point.
    Point([f64; 3]),
    /// A line between two points.
    Line([f64; 3], [f64; 3]),
    /// A circle with a centre and a radius.
    Circle([f64; 3], f64),
    /// A polyline, which may be closed.
    Polyline(Vec<[f64; 2]>, bool),
    /// A filled ring.
    Area(Vec<[f64; 2]>),
}

/// An attribute that a block's insertions may have.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeDefinition {
    /// Its name. Blanks become underscores.
    pub tag: String,
    /// Where its text begins, in the block's coordinates.
    pub at: [f64; 3],
    /// Height of its text, in the block's units.
    pub height: f64,
    /// Style of its text.
    pub style: TextStyleId,
    /// Whether it is shown.
    pub visible: bool,
}

pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) value: T,
}

/// A drawing that is being set up.
///
/// Names are made legal: what changes is in [`Drawing::renamed`](crate::Drawing::renamed). A name that was declared before
/// gives the same identifier again, and the first declaration holds.
pub struct Setup {
    pub(crate) settings: Settings,
    pub(crate) linetypes: Vec<Named<(String, Vec<f64>)>>,
    pub(crate) layers: Vec<Named<Layer>>,
    pub(crate) styles: Vec<Named<TextStyle>>,
    pub(crate) blocks: Vec<Named<Block>>,
    pub(crate) applications: Vec<Named<()>>,
    pub(crate) renamed: Vec<Renamed>,
    pub(crate) layer_names: Names,
    linetype_names: Names,
    style_names: Names,
    block_names: Names,
    application_names: Names,
}

impl Setup {
    /// A drawing without anything but what each has.
    pub fn new(settings: Settings) -> Self {
        let charset = settings.charset();
        let mut setup = Self {
            settings,
            linetypes: Vec::new(),
            layers: Vec::new(),
            styles: Vec::new(),
            blocks: Vec::new(),
            applications: Vec::new(),
            renamed: Vec::new(),
            layer_names: Names::new(NameKind::Layer, charset, &[]),
            linetype_names: Names::new(NameKind::Linetype, charset, &[]),
            style_names: Names::new(NameKind::TextStyle, charset, &[]),
            block_names: Names::new(NameKind::Block, charset, &[]),
            application_names: Names::new(NameKind::Application, charset, &[]),
        };
        for (name, description) in [("ByLayer", ""), ("ByBlock", ""), ("Continuous", "Solid line")] {
            setup.linetype(name, description, &[]);
        }
        setup.layer("0", Layer::default());
        setup.text_style("Standard", TextStyle::new("txt", ""));
        setup.application("ACAD");
        setup
    }

    /// Declares a line type. `dashes` are lengths in drawing units: positive for a dash, negative for a
    /// gap, zero for a dot.
    pub fn linetype(&mut self, name: &str, description: &str, dashes: &[f64]) -> LinetypeId {
        let place = self.linetypes.len() as u32;
        LinetypeId(self.linetype_names.find(name).unwrap_or_else(|| {
            let name = self.linetype_names.add(name, place, &mut self.renamed);
            self.linetypes.push(Named { name, value: (description.to_owned(), dashes.to_vec()) });
            place
        }))
    }

    /// Whether a name is legal for a layer. Another layer may have it already.
    pub fn is_layer_name(&self, name: &str) -> bool {
        legal(name, NameKind::Layer, self.settings.charset()) == name
    }

    /// Declares a layer.
    pub fn layer(&mut self, name: &str, layer: Layer) -> LayerId {
        let place = self.layers.len() as u32;
        LayerId(self.layer_names.find(name).unwrap_or_else(|| {
            let name = self.layer_names.add(name, place, &mut self.renamed);
            self.layers.push(Named { name, value: layer });
            place
        }))
    }

    /// Changes a layer.
    ///
    /// # Panics
    ///
    /// If the layer is one of another drawing.
    pub fn set_layer(&mut self, id: LayerId, layer: Layer) {
        self.layers[id.0 as usize].value = layer;
    }

    /// The name that a layer has in the drawing.
    ///
    /// # Panics
    ///
    /// If the layer is one of another drawing.
    pub fn layer_name(&self, id: LayerId) -> &str {
        &self.layers[id.0 as usize].name
    }

    /// Declares a text style.
    pub fn text_style(&mut self, name: &str, style: TextStyle) -> TextStyleId {
        let place = self.styles.len() as u32;
        TextStyleId(self.style_names.find(name).unwrap_or_else(|| {
            let name = self.style_names.add(name, place, &mut self.renamed);
            self.styles.push(Named { name, value: style });
            place
        }))
    }

    /// Declares a block.
    pub fn block(&mut self, name: &str, mut block: Block) -> BlockId {
        let place = self.blocks.len() as u32;
        BlockId(self.block_names.find(name).unwrap_or_else(|| {
            let mut tags = Names::new(NameKind::Tag, self.settings.charset(), &[]);
            for (number, attribute) in block.attributes.iter_mut().enumerate() {
                attribute.tag = tags.add(&attribute.tag, number as u32, &mut self.renamed);
            }
            let name = self.block_names.add(name, place, &mut self.renamed);
            self.blocks.push(Named { name, value: block });
            place
        }))
    }

    /// Declares an application, whose extended data entities may have.
    pub fn application(&mut self, name: &str) -> ApplicationId {
        let place = self.applications.len() as u32;
        ApplicationId(self.application_names.find(name).unwrap_or_else(|| {
            let name = self.application_names.add(name, place, &mut self.renamed);
            self.applications.push(Named { name, value: () });
            place
        }))
    }
}
