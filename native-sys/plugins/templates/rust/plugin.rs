//! @NAME@: a plugin of cadmill to begin with. SPDX-License-Identifier: 0BSD
//!
//! It reads points as text, "x y z" and perhaps a label on each line, and writes them as vertices of a
//! Wavefront OBJ file, which has no labels. What is marked VENDOR is to be replaced by calls of your library.

use cadmill_plugin::{Description, Error, Format, Host, Kind, OptionSpec, Plugin, Request, Stage};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// How many points are handled between two looks at cancellation. Look at least every 2 s.
const OFTEN: usize = 4096;

struct Converter;

impl Plugin for Converter {
    /// VENDOR: the formats and options that you have. It opens no file.
    fn describe() -> Description {
        let scale = Kind::Number(1e-9, 1e9);
        Description::new("@NAME@", env!("CARGO_PKG_VERSION"))
            .deterministic()
            .asks_cancelled()
            .input(Format::new("xyz", &["xyz"]).title("Points as text").text())
            .output(Format::new("obj", &["obj"]).title("Wavefront OBJ").text())
            .option(OptionSpec::new("scale", scale, "Factor for all coordinates.").preset("1"))
    }

    fn convert(request: &Request<'_>, host: &Host<'_>) -> Result<(), Error> {
        // The host has checked the value against the description.
        let scale = request.option("scale").unwrap_or("1").parse().map_err(Error::bad_option)?;
        let document = Document::read(request.input(), host)?;
        document.write(request.output(), scale, host)?;
        if document.labels > 0 {
            // What the result lacks is counted, and refused if the owner wants everything.
            host.loss(&format!("labels left out, which OBJ does not have: {}", document.labels));
        }
        host.fact("points", &document.points.len().to_string());
        Ok(())
    }
}

// A panic becomes a failure with its text.
cadmill_plugin::export!(Converter);

/// VENDOR: your document, and the calls that read and write it.
struct Document {
    points: Vec<[f64; 3]>,
    labels: usize,
}

impl Document {
    fn read(path: &Path, host: &Host<'_>) -> Result<Self, Error> {
        let mut document = Self { points: Vec::new(), labels: 0 };
        let input = BufReader::new(File::open(path).map_err(Error::failed)?);
        for (index, line) in input.lines().enumerate() {
            let line = line.map_err(Error::rejected)?;
            let mut words = line.split_ascii_whitespace().peekable();
            if words.peek().is_none() || line.starts_with('#') {
                continue;
            }
            // Nothing is left out in silence: what is not understood ends the conversion.
            let mut number = || words.next()?.parse().ok().filter(|number: &f64| number.is_finite());
            let (Some(x), Some(y), Some(z)) = (number(), number(), number()) else {
                return Err(Error::rejected(format!("line {}: expected three numbers", index + 1)));
            };
            document.points.push([x, y, z]);
            document.labels += usize::from(words.next().is_some());
            if index % OFTEN == 0 {
                // How much is left is not known here: if your library knows, say so.
                step(host, Stage::Read, 0.1)?;
            }
        }
        if document.points.is_empty() {
            return Err(Error::rejected("it has no points"));
        }
        Ok(document)
    }

    fn write(&self, path: &Path, scale: f64, host: &Host<'_>) -> Result<(), Error> {
        let mut out = BufWriter::new(File::create(path).map_err(Error::failed)?);
        for (index, point) in self.points.iter().enumerate() {
            let [x, y, z] = point.map(|number| scale * number);
            if !(x + y + z).is_finite() {
                return Err(Error::unfit(format!("point {} is too large for the scale", index + 1)));
            }
            writeln!(out, "v {x} {y} {z}").map_err(Error::failed)?;
            if index % OFTEN == 0 {
                step(host, Stage::Write, 0.5 + 0.5 * index as f64 / self.points.len() as f64)?;
            }
        }
        // A full disk may show only when the last bytes are written.
        out.flush().map_err(Error::failed)
    }
}

/// Reports progress, and ends the conversion if that is wanted.
fn step(host: &Host<'_>, stage: Stage, fraction: f64) -> Result<(), Error> {
    host.progress(stage, fraction);
    if host.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}
