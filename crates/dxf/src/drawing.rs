//! A drawing that is set up: its names in their encoding, and the handles of what it declares.
//!
//! It does not change any more, so that several threads can write entities of it.

use crate::dialect::Dialect;
use crate::error::SetupError;
use crate::handles;
use crate::name::Renamed;
use crate::report::Report;
use crate::setup::{Block, Layer, LayerId, Named, Settings, Setup, TextStyle};
use crate::text::{self, Place};

/// Something with a name and a record in a table.
pub(crate) struct Record<T> {
    /// In the drawing's encoding.
    pub(crate) name: Box<[u8]>,
    pub(crate) handle: u64,
    pub(crate) value: T,
}

pub(crate) struct Linetype {
    pub(crate) description: Box<[u8]>,
    pub(crate) dashes: Vec<f64>,
}

pub(crate) struct Font {
    pub(crate) style: TextStyle,
    /// The files, in the drawing's encoding.
    pub(crate) files: [Box<[u8]>; 2],
}

pub(crate) struct BlockDefinition {
    pub(crate) block: Block,
    pub(crate) tags: Vec<Box<[u8]>>,
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// A drawing that is set up, and whose entities can be written.
pub struct Drawing {
    pub(crate) settings: Settings,
    pub(crate) linetypes: Vec<Record<Linetype>>,
    pub(crate) layers: Vec<Record<Layer>>,
    pub(crate) styles: Vec<Record<Font>>,
    pub(crate) applications: Vec<Record<()>>,
    pub(crate) blocks: Vec<Record<BlockDefinition>>,
    pub(crate) first_in_blocks: u64,
    layer_names: crate::name::Names,
    first_entity: u64,
    renamed: Vec<Renamed>,
    report: Report,
}

impl Setup {
    /// Ends the setup.
    ///
    /// # Errors
    ///
    /// If a number is not finite or not positive where it must be, or if there is more than there are
    /// handles.
    pub fn finish(self) -> Result<Drawing, SetupError> {
        Drawing::new(self)
    }
}

impl Drawing {
    fn new(setup: Setup) -> Result<Self, SetupError> {
        check_numbers(&setup)?;
        let charset = setup.settings.charset();
        let mut report = Report::default();
        let mut encode = |name: &str| {
            let mut out = Vec::new();
            text::encode_cut(name, Place::Name, charset, &mut report, &mut out);
            out.into_boxed_slice()
        };
        let mut next = handles::FIRST_DECLARED;
        let mut handle = |fixed: Option<&u64>| {
            fixed.copied().unwrap_or_else(|| {
                next += 1;
                next - 1
            })
        };
        const LINETYPES: [u64; 3] =
            [handles::LTYPE_BY_LAYER, handles::LTYPE_BY_BLOCK, handles::LTYPE_CONTINUOUS];
        let mut linetypes = Vec::new();
        for Named { name, value: (description, dashes) } in setup.linetypes {
            let value = Linetype { description: encode(&description), dashes };
            let handle = handle(LINETYPES.get(linetypes.len()));
            linetypes.push(Record { name: encode(&name), handle, value });
        }
        let mut layers = Vec::new();
        for Named { name, mut value } in setup.layers {
            let handle = handle([handles::LAYER_ZERO].get(layers.len()));
            value.plotted &= !name.eq_ignore_ascii_case("defpoints");
            layers.push(Record { name: encode(&name), handle, value });
        }
        let mut styles = Vec::new();
        for Named { name, value: style } in setup.styles {
            let handle = handle([handles::STYLE_STANDARD].get(styles.len()));
            let value = Font { files: [encode(&style.font), encode(&style.big_font)], style };
            styles.push(Record { name: encode(&name), handle, value });
        }
        let mut applications = Vec::new();
        for Named { name, value } in setup.applications {
            let handle = handle([handles::APPID_ACAD].get(applications.len()));
            applications.push(Record { name: encode(&name), handle, value });
        }
        let mut blocks = Vec::new();
        for Named { name, value: block } in setup.blocks {
            let tags = block.attributes.iter().map(|attribute| encode(&attribute.tag)).collect();
            let (record, begin, end) = (handle(None), handle(None), handle(None));
            let value = BlockDefinition { block, tags, begin, end };
            blocks.push(Record { name: encode(&name), handle: record, value });
        }
        let first_in_blocks = next;
        let in_blocks: u64 = blocks.iter().map(|block| block.value.block.handles()).sum();
        let mut first_entity = first_in_blocks + in_blocks;
        if setup.settings.dialect == Dialect::Ogr {
            if first_entity > handles::FIRST_OF_OGR {
                return Err(SetupError::TooMany);
            }
            first_entity = handles::FIRST_OF_OGR;
        }
        if first_entity > handles::LAST {
            return Err(SetupError::TooMany);
        }
        Ok(Self {
            settings: setup.settings,
            linetypes,
            layers,
            styles,
            applications,
            blocks,
            first_in_blocks,
            layer_names: setup.layer_names,
            first_entity,
            renamed: setup.renamed,
            report,
        })
    }

    /// What holds for the whole drawing.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Names that are not written as they were given.
    pub fn renamed(&self) -> &[Renamed] {
        &self.renamed
    }

    /// What was changed in names.
    pub(crate) fn report(&self) -> Report {
        self.report
    }

    /// The layer that was declared with this name. A drawing gets no layer later.
    pub fn layer(&self, name: &str) -> Option<LayerId> {
        self.layer_names.find(name).map(LayerId)
    }

    /// The handle of the first entity.
    pub fn first_handle(&self) -> u64 {
        self.first_entity
    }
}

fn check_numbers(setup: &Setup) -> Result<(), SetupError> {
    let refuse = |name: &str| Err(SetupError::Number(name.to_owned()));
    let Settings { point_size, extents, version, georeference, .. } = &setup.settings;
    if !point_size.is_finite() {
        return refuse("$PDSIZE");
    }
    if extents.is_some_and(|e| !e.min.iter().chain(&e.max).all(|value| value.is_finite())) {
        return refuse("$EXTMIN");
    }
    if let Some(georeference) = georeference {
        if !version.has_georeference() {
            return Err(SetupError::Georeference);
        }
        if !georeference.is_sound() {
            return refuse("GEODATA");
        }
    }
    for Named { name, value: (_, dashes) } in &setup.linetypes {
        if !dashes.iter().all(|dash| dash.is_finite()) {
            return refuse(name);
        }
    }
    for Named { name, value } in &setup.styles {
        if !value.width.is_finite() || value.width <= 0.0 || !value.slant.is_finite() {
            return refuse(name);
        }
    }
    for Named { name, value } in &setup.blocks {
        let attributes = value.attributes.iter().flat_map(|a| a.at.into_iter().chain([a.height]));
        if !value.base.into_iter().chain(attributes).all(f64::is_finite)
            || value.attributes.iter().any(|attribute| attribute.height <= 0.0)
        {
            return refuse(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_drawing() {
        fn assert_shared<T: Send + Sync>() {}
        assert_shared::<Drawing>();
    }
}
