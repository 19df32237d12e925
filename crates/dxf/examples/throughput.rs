//! How fast drawings are written, into nothing: by the processor's time on one thread, which other
//! programs do not change. Two threads format chunks: the clock says how much sooner they end, which
//! other programs do change, and their processor's time how much more work it is.
//!
//! ```text
//! cargo run --release -p cadmill-dxf --example throughput
//! ```

use cadmill_dxf::{
    DataValue, Dialect, Entities, Error, ExtendedData, LayerId, Polyline, Properties, Settings, Setup, Text,
    TextStyleId, Writer,
};
use std::io::{self, Write};
use std::time::Instant;

/// Vertices of each measurement.
const VERTICES: usize = 4_000_000;

/// Vertices of one line or ring.
const LENGTH: usize = 40;

/// Coordinates of a national grid: to the millimetre, or as a projection computes them.
fn vertices(rounded: bool) -> Vec<[f64; 3]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut number = |from: f64| {
        let value = from + random() * 20_000.0;
        if rounded { (value * 1000.0).round() / 1000.0 } else { value }
    };
    (0..100_000).map(|_| [number(200_000.0), number(600_000.0), number(0.0)]).collect()
}

type Job<W> = fn(&mut Entities<'_, W>, &[[f64; 3]], &Properties<'_>) -> Result<(), Error>;

fn jobs<W: Write>() -> [(&'static str, Job<W>); 6] {
    [
        ("points", |out, vertices, properties| vertices.iter().try_for_each(|at| out.point(properties, *at))),
        ("polylines", |out, vertices, properties| {
            out.polyline(properties, &Polyline { elevation: Some(30.0), ..Polyline::new(vertices, false) })
        }),
        ("in space", |out, vertices, properties| out.polyline_in_space(properties, vertices, false)),
        ("hatches", |out, vertices, properties| out.hatch(properties, &[vertices], 0.0)),
        ("labels", |out, vertices, properties| {
            vertices.iter().try_for_each(|at| {
                out.text(
                    properties,
                    &Text {
                        at: *at,
                        height: 2.0,
                        text: "산 12-3",
                        style: TextStyleId::STANDARD,
                        rotation: 0.0,
                        horizontal: Default::default(),
                        vertical: Default::default(),
                    },
                )
            })
        }),
        ("with data", |out, vertices, properties| {
            let values = [DataValue::Text("지목=대"), DataValue::Text("PNU=1111010100100010000")];
            let application = cadmill_application();
            let data = [ExtendedData { application, values: &values }];
            let properties = Properties { data: &data, ..*properties };
            vertices.iter().try_for_each(|at| out.point(&properties, *at))
        }),
    ]
}

/// The application that is declared first.
fn cadmill_application() -> cadmill_dxf::ApplicationId {
    Setup::new(Settings::default()).application("CADMILL")
}

fn write<W: Write>(out: &mut Entities<'_, W>, job: Job<W>, vertices: &[[f64; 3]], count: usize) {
    let properties = Properties::on(LayerId::ZERO);
    for line in vertices.chunks_exact(LENGTH).cycle().take(count / LENGTH) {
        job(out, line, &properties).unwrap();
    }
}

/// Seconds that this thread ran.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    for dialect in [Dialect::Plain, Dialect::Ogr] {
        for rounded in [true, false] {
            let kind = if rounded { "millimetres" } else { "all digits" };
            let vertices = vertices(rounded);
            let mut setup = Setup::new(Settings { dialect, ..Settings::default() });
            setup.application("CADMILL");
            let drawing = setup.finish().unwrap();
            for ((name, job), (_, chunk_job)) in jobs().into_iter().zip(jobs()) {
                let (start, ran) = (Instant::now(), processor_time());
                let mut writer = Writer::new(io::sink(), &drawing).unwrap();
                write(writer.entities(), job, &vertices, VERTICES);
                let length = writer.finish().unwrap().length;
                let (one, ran) = (start.elapsed().as_secs_f64(), processor_time() - ran);

                let start = Instant::now();
                let half = || {
                    let ran = processor_time();
                    let mut buffer = Vec::new();
                    // Parts of some megabytes, as a converter hands them on.
                    for _ in 0..20 {
                        let mut chunk = drawing.chunk(drawing.first_handle(), buffer);
                        write(&mut chunk, chunk_job, &vertices, VERTICES / 40);
                        buffer = chunk.into_chunk().unwrap().into_buffer();
                    }
                    processor_time() - ran
                };
                let both = std::thread::scope(|scope| {
                    let other = scope.spawn(half);
                    half() + other.join().unwrap()
                });
                let two = start.elapsed().as_secs_f64();
                println!(
                    "{dialect:?}, {kind}, {name:9}: {:6.0} MB/s, {:5.1} M vertices/s, {:4.0} MB; two threads: {:.2} times as fast, {:.2} times the work",
                    length as f64 / 1e6 / ran,
                    VERTICES as f64 / 1e6 / ran,
                    length as f64 / 1e6,
                    one / two,
                    both / ran,
                );
            }
        }
    }
}
