//! Makes a zipped shapefile of a requested size for the benchmark.
//!
//!     big-shapefile OUT.zip --zip-bytes 400M [--stem parcels]
//!                   [--geometry polygon|polyline] [--seed N]
//!
//! Sizes take K, M or G as powers of 1024. The zip is within about one per cent of the requested
//! size. The exact figures are printed to stdout as one line of JSON.
//!
//! The data imitate a cadastral map: parcels in rows, whose boundaries are shared with their
//! neighbours and wander like surveyed lines, with coordinates rounded to the millimetre. That
//! matters in two ways. Such doubles have noisy mantissas and deflate only to half, like real ones.
//! Their decimal form is short ("565012.345"), which determines the size of the DXF.
//!
//! Every coordinate is a function of the seed and of its place in the grid, so nothing is held in
//! memory. The same arguments give the same bytes on every machine: only + - * / and rounding are
//! used, no libm functions whose last bit may differ.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufWriter, Cursor, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

const COLUMNS: u64 = 1000;
/// Parcels are numbered by age rather than by place. Neighbours in sequence
/// would let deflate find every shared boundary in its window, and the zip
/// would be smaller than real ones. Coprime to `COLUMNS`, so all get visited.
const COLUMN_STRIDE: u64 = 387;
const CELL: f64 = 40.0;
/// South-west corner of the map, well inside UTM zone 32.
const ORIGIN: (f64, f64) = (565_000.0, 5_300_000.0);
/// Corners move by at most this share of a cell, in each direction.
const CORNER_JITTER: f64 = 0.15;
/// Boundaries leave the straight line by at most this share of a cell. Along
/// with the jitter it is small enough that no two boundaries ever cross.
const WANDER: f64 = 0.06;
/// Four such edges, four corners and the closing vertex stay below 400 vertices.
const MAX_EDGE_VERTICES: u64 = 97;
/// Readers with i32 offsets fail beyond this, so the generator stops here too.
const MAX_SHP_BYTES: u64 = i32::MAX as u64;
/// Number of parcels compressed to estimate the compressed size of one.
const SAMPLE: u64 = 50_000;

const PRJ: &str = concat!(
    "PROJCS[\"ETRS_1989_UTM_Zone_32N\",GEOGCS[\"GCS_ETRS_1989\",",
    "DATUM[\"D_ETRS_1989\",SPHEROID[\"GRS_1980\",6378137.0,298.257222101]],",
    "PRIMEM[\"Greenwich\",0.0],UNIT[\"Degree\",0.0174532925199433]],",
    "PROJECTION[\"Transverse_Mercator\"],PARAMETER[\"False_Easting\",500000.0],",
    "PARAMETER[\"False_Northing\",0.0],PARAMETER[\"Central_Meridian\",9.0],",
    "PARAMETER[\"Scale_Factor\",0.9996],PARAMETER[\"Latitude_Of_Origin\",0.0],",
    "UNIT[\"Meter\",1.0]]"
);

const FIELDS: [(&str, u8, usize); 3] = [("ID", b'N', 10), ("NAME", b'C', 32), ("CLASS", b'C', 16)];
const STREETS: [&str; 8] = [
    "Ahornweg",
    "Bahnhofstraße",
    "Dorfplatz",
    "Gärtnergasse",
    "Hauptstraße",
    "Mühlbach",
    "Schloßallee",
    "Über dem Anger",
];
const CLASSES: [&str; 6] = ["Wohnbau", "Gewerbe", "Grünland", "Acker", "Wald", "Straße"];

type Point = (f64, f64);

#[derive(Clone, Copy, PartialEq)]
enum Geometry {
    Polyline = 3,
    Polygon = 5,
}

struct SplitMix64(u64);

impl SplitMix64 {
    /// A generator for one place of the map, independent of all other places.
    fn at(seed: u64, what: u64, column: u64, row: u64) -> Self {
        let mut state = seed;
        for part in [what, column, row] {
            state = SplitMix64(state ^ part).next();
        }
        SplitMix64(state)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Uniform in -1..1.
    fn signed(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

fn millimetres(p: Point) -> Point {
    ((p.0 * 1000.0).round() / 1000.0, (p.1 * 1000.0).round() / 1000.0)
}

#[derive(Clone, Copy)]
struct Map {
    seed: u64,
    geometry: Geometry,
}

impl Map {
    fn corner(&self, column: u64, row: u64) -> Point {
        let mut rng = SplitMix64::at(self.seed, 1, column, row);
        let x = ORIGIN.0 + (column as f64 + rng.signed() * CORNER_JITTER) * CELL;
        let y = ORIGIN.1 + (row as f64 + rng.signed() * CORNER_JITTER) * CELL;
        millimetres((x, y))
    }

    /// Appends the vertices between the corner and its neighbour to the north (or to the east),
    /// without the corners themselves.
    fn edge(&self, column: u64, row: u64, northward: bool, out: &mut Vec<Point>) {
        let mut rng = SplitMix64::at(self.seed, 2 + northward as u64, column, row);
        // Most boundaries are almost straight; a few follow a brook or a path.
        let count = match rng.below(100) {
            0..70 => rng.below(4),
            70..90 => 4 + rng.below(12),
            90..98 => 16 + rng.below(25),
            _ => 41 + rng.below(MAX_EDGE_VERTICES - 40),
        };
        let a = self.corner(column, row);
        let b = match northward {
            true => self.corner(column, row + 1),
            false => self.corner(column + 1, row),
        };
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let mut drift = rng.signed();
        for i in 1..=count {
            let t = (i as f64 + 0.3 * rng.signed()) / (count + 1) as f64;
            drift = 0.7 * drift + 0.3 * rng.signed();
            // Tapers off at both corners, where other boundaries are near.
            let aside = drift * WANDER * 4.0 * t * (1.0 - t);
            out.push(millimetres((a.0 + t * dx - aside * dy, a.1 + t * dy + aside * dx)));
        }
    }

    /// Fills `shape` with parcel number `index`.
    fn parcel(&self, index: u64, shape: &mut Shape) {
        let (column, row) = (index * COLUMN_STRIDE % COLUMNS, index / COLUMNS);
        let Shape { points, parts } = shape;
        points.clear();
        parts.clear();

        // Clockwise, as the format requires for outer rings.
        parts.push(0);
        points.push(self.corner(column, row));
        self.edge(column, row, true, points);
        points.push(self.corner(column, row + 1));
        self.edge(column, row + 1, false, points);
        points.push(self.corner(column + 1, row + 1));
        let start = points.len();
        self.edge(column + 1, row, true, points);
        points[start..].reverse();
        points.push(self.corner(column + 1, row));
        let start = points.len();
        self.edge(column, row, false, points);
        points[start..].reverse();
        points.push(points[0]);

        // Some parcels enclose another one: counter-clockwise, so a hole.
        let mut rng = SplitMix64::at(self.seed, 4, column, row);
        if self.geometry == Geometry::Polygon && rng.below(100) < 5 {
            parts.push(points.len() as i32);
            let x = ORIGIN.0 + (column as f64 + 0.5) * CELL;
            let y = ORIGIN.1 + (row as f64 + 0.5) * CELL;
            let a = 0.05 * CELL * (1.0 + rng.signed().abs());
            let b = 0.05 * CELL * rng.signed();
            for (p, q) in [(a, b), (-b, a), (-a, -b), (b, -a), (a, b)] {
                points.push(millimetres((x + p, y + q)));
            }
        }
    }
}

#[derive(Default)]
struct Shape {
    points: Vec<Point>,
    parts: Vec<i32>,
}

impl Shape {
    /// Length of the record's content, without its own 8 byte header.
    fn content_bytes(&self) -> u64 {
        (44 + 4 * self.parts.len() + 16 * self.points.len()) as u64
    }

    fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::EMPTY;
        for &(x, y) in &self.points {
            bounds.add(Bounds([x, y, x, y]));
        }
        bounds
    }
}

#[derive(Clone, Copy)]
struct Bounds([f64; 4]);

impl Bounds {
    const EMPTY: Bounds = Bounds([f64::MAX, f64::MAX, f64::MIN, f64::MIN]);

    fn add(&mut self, other: Bounds) {
        let (a, b) = (&mut self.0, other.0);
        *a = [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])];
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// Values that the file headers need before the first record is written.
struct Totals {
    features: u64,
    vertices: u64,
    shp_bytes: u64,
    bounds: Bounds,
}

fn totals(map: &Map, features: u64) -> Result<Totals, String> {
    let mut totals = Totals { features, vertices: 0, shp_bytes: 100, bounds: Bounds::EMPTY };
    let mut shape = Shape::default();
    for index in 0..features {
        map.parcel(index, &mut shape);
        totals.vertices += shape.points.len() as u64;
        totals.shp_bytes += 8 + shape.content_bytes();
        totals.bounds.add(shape.bounds());
        if totals.shp_bytes > MAX_SHP_BYTES {
            return Err("the .shp would pass 2 GiB, the limit of the format: ask for less".into());
        }
    }
    Ok(totals)
}

/// The header shared by .shp and .shx. The format mixes byte orders.
fn shape_header(map: &Map, file_bytes: u64, bounds: &Bounds) -> Vec<u8> {
    let mut header = Vec::with_capacity(100);
    header.extend(9994i32.to_be_bytes());
    header.extend([0; 20]);
    header.extend(((file_bytes / 2) as i32).to_be_bytes());
    header.extend(1000i32.to_le_bytes());
    header.extend((map.geometry as i32).to_le_bytes());
    header.extend(bounds.bytes());
    header.extend([0; 32]);
    header
}

fn write_shp(map: &Map, totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&shape_header(map, totals.shp_bytes, &totals.bounds))?;
    let mut shape = Shape::default();
    let mut record = Vec::new();
    for index in 0..totals.features {
        map.parcel(index, &mut shape);
        record.clear();
        record.extend((index as i32 + 1).to_be_bytes());
        record.extend(((shape.content_bytes() / 2) as i32).to_be_bytes());
        record.extend((map.geometry as i32).to_le_bytes());
        record.extend(shape.bounds().bytes());
        record.extend((shape.parts.len() as i32).to_le_bytes());
        record.extend((shape.points.len() as i32).to_le_bytes());
        for part in &shape.parts {
            record.extend(part.to_le_bytes());
        }
        for (x, y) in &shape.points {
            record.extend(x.to_le_bytes());
            record.extend(y.to_le_bytes());
        }
        out.write_all(&record)?;
    }
    Ok(())
}

fn write_shx(map: &Map, totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&shape_header(map, 100 + 8 * totals.features, &totals.bounds))?;
    let mut shape = Shape::default();
    let mut offset = 100;
    for index in 0..totals.features {
        map.parcel(index, &mut shape);
        let content = shape.content_bytes();
        out.write_all(&((offset / 2) as i32).to_be_bytes())?;
        out.write_all(&((content / 2) as i32).to_be_bytes())?;
        offset += 8 + content;
    }
    Ok(())
}

fn write_dbf(map: &Map, totals: &Totals, out: &mut impl Write) -> io::Result<()> {
    let record_bytes = 1 + FIELDS.iter().map(|f| f.2).sum::<usize>();
    let header_bytes = 32 + 32 * FIELDS.len() + 1;
    // A fixed last-update date keeps the file reproducible.
    let mut header = vec![3, 124, 1, 1];
    header.extend((totals.features as u32).to_le_bytes());
    header.extend((header_bytes as u16).to_le_bytes());
    header.extend((record_bytes as u16).to_le_bytes());
    header.extend([0; 20]);
    for (name, kind, width) in FIELDS {
        let mut field = [0u8; 32];
        field[..name.len()].copy_from_slice(name.as_bytes());
        field[11] = kind;
        field[16] = width as u8;
        header.extend(field);
    }
    header.push(0x0d);
    out.write_all(&header)?;

    let mut record = Vec::new();
    for index in 0..totals.features {
        let mut rng = SplitMix64::at(map.seed, 5, index % COLUMNS, index / COLUMNS);
        let street = STREETS[rng.below(STREETS.len() as u64) as usize];
        let name = format!("{street} {}", 1 + rng.below(250));
        let class = CLASSES[rng.below(CLASSES.len() as u64) as usize];
        record.clear();
        record.push(b' ');
        write!(record, "{:>1$}", index + 1, FIELDS[0].2)?;
        // Widths count bytes, and the names are UTF-8: pad by bytes.
        for (text, (_, _, width)) in [(name.as_str(), FIELDS[1]), (class, FIELDS[2])] {
            record.extend(text.as_bytes());
            record.resize(record.len() + width - text.len(), b' ');
        }
        out.write_all(&record)?;
    }
    out.write_all(&[0x1a])
}

fn write_zip<W: Write + Seek>(map: &Map, totals: &Totals, stem: &str, out: W) -> io::Result<W> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default());
    let mut zip = ZipWriter::new(out);
    for extension in ["cpg", "dbf", "prj", "shp", "shx"] {
        zip.start_file(format!("{stem}.{extension}"), options)?;
        let mut entry = BufWriter::with_capacity(1 << 18, &mut zip);
        match extension {
            "cpg" => entry.write_all(b"UTF-8")?,
            "dbf" => write_dbf(map, totals, &mut entry)?,
            "prj" => entry.write_all(PRJ.as_bytes())?,
            "shp" => write_shp(map, totals, &mut entry)?,
            _ => write_shx(map, totals, &mut entry)?,
        }
        entry.flush()?;
    }
    Ok(zip.finish()?)
}

/// The deflated size is only known afterwards, so some parcels are compressed first and the rest is
/// extrapolated.
fn features_for(map: &Map, zip_bytes: u64, stem: &str) -> Result<u64, String> {
    let sample = totals(map, SAMPLE)?;
    let zip = write_zip(map, &sample, stem, Cursor::new(Vec::new())).map_err(|e| e.to_string())?;
    let features = zip_bytes as f64 * SAMPLE as f64 / zip.into_inner().len() as f64;
    Ok((features.round() as u64).max(1))
}

struct Arguments {
    out: PathBuf,
    zip_bytes: u64,
    stem: String,
    map: Map,
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.chars().last()?.to_ascii_uppercase() {
        'K' => (&text[..text.len() - 1], 1 << 10),
        'M' => (&text[..text.len() - 1], 1 << 20),
        'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|n| *n > 0)
}

fn arguments() -> Result<Arguments, String> {
    let usage = "usage: big-shapefile OUT.zip --zip-bytes SIZE [--stem NAME] \
                 [--geometry polygon|polyline] [--seed N]";
    let (mut out, mut zip_bytes, mut stem) = (None, None, "parcels".to_string());
    let mut map = Map { seed: 1, geometry: Geometry::Polygon };
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        if !arg.starts_with("--") {
            if out.replace(PathBuf::from(arg)).is_some() {
                return Err(usage.into());
            }
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value\n{usage}"))?;
        let bad = || format!("{arg}: cannot read '{value}'\n{usage}");
        match arg.as_str() {
            "--zip-bytes" => zip_bytes = Some(parse_size(&value).ok_or_else(bad)?),
            "--stem" if value.is_empty() || value.contains('/') => return Err(bad()),
            "--stem" => stem = value,
            "--seed" => map.seed = value.parse().map_err(|_| bad())?,
            "--geometry" => {
                map.geometry = match value.as_str() {
                    "polygon" => Geometry::Polygon,
                    "polyline" => Geometry::Polyline,
                    _ => return Err(bad()),
                }
            }
            _ => return Err(format!("unknown option {arg}\n{usage}")),
        }
    }
    match (out, zip_bytes) {
        (Some(out), Some(zip_bytes)) => Ok(Arguments { out, zip_bytes, stem, map }),
        _ => Err(usage.into()),
    }
}

fn write_file(path: &Path, args: &Arguments, totals: &Totals) -> io::Result<u64> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let file = write_zip(&args.map, totals, &args.stem, file)?;
    Ok(file.into_inner()?.metadata()?.len())
}

fn run() -> Result<(), String> {
    let args = arguments()?;
    let features = features_for(&args.map, args.zip_bytes, &args.stem)?;
    let totals = totals(&args.map, features)?;

    // A cache must never hold an incomplete zip under the final name.
    let mut part = args.out.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let written =
        write_file(&part, &args, &totals).and_then(|bytes| fs::rename(&part, &args.out).map(|()| bytes));
    let zip_bytes = written.map_err(|error| {
        let _ = fs::remove_file(&part);
        format!("{}: {error}", args.out.display())
    })?;
    println!(
        "{{\"features\":{},\"vertices\":{},\"shp_bytes\":{},\"zip_bytes\":{}}}",
        totals.features, totals.vertices, totals.shp_bytes, zip_bytes
    );
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("big-shapefile: {message}");
            ExitCode::FAILURE
        }
    }
}
