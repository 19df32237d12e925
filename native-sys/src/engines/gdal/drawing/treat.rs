//! What the options change in a geometry, in the order in which ogr2ogr does it.

use super::choice::Change;
use super::source::Source;
use crate::bindings::gdal as ffi;
use crate::engine::EngineError;
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::blamed;

/// Changes geometries of one layer. Each thread has its own.
pub(super) struct Treatment<'a> {
    gdal: &'a Gdal,
    change: &'a Change,
    transformer: Option<Transformer<'a>>,
}

/// A transformation of coordinates.
struct Transformer<'a> {
    gdal: &'a Gdal,
    transformation: ffi::OGRCoordinateTransformationH,
    handle: ffi::OGRGeomTransformerH,
}

impl Drop for Transformer<'_> {
    fn drop(&mut self) {
        // SAFETY: both made by us, destroyed once; the transformer copied the transformation.
        unsafe {
            self.gdal.api.OGR_GeomTransformer_Destroy(self.handle);
            self.gdal.api.OCTDestroyCoordinateTransformation(self.transformation);
        }
    }
}

/// A geometry that is ours, or a feature's.
pub(super) struct Held<'a> {
    gdal: &'a Gdal,
    pub(super) handle: ffi::OGRGeometryH,
    is_ours: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            // SAFETY: ours, destroyed once.
            unsafe { self.gdal.api.OGR_G_DestroyGeometry(self.handle) };
        }
    }
}

impl<'a> Held<'a> {
    /// A geometry that a feature owns.
    pub(super) fn of_feature(gdal: &'a Gdal, handle: ffi::OGRGeometryH) -> Self {
        Self { gdal, handle, is_ours: false }
    }

    /// Takes a new geometry in place of this one, if there is one.
    pub(super) fn replace(&mut self, handle: ffi::OGRGeometryH) {
        if !handle.is_null() {
            *self = Self { gdal: self.gdal, handle, is_ours: true };
        }
    }
}

impl<'a> Treatment<'a> {
    /// What becomes of the geometries of a layer.
    ///
    /// # Errors
    /// If its coordinates cannot be transformed.
    pub(super) fn new(gdal: &'a Gdal, source: &Source, change: &'a Change) -> Result<Self, EngineError> {
        let transformer = match change.target.is_some() {
            true => gdal.transformer(source)?,
            false => None,
        };
        Ok(Self { gdal, change, transformer })
    }

    /// Changes a geometry. `false` if it cannot be transformed.
    pub(super) fn treat(&self, geometry: &mut Held<'a>) -> bool {
        let (api, change) = (&self.gdal.api, self.change);
        if let Some(has_heights) = change.has_heights {
            // SAFETY: a live geometry.
            unsafe {
                api.OGR_G_Set3D(geometry.handle, has_heights.into());
                api.OGR_G_SetMeasured(geometry.handle, 0);
            }
        }
        if let Some(longest) = change.longest.filter(|longest| *longest > 0.0) {
            // SAFETY: a live geometry.
            unsafe { api.OGR_G_Segmentize(geometry.handle, longest) };
        }
        if let Some(tolerance) = change.tolerance.filter(|tolerance| *tolerance > 0.0) {
            // SAFETY: a live geometry; the result is ours.
            geometry.replace(unsafe { api.OGR_G_SimplifyPreserveTopology(geometry.handle, tolerance) });
        }
        if let Some(transformer) = &self.transformer {
            // SAFETY: a live transformer and a live geometry; the result is ours.
            let transformed =
                unsafe { api.OGR_GeomTransformer_Transform(transformer.handle, geometry.handle) };
            if transformed.is_null() {
                return false;
            }
            geometry.replace(transformed);
        }
        if change.makes_valid {
            // SAFETY: a live geometry; the result is ours.
            let valid = unsafe { api.OGR_G_MakeValid(geometry.handle) };
            // SAFETY: a live geometry, and no pointers.
            let kind = |of| unsafe { api.OGR_GT_Flatten(api.OGR_G_GetGeometryType(of)) };
            let was_collection = kind(geometry.handle) == ffi::OGRwkbGeometryType_wkbGeometryCollection;
            geometry.replace(valid);
            if !valid.is_null() && !was_collection {
                // SAFETY: a live geometry; the result is ours.
                geometry.replace(unsafe { api.OGR_G_RemoveLowerDimensionSubGeoms(geometry.handle) });
            }
        }
        // SAFETY: a live geometry.
        if change.straightens && unsafe { api.OGR_G_HasCurveGeometry(geometry.handle, 0) } != 0 {
            // SAFETY: a live geometry, the default step, and no options; the result is ours.
            geometry
                .replace(unsafe { api.OGR_G_GetLinearGeometry(geometry.handle, 0.0, std::ptr::null_mut()) });
        }
        true
    }
}

impl Gdal {
    /// The transformation of a layer into the system that is asked for.
    fn transformer(&self, source: &Source) -> Result<Option<Transformer<'_>>, EngineError> {
        if source.target.is_null() {
            return Ok(None);
        }
        if source.system.is_null() {
            let text =
                "Can't transform coordinates, source layer has no coordinate system.  Use -s_srs to set one.";
            return Err(blamed(text));
        }
        // SAFETY: two live reference systems, which are copied.
        let transformation = unsafe { self.api.OCTNewCoordinateTransformation(source.system, source.target) };
        if transformation.is_null() {
            return Err(crate::engines::gdal::listener::failure("the coordinates cannot be transformed"));
        }
        // SAFETY: a live transformation, which outlives the transformer; no options.
        let handle = unsafe { self.api.OGR_GeomTransformer_Create(transformation, std::ptr::null_mut()) };
        Ok(Some(Transformer { gdal: self, transformation, handle }))
    }

    /// The box around points of a box, after the transformation of a layer.
    pub(super) fn transformed(&self, source: &Source, [x, y, right, top]: [f64; 4]) -> Option<[f64; 4]> {
        const STEPS: usize = 8;
        let Some(transformer) = self.transformer(source).ok()? else { return Some([x, y, right, top]) };
        let along = |low: f64, high: f64, step: usize| low + (high - low) * step as f64 / STEPS as f64;
        let steps = || (0..=STEPS).flat_map(|a| (0..=STEPS).map(move |b| (a, b)));
        let mut xs: Vec<f64> = steps().map(|(a, _)| along(x, right, a)).collect();
        let mut ys: Vec<f64> = steps().map(|(_, b)| along(y, top, b)).collect();
        let mut zs = vec![0.0; xs.len()];
        let count = i32::try_from(xs.len()).ok()?;
        // SAFETY: a live transformation, and three arrays of so many numbers. What cannot be transformed
        // becomes infinite.
        unsafe {
            self.api.OCTTransform(
                transformer.transformation,
                count,
                xs.as_mut_ptr(),
                ys.as_mut_ptr(),
                zs.as_mut_ptr(),
            )
        };
        let finite = xs.iter().zip(&ys).filter(|(x, y)| x.is_finite() && y.is_finite());
        finite.fold(None, |all: Option<[f64; 4]>, (&px, &py)| {
            let [x, y, right, top] = all.unwrap_or([px, py, px, py]);
            Some([x.min(px), y.min(py), right.max(px), top.max(py)])
        })
    }
}
