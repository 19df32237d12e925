//! The output is read back and compared with the input: what a writer leaves out or changes without
//! a message is a loss that is reported.
//!
//! [`tally`] has sums over the features of both, whatever their order. All features are read for a
//! strict order; for others, of a large input the first ones.

mod shape;
mod tally;

use super::listener::{self, warn_of_loss, with_listener};
use super::{Gdal, MAPINFO, options};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request};
use crate::engines::{c_path, string};
use std::ffi::{CStr, CString, OsStr, c_int};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tally::{Expected, Kind, Tally};

/// Features, and bytes of their geometries, that are read of an order that is not strict.
const SAMPLE_FEATURES: u64 = 20_000;
const SAMPLE_BYTES: u64 = 16 << 20;

/// A writer whose output is read back.
struct Written {
    writer: &'static CStr,
    /// The drivers that read its files; none for itself.
    readers: &'static [&'static CStr],
    /// Coordinates are those of the input.
    coordinates: bool,
    /// Every vertex is kept.
    vertices: bool,
    /// The fields are in the order of the input, with names that may be shortened.
    order: bool,
    /// The features are in the order of the input, and the first of them are soon read.
    sequence: bool,
}

const fn of(writer: &'static CStr, keeps: &str) -> Written {
    let keeps = keeps.as_bytes();
    let (mut at, mut written) = (
        0,
        Written { writer, readers: &[], coordinates: false, vertices: false, order: false, sequence: false },
    );
    while at < keeps.len() {
        match keeps[at] {
            b'c' => written.coordinates = true,
            b'v' => written.vertices = true,
            b'o' => written.order = true,
            _ => written.sequence = true,
        }
        at += 1;
    }
    written
}

/// c: coordinates, v: vertices, o: order of fields, s: sequence of features. The last is left out where
/// a file is read whole when it is opened, as a part of it takes as long as all of it.
const WRITTEN: &[Written] = &[
    of(c"CSV", "cvs"),
    of(c"DGN", "cs"),
    of(c"ESRI Shapefile", "cvos"),
    of(c"FlatGeobuf", "cv"),
    of(c"GML", "cv"),
    of(c"GPKG", "cvs"),
    of(c"GPX", ""),
    of(c"Geoconcept", "cs"),
    of(c"GeoJSON", "cv"),
    // A single feature is no sequence.
    Written { readers: &[c"GeoJSONSeq", c"GeoJSON"], ..of(c"GeoJSONSeq", "") },
    of(c"JML", "cv"),
    // The other driver reads names and descriptions only.
    Written { readers: &[c"LIBKML"], ..of(c"KML", "") },
    of(c"LIBKML", ""),
    of(c"MapInfo File", "cvos"),
    of(c"OGR_GMT", "cvs"),
    of(c"SQLite", "cvs"),
];

/// Arguments after which the output has what the input has, the coordinates excepted.
const NEUTRAL: &[&CStr] = &[c"-a_srs", c"-nln", c"-lco", c"-dsco", c"-gt", c"-t_srs", c"-s_srs"];

/// Tables of SpatiaLite and SQLite about other tables.
const TABLES_ABOUT: &[&str] = &["geometry_columns", "spatial_ref_sys", "sqlite_sequence"];

/// Drawings, whose labels are text of its own in MapInfo: it is placed by another point.
const DRAWINGS: &[&str] = &["dgn", "dwg", "dxf"];

/// Layers of points that the driver for GPX makes from other layers when it reads.
const DERIVED: &[&str] = &["route_points", "track_points"];

/// MapInfo stores whole numbers, which span a region of the reference system or, without one, much more.
const BOUNDS_ADVICE: &str =
    "; --opt lco.BOUNDS=XMIN,YMIN,XMAX,YMAX sets a smaller region, which the format divides more finely";

/// How much of each layer is read.
#[derive(Clone, Copy)]
enum Extent {
    All,
    /// This many features of the only layer.
    First(u64),
}

impl Gdal {
    /// Compares the output of this order with its input, and reports losses. `settings` are
    /// configuration options that concern the input.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub(super) fn verify(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        options: &options::Options,
        settings: &[&CStr],
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let Some(written) = WRITTEN.iter().find(|written| written.writer == driver) else { return Ok(()) };
        let Some(coordinates) = keeps_coordinates(options) else { return Ok(()) };
        listener::mute(true);
        let compared = self.compared(request, written, options, settings, events);
        listener::mute(false);
        let Some((input, output)) = compared? else { return Ok(()) };
        let Some(output) = output else {
            // A table of one column is not recognised by its content.
            if driver != c"CSV" {
                warn_of_loss("the output could not be read back and compared with the input");
            }
            return Ok(());
        };
        let (lacking, counts) = with_listener(|l| (l.lacking, l.counts));
        let skipped = counts.map_or(0, |counts| counts.skipped);
        if skipped > 0 {
            return Ok(());
        }
        let expected = Expected {
            coordinates: written.coordinates && coordinates && !moves_labels(driver, request.input),
            vertices: written.vertices,
            order: written.order,
            features_told: counts.is_some_and(|counts| counts.written == output.features),
            no_geometries: lacking.geometries,
            no_heights: lacking.heights,
            no_measures: lacking.measures,
        };
        let is_table = request.output.extension().is_some_and(|extension| extension == "tab");
        for line in input.lacks(&output, expected) {
            let advice = match is_table && line.starts_with(tally::MOVED) {
                true => BOUNDS_ADVICE,
                false => "",
            };
            warn_of_loss(&format!("{line}{advice}"));
        }
        Ok(())
    }

    /// The sums over input and output; of the output none if it cannot be read. `None` if they cannot
    /// be compared.
    fn compared(
        &self,
        request: &Request<'_>,
        written: &Written,
        options: &options::Options,
        settings: &[&CStr],
        events: &Arc<dyn Events>,
    ) -> Result<Option<(Tally, Option<Tally>)>, EngineError> {
        let Ok(source) = self.open_input(request.input, &options.open) else { return Ok(None) };
        let mut layers = self.layers(source, &options.layers);
        if self.driver_of(source) == "GPX" {
            layers.retain(|layer| !DERIVED.contains(&self.name_of(*layer).as_str()));
        }
        let names: Vec<String> = layers.iter().map(|layer| self.name_of(*layer)).collect();
        let mut input = Tally::default();
        let most = if request.strict { None } else { Some((SAMPLE_FEATURES, SAMPLE_BYTES)) };
        let read = self.tally(&layers, most, &mut input, events);
        // SAFETY: open, closed once; its layers are not used afterwards.
        unsafe { self.api.GDALClose(source) };
        let extent = match read? {
            None => Extent::All,
            Some(features) if layers.len() == 1 && written.sequence => Extent::First(features),
            Some(_) => return Ok(None),
        };
        // They would be applied to the output too.
        settings.iter().for_each(|key| self.unconfigure(key));
        let mut output = Tally::default();
        let files = files_of(request.output);
        let mut readable = !files.is_empty();
        for file in &files {
            readable &= self.tally_file(file, written, request.layer, &names, extent, &mut output, events)?;
        }
        Ok(Some((input, readable.then_some(output))))
    }

    /// Adds a file of the output. Whether it could be read.
    #[expect(clippy::too_many_arguments, reason = "they have nothing in common")]
    fn tally_file(
        &self,
        file: &Path,
        written: &Written,
        layer: Option<&str>,
        names: &[String],
        extent: Extent,
        tally: &mut Tally,
        events: &Arc<dyn Events>,
    ) -> Result<bool, EngineError> {
        let writer = [written.writer];
        let readers = if written.readers.is_empty() { &writer[..] } else { written.readers };
        // Tables without geometries too.
        let options =
            if written.writer == c"SQLite" { &[c"LIST_ALL_TABLES=YES".to_owned()][..] } else { &[] };
        let Ok(dataset) = self.open(&c_path(file)?, readers, options) else { return Ok(false) };
        let is_among = |name: &str| names.iter().any(|other| other.to_lowercase() == name.to_lowercase());
        let is_wanted = |handle: &ffi::OGRLayerH| {
            let name = self.name_of(*handle);
            // A file that has the layers of other conversions too, or tables about its tables.
            let is_ours = match (layer, options.is_empty()) {
                (Some(layer), _) => name == layer || is_among(&name),
                (None, true) => true,
                (None, false) => !TABLES_ABOUT.contains(&name.as_str()) || is_among(&name),
            };
            is_ours && !(written.writer == c"GPX" && DERIVED.contains(&name.as_str()))
        };
        let layers: Vec<_> = self.layers(dataset, &[]).into_iter().filter(is_wanted).collect();
        let most = match extent {
            Extent::All => None,
            Extent::First(features) => Some((features, u64::MAX)),
        };
        let read = self.tally(&layers, most, tally, events);
        // SAFETY: open, closed once; its layers are not used afterwards.
        unsafe { self.api.GDALClose(dataset) };
        read.map(|_| true)
    }

    /// Adds the features of layers, no more than so many and so many bytes. Returns their number if
    /// that are not all.
    fn tally(
        &self,
        layers: &[ffi::OGRLayerH],
        most: Option<(u64, u64)>,
        tally: &mut Tally,
        events: &Arc<dyn Events>,
    ) -> Result<Option<u64>, EngineError> {
        let (mut features, mut bytes) = (0, 0);
        for layer in layers {
            // SAFETY: a live layer, which owns its reference system, or null.
            let system = unsafe { self.api.OGR_L_GetSpatialRef(*layer) };
            if !system.is_null() {
                // SAFETY: a live reference system.
                tally.system(unsafe { self.api.OSRIsGeographic(system) } != 0);
            }
            let fields = self.fields_of(*layer);
            tally.layer(&fields, layers.len() == 1);
            // SAFETY: a live layer.
            unsafe { self.api.OGR_L_ResetReading(*layer) };
            loop {
                if events.cancelled() {
                    return Err(EngineError::Cancelled);
                }
                // SAFETY: a live layer; the feature is ours.
                let feature = unsafe { self.api.OGR_L_GetNextFeature(*layer) };
                if feature.is_null() {
                    break;
                }
                let is_beyond =
                    most.is_some_and(|(most, most_bytes)| features >= most || bytes >= most_bytes);
                if !is_beyond {
                    bytes += self.add(feature, &fields, tally);
                    features += 1;
                }
                // SAFETY: ours, destroyed once.
                unsafe { self.api.OGR_F_Destroy(feature) };
                if is_beyond {
                    return Ok(Some(features));
                }
            }
        }
        Ok(None)
    }

    /// Adds a feature. Returns the bytes of its geometry.
    fn add(&self, feature: ffi::OGRFeatureH, fields: &[(String, Kind)], tally: &mut Tally) -> u64 {
        let api = &self.api;
        tally.features += 1;
        for (index, (name, kind)) in (0..).zip(fields) {
            // SAFETY: a live feature and a number below the count of its fields.
            if unsafe { api.OGR_F_IsFieldSetAndNotNull(feature, index) } == 0 {
                continue;
            }
            let is_real = *kind == Kind::Real;
            // SAFETY: as above.
            let number = is_real.then(|| unsafe { api.OGR_F_GetFieldAsDouble(feature, index) });
            // SAFETY: as above; the text is copied.
            let text = unsafe { string(api.OGR_F_GetFieldAsString(feature, index)) };
            tally.value(name, &text.unwrap_or_default(), number);
        }
        // SAFETY: a live feature, which owns its geometry.
        let geometry = unsafe { api.OGR_F_GetGeometryRef(feature) };
        if geometry.is_null() {
            return 0;
        }
        let bytes = self.exported(geometry);
        if let Some(shape) = shape::shape(&bytes) {
            tally.shape(&shape);
        }
        bytes.len() as u64
    }

    fn fields_of(&self, layer: ffi::OGRLayerH) -> Vec<(String, Kind)> {
        let api = &self.api;
        // SAFETY: a live layer, which owns its definition and the fields of that.
        let definition = unsafe { api.OGR_L_GetLayerDefn(layer) };
        // SAFETY: a live definition.
        let count: c_int = unsafe { api.OGR_FD_GetFieldCount(definition) };
        (0..count)
            .map(|index| {
                // SAFETY: a number below the count of the fields; the name is copied.
                let (name, kind) = unsafe {
                    let field = api.OGR_FD_GetFieldDefn(definition, index);
                    (string(api.OGR_Fld_GetNameRef(field)), api.OGR_Fld_GetType(field))
                };
                (name.unwrap_or_default(), kind_of(kind))
            })
            .collect()
    }

    fn name_of(&self, layer: ffi::OGRLayerH) -> String {
        // SAFETY: a live layer; the name is copied.
        unsafe { string(self.api.OGR_L_GetName(layer)) }.unwrap_or_default()
    }
}

fn kind_of(kind: ffi::OGRFieldType) -> Kind {
    match kind {
        ffi::OGRFieldType_OFTInteger | ffi::OGRFieldType_OFTInteger64 => Kind::Integer,
        ffi::OGRFieldType_OFTReal => Kind::Real,
        ffi::OGRFieldType_OFTString => Kind::Text,
        ffi::OGRFieldType_OFTTime | ffi::OGRFieldType_OFTDateTime => Kind::Time,
        _ => Kind::Other,
    }
}

/// Whether the options leave the coordinates as they are; `None` if they change what the features
/// have.
fn keeps_coordinates(options: &options::Options) -> Option<bool> {
    let mut keeps = true;
    let mut arguments = options.translate.iter().map(CString::as_c_str);
    while let Some(argument) = arguments.next() {
        // The name of a layer stands by itself.
        if !argument.to_bytes().starts_with(b"-") {
            continue;
        }
        if !NEUTRAL.contains(&argument) {
            return None;
        }
        let value = arguments.next().unwrap_or_default().to_bytes();
        let is_encoding = argument == c"-lco" && value.starts_with(b"ENCODING=");
        keeps &= [c"-a_srs", c"-nln", c"-gt"].contains(&argument) || is_encoding;
    }
    Some(keeps)
}

fn moves_labels(driver: &CStr, input: &Path) -> bool {
    let extension = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    driver == MAPINFO && DRAWINGS.contains(&extension.as_str())
}

/// The files of the output that have its features: those beside it and below with its extension.
fn files_of(output: &Path) -> Vec<PathBuf> {
    let mut files = files_with(output, output.extension().unwrap_or_default());
    if output.extension().is_some_and(|extension| extension == "shp") {
        // Tables without geometries have no shapes.
        let is_alone = |table: &PathBuf| !table.with_extension("shp").exists();
        files.extend(files_with(output, OsStr::new("dbf")).into_iter().filter(is_alone));
    }
    files
}

fn files_with(output: &Path, extension: &OsStr) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending: Vec<PathBuf> = output.parent().map(Path::to_owned).into_iter().collect();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(path),
                Ok(kind) if kind.is_file() && path.extension() == Some(extension) => files.push(path),
                _ => {}
            }
        }
    }
    files
}
