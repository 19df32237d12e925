//! A conversion with what GDAL has to be asked for again: text in an encoding that the output has, and
//! features that the output can have.

use super::drawing::{DRAWING, styles};
use super::listener::{self, Listener, blamed, warn, warn_of_loss, with_listener};
use super::{Gdal, MAPINFO, advice, complete, options, rows, sqlite, text, unread};
use crate::engine::{EngineError, Events, Request};
use cadmill_core::domain::removed::is_removed;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

/// The driver that writes .kmz files.
const LIBKML: &CStr = c"LIBKML";

/// Why a .kmz file is not written.
const ENTRY_NAME: &str = "the name of a layer is that of an entry in the .kmz file, which GDAL writes in code page 437: name the layer with --opt nln=NAME, or convert to .kml";

impl Gdal {
    /// Converts with the text in the encoding that it has.
    pub(super) fn convert_text(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        mut options: options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        options.styles = styles::read(request, &options.drawing)?;
        let drawing = unread::check(request.input)?;
        drawing.losses.iter().for_each(|line| warn_of_loss(line));
        drawing.warnings.iter().for_each(|line| warn(line));
        let prepared = text::prepare(request.input, options.encoding)?;
        prepared.losses.iter().for_each(|line| warn_of_loss(line));
        prepared.warnings.iter().for_each(|line| warn(line));
        options.open.extend(prepared.open);
        options.write_utf8(driver);
        for (name, value) in prepared.config.iter().chain(&options.config) {
            self.configure(name, value);
        }
        if !sqlite::is_database(request.input) {
            options.quote_names();
        }
        let input = prepared.instead.as_deref().unwrap_or(request.input);
        complete::losses(request.input).iter().for_each(|line| warn_of_loss(line));
        let table = rows::check(input, &options.open)?;
        table.losses.iter().for_each(|line| warn_of_loss(line));
        table.warnings.iter().for_each(|line| warn(line));
        let request = Request { input, ..*request };
        let is_chosen = options.chooses_encoding();
        let skips = options.skips();
        if skips {
            self.configure(c"CPL_DEBUG", c"GDALVectorTranslate");
            listener::skips();
        }
        let given = options.clone();
        let first = self.write_output(&request, driver, &options, events);
        let lacks_geometry = || with_listener(|l| l.reason().is_some_and(advice::lacks_geometry));
        match first {
            Ok(()) if driver == MAPINFO && !is_chosen => {
                self.with_charset(&request, driver, options, events)?;
            }
            Err(failed) if !events.cancelled() && self.has_kinds(&request, driver, &options) => {
                self.convert_kinds(&request, driver, &options, events, failed)?;
            }
            Err(_) if lacks_geometry() && !events.cancelled() => {
                self.without_empty(&request, driver, options, events)?;
            }
            Err(EngineError::Rejected(_)) if table.is_single => {
                return Err(EngineError::Rejected(rows::SINGLE.to_owned()));
            }
            first => first?,
        }
        if let Some(damage) = with_listener(|l| l.damage.clone()).filter(|_| !skips) {
            return Err(blamed(&damage));
        }
        // What a drawing of ours cannot have, it has told.
        if !(driver == DRAWING && given.drawing.is_ours()) {
            check_text(driver, request.output_dir, !is_chosen && driver != MAPINFO)?;
        }
        let settings: Vec<&CStr> =
            prepared.config.iter().chain(&given.config).map(|(name, _)| *name).collect();
        self.verify(&request, driver, &given, &settings, events)
    }

    /// Converts to MapInfo again, in a character set of MapInfo, if the text has other characters than
    /// those of ASCII: there is none for Unicode.
    fn with_charset(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        mut options: options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let unreadable = |e: std::io::Error| EngineError::Rejected(format!("reading the output: {e}"));
        let Some(charset) = text::mapinfo::charset_of(request.output_dir).map_err(unreadable)? else {
            return Ok(());
        };
        let charset = charset.map_err(EngineError::TextLost)?;
        clear(request.output_dir)?;
        warn(&format!(
            "the text was written in {charset}, the first character set of MapInfo that has all of it"
        ));
        let encoding = CString::new(format!("ENCODING={}", charset.iconv())).unwrap_or_default();
        options.translate.extend([c"-lco".to_owned(), encoding]);
        self.write_output(request, driver, &options, events)
    }

    /// Converts again without the features that have no geometry, which the output format cannot
    /// have. Any other error ends the conversion.
    fn without_empty(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        mut options: options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        match std::fs::remove_file(request.output) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EngineError::Rejected(format!("removing the incomplete output: {error}")));
            }
            _ => {}
        }
        options.translate.push(c"-skipfailures".to_owned());
        with_listener(Listener::restart);
        self.write_output(request, driver, &options, events)?;
        if let Some(reason) = with_listener(|l| l.reason().map(str::to_owned)) {
            return Err(blamed(&reason));
        }
        if with_listener(|l| l.wrote_nothing()) {
            return Err(EngineError::Unfit(advice::NO_GEOMETRY.to_owned()));
        }
        let left_out = with_listener(|l| l.without_geometry);
        warn_of_loss(&format!("{left_out} features without geometry were left out"));
        Ok(())
    }
}

/// Removes what an earlier translation has written.
pub(super) fn clear(directory: &Path) -> Result<(), EngineError> {
    let failed = |e: std::io::Error| EngineError::Rejected(format!("removing the incomplete output: {e}"));
    for entry in std::fs::read_dir(directory).map_err(failed)?.flatten() {
        if !is_removed(entry.file_name().as_encoded_bytes()) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Checks that the output has the text of the input.
fn check_text(driver: &CStr, output_dir: &Path, is_utf8: bool) -> Result<(), EngineError> {
    if let Some(lost) = with_listener(|l| l.lost.clone()) {
        // The only text in that code page is the names of entries.
        let is_entry = driver == LIBKML && lost.contains("from UTF-8 to CP437");
        return Err(EngineError::TextLost(if is_entry { ENTRY_NAME.to_owned() } else { lost }));
    }
    let found = text::output::check(&driver.to_string_lossy(), output_dir, is_utf8)
        .map_err(|e| EngineError::Rejected(format!("reading the output: {e}")))?;
    found.warnings.iter().for_each(|line| warn(line));
    if driver == MAPINFO {
        let cut = text::mapinfo::cut(output_dir)
            .map_err(|e| EngineError::Rejected(format!("reading the output: {e}")))?;
        if let Some(cut) = cut {
            return Err(EngineError::TextLost(cut));
        }
    }
    found.lost.map_or(Ok(()), |lost| Err(EngineError::TextLost(lost)))
}
