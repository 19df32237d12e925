//! `dxf.geodata`: the reference system of the input, which the drawing names.

use super::source::Source;
use crate::bindings::gdal as ffi;
use crate::engine::EngineError;
use crate::engines::gdal::Gdal;
use crate::engines::string;
use cadmill_dxf::Georeference;

impl Gdal {
    /// The reference system that all layers have.
    ///
    /// # Errors
    /// [`EngineError::Unfit`] if they have none, several, or one that EPSG does not list.
    pub(super) fn georeference(&self, sources: &[Source]) -> Result<Georeference, EngineError> {
        let unfit = |text: &str| EngineError::Unfit(format!("dxf.geodata: {text}"));
        let mut found: Option<Georeference> = None;
        for source in sources {
            let system = source.drawn_in();
            if system.is_null() {
                let name = &source.name;
                return Err(unfit(&format!(
                    "the layer '{name}' has no reference system; --opt a_srs=EPSG:CODE says which it is"
                )));
            }
            let this = self.described(system).ok_or_else(|| {
                unfit("EPSG does not list the reference system of the input; --opt t_srs=EPSG:CODE converts to one")
            })?;
            if found.as_ref().is_some_and(|other| other.epsg != this.epsg) {
                return Err(unfit(
                    "layers have different reference systems; --opt t_srs=EPSG:CODE gives them one",
                ));
            }
            found.get_or_insert(this);
        }
        let mut found = found.ok_or_else(|| unfit("the input has no layers"))?;
        found.point = self.middle(sources);
        Ok(found)
    }

    /// A system that EPSG lists.
    fn described(&self, system: ffi::OGRSpatialReferenceH) -> Option<Georeference> {
        let (api, whole) = (&self.api, std::ptr::null());
        // SAFETY: a live reference system; null stands for the whole of it, and texts are copied.
        let (authority, code, name) = unsafe {
            (
                string(api.OSRGetAuthorityName(system, whole)),
                string(api.OSRGetAuthorityCode(system, whole)),
                string(api.OSRGetName(system)),
            )
        };
        let epsg = code.filter(|_| authority.as_deref() == Some("EPSG"))?.parse().ok()?;
        // SAFETY: a live reference system; its unit's name is not asked for.
        let (is_geographic, metres) = unsafe {
            (api.OSRIsGeographic(system) != 0, api.OSRGetLinearUnits(system, std::ptr::null_mut()))
        };
        let name = name.unwrap_or_else(|| format!("EPSG:{epsg}"));
        Some(Georeference { epsg, name, is_geographic, metres, point: [0.0; 2] })
    }

    /// The middle of the box around all layers.
    fn middle(&self, sources: &[Source]) -> [f64; 2] {
        let all = self.bounds(sources).unwrap_or_default();
        let middle = |low: f64, high: f64| low + (high - low) / 2.0;
        [middle(all[0], all[2]), middle(all[1], all[3])]
    }
}
