//! A drawing as shapefiles: a drawing has all kinds of geometry on one sheet, and a shapefile has one
//! kind, so each kind gets a shapefile of its own.

use super::listener::{Listener, warn, warn_of_loss, with_listener};
use super::retry::clear;
use super::{Gdal, advice, options};
use crate::engine::{EngineError, Events, Inspection, Request};
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// Extensions of drawings.
const DRAWINGS: &[&str] = &["dgn", "dwg", "dxf"];

/// The driver whose files have one kind of geometry.
const SHAPEFILE: &CStr = c"ESRI Shapefile";

/// Parts of a block that a drawing inserts are features of their own then, and not a collection,
/// which is of no kind.
const MERGES: &CStr = c"DXF_MERGE_BLOCK_GEOMETRIES";

/// A kind: what is added to the name of the file, the types of geometry in it as they are shown
/// without their dimension, and as they stand in a condition.
struct Kind {
    name: &'static str,
    shown: &'static [&'static str],
    condition: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { name: "points", shown: &["Point"], condition: "'POINT'" },
    Kind { name: "multipoints", shown: &["Multi Point"], condition: "'MULTIPOINT'" },
    Kind {
        name: "lines",
        shown: &["Line String", "Multi Line String", "Circular String", "Compound Curve", "Multi Curve"],
        condition: "'LINESTRING','MULTILINESTRING','CIRCULARSTRING','COMPOUNDCURVE','MULTICURVE'",
    },
    Kind {
        name: "polygons",
        shown: &["Polygon", "Multi Polygon", "Curve Polygon", "Multi Surface"],
        condition: "'POLYGON','MULTIPOLYGON','CURVEPOLYGON','MULTISURFACE'",
    },
    Kind {
        name: "surfaces",
        shown: &["PolyhedralSurface", "TIN", "Triangle"],
        condition: "'POLYHEDRALSURFACE','TIN','TRIANGLE'",
    },
];

impl Gdal {
    /// Whether the drawing failed to become one shapefile because of its kinds of geometry, and the
    /// user has not chosen one.
    pub(super) fn has_kinds(&self, request: &Request<'_>, driver: &CStr, options: &options::Options) -> bool {
        let extension = request.input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_mixed = || with_listener(|l| l.reason().is_some_and(advice::is_of_other_kind));
        let chooses =
            |argument: &CString| [c"-where", c"-nlt", c"-skipfailures"].contains(&argument.as_c_str());
        driver == SHAPEFILE
            && DRAWINGS.contains(&extension.as_str())
            && !options.translate.iter().any(chooses)
            && is_mixed()
    }

    /// Converts each kind to a shapefile.
    ///
    /// # Errors
    /// `failed`, the first failure, if there is a kind that no shapefile has.
    pub(super) fn convert_kinds(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
        failed: EngineError,
    ) -> Result<(), EngineError> {
        clear(request.output_dir)?;
        if !options.config.iter().any(|(name, _)| *name == MERGES) {
            self.configure(MERGES, c"NO");
        }
        with_listener(Listener::restart);
        let inspection =
            Inspection { input: request.input, input_dir: request.input_dir, options: request.options };
        let contents = self.read(&inspection, request.input, &options.open, events)?;
        let [layer] = contents.layers.as_slice() else { return Err(failed) };
        let mut without = 0;
        let mut counts = vec![0; KINDS.len()];
        for (shown, count) in &layer.geometries {
            let plain = shown.trim_start_matches("3D ").trim_start_matches("Measured ");
            match KINDS.iter().position(|kind| kind.shown.contains(&plain)) {
                Some(kind) => counts[kind] += count,
                None if shown == "None" => without += count,
                None => return Err(failed),
            }
        }
        let (read, mut number) = (layer.features, 0);
        let mut written = Vec::new();
        for (kind, count) in KINDS.iter().zip(&counts).filter(|(_, count)| **count > 0) {
            let stem = request.output.file_stem().unwrap_or_default().to_string_lossy();
            let output = request.output_dir.join(format!("{stem}_{}.shp", kind.name));
            let mut options = options.clone();
            let condition = format!("OGR_GEOMETRY IN ({})", kind.condition);
            options.translate.extend([c"-where".to_owned(), CString::new(condition).unwrap_or_default()]);
            self.write_output(&Request { output: &output, ..*request }, driver, &options, events)?;
            number += count;
            written.push(format!("{} ({count})", kind.name));
        }
        warn(&format!(
            "the drawing has several kinds of geometry, and each has a shapefile of its own: {}",
            written.join(", ")
        ));
        if without > 0 {
            warn_of_loss(&format!("{without} features without geometry were left out"));
        }
        with_listener(|l| l.set_counts(read, number, without));
        Ok(())
    }
}
