//! An example of a plugin in Rust: reads an ASCII grid of heights (ArcGIS, "Esri ASCII raster format")
//! and writes it as a mesh of triangles in OBJ. Cells without data become holes, reported as a loss.

use cadmill_plugin::{Description, Error, Format, Host, Kind, OptionSpec, Plugin, Request, Stage};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

/// Largest grid, in cells: all heights are held in memory.
const MAX_CELLS: usize = 100_000_000;

struct Terrain;

impl Plugin for Terrain {
    fn describe() -> Description {
        Description::new("terrain", env!("CARGO_PKG_VERSION"))
            .licence("0BSD")
            .deterministic()
            .asks_cancelled()
            .input(Format::new("asc", &["asc"]).title("Esri ASCII grid").text())
            .output(Format::new("obj", &["obj"]).title("Wavefront OBJ").text())
            .option(OptionSpec::new("z-scale", Kind::Number(1e-6, 1e6), "Factor for heights.").preset("1"))
    }

    fn convert(request: &Request<'_>, host: &Host<'_>) -> Result<(), Error> {
        let scale = request.option("z-scale").unwrap_or("1").parse::<f64>().map_err(Error::bad_option)?;
        let grid = Grid::read(BufReader::new(File::open(request.input()).map_err(Error::rejected)?), host)?;
        let mut out = BufWriter::new(File::create(request.output()).map_err(Error::failed)?);
        grid.write(&mut out, scale, host)?;
        // What is still in the buffer may not fit.
        out.flush().map_err(Error::failed)
    }
}

cadmill_plugin::export!(Terrain);

struct Grid {
    columns: usize,
    rows: usize,
    /// The centre of the cell below and left.
    corner: [f64; 2],
    cell: f64,
    /// Row by row from the top; `None` for cells without data.
    heights: Vec<Option<f64>>,
}

impl Grid {
    fn read(input: impl BufRead, host: &Host<'_>) -> Result<Self, Error> {
        let mut words = words(input);
        let mut next = || words.next().transpose();
        let [mut columns, mut rows, mut x, mut y, mut cell, mut nodata] = [f64::NAN; 6];
        let mut is_centre = false;
        let first = loop {
            let word = next()?.ok_or_else(|| Error::rejected("the grid has a header and no heights"))?;
            let name = word.to_ascii_lowercase();
            let field = match name.as_str() {
                "ncols" => &mut columns,
                "nrows" => &mut rows,
                "xllcorner" | "xllcenter" => &mut x,
                "yllcorner" | "yllcenter" => &mut y,
                "cellsize" => &mut cell,
                "nodata_value" => &mut nodata,
                _ => break word,
            };
            *field = number(&next()?.unwrap_or_default())?;
            is_centre |= name.ends_with("center");
        };
        let whole = |value: f64| (value >= 2.0 && value.fract() == 0.0).then_some(value as usize);
        let (Some(columns), Some(rows)) = (whole(columns), whole(rows)) else {
            return Err(Error::rejected("ncols and nrows must be whole numbers of at least 2"));
        };
        let count = columns.checked_mul(rows).filter(|&count| count <= MAX_CELLS);
        let count = count.ok_or_else(|| Error::rejected(format!("more than {MAX_CELLS} cells")))?;
        if !(x.is_finite() && y.is_finite() && cell > 0.0) {
            return Err(Error::rejected("the header lacks xllcorner, yllcorner or cellsize"));
        }
        let mut heights = Vec::new();
        let mut pending = Some(first);
        while let Some(word) = pending {
            if heights.len() == count {
                return Err(Error::rejected("there are more heights than ncols and nrows say"));
            }
            let height = number(&word)?;
            heights.push(Some(height).filter(|height| *height != nodata));
            if heights.len() % 65_536 == 0 {
                step(host, Stage::Read, 0.5 * heights.len() as f64 / count as f64)?;
            }
            pending = next()?;
        }
        if heights.len() < count {
            return Err(Error::rejected(format!("{} heights of {count} are there", heights.len())));
        }
        let shift = if is_centre { 0.0 } else { cell / 2.0 };
        Ok(Self { columns, rows, corner: [x + shift, y + shift], cell, heights })
    }

    fn write(&self, out: &mut impl Write, scale: f64, host: &Host<'_>) -> Result<(), Error> {
        let mut numbers = vec![0_u64; self.heights.len()];
        let (mut vertices, mut faces) = (0, 0);
        for (index, height) in self.heights.iter().enumerate() {
            let Some(height) = height else { continue };
            let x = self.corner[0] + self.cell * (index % self.columns) as f64;
            let y = self.corner[1] + self.cell * (self.rows - 1 - index / self.columns) as f64;
            writeln!(out, "v {x} {y} {}", height * scale).map_err(Error::failed)?;
            vertices += 1;
            numbers[index] = vertices;
        }
        let rows = numbers.chunks(self.columns);
        for (row, (above, below)) in rows.clone().zip(rows.skip(1)).enumerate() {
            for column in 1..self.columns {
                let [a, b, c, d] = [above[column - 1], above[column], below[column - 1], below[column]];
                for [i, j, k] in [[a, c, b], [b, c, d]].into_iter().filter(|corners| !corners.contains(&0)) {
                    writeln!(out, "f {i} {j} {k}").map_err(Error::failed)?;
                    faces += 1;
                }
            }
            step(host, Stage::Write, 0.5 + 0.5 * row as f64 / self.rows as f64)?;
        }
        if faces == 0 {
            return Err(Error::unfit("no four neighbouring cells have data, so there is no surface"));
        }
        let holes = self.heights.len() as u64 - vertices;
        if holes > 0 {
            host.loss(&format!("holes in the mesh, from cells without data: {holes}"));
        }
        host.fact("vertices", &vertices.to_string());
        host.fact("faces", &faces.to_string());
        Ok(())
    }
}

/// The words of all lines.
fn words(input: impl BufRead) -> impl Iterator<Item = Result<String, Error>> {
    input.lines().flat_map(|line| match line {
        Ok(line) => line.split_ascii_whitespace().map(|word| Ok(word.to_owned())).collect(),
        Err(error) => vec![Err(Error::rejected(error))],
    })
}

/// Reports progress, and ends the conversion if that is wanted.
fn step(host: &Host<'_>, stage: Stage, fraction: f64) -> Result<(), Error> {
    host.progress(stage, fraction);
    if host.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}

fn number(word: &str) -> Result<f64, Error> {
    let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| Error::rejected(format!("expected a number, found '{}'", word.escape_default())))
}
