//! The entities of a drawing, by one thread or by several.
//!
//! Several threads read a file beside each other if its driver finds a feature by its number: each has
//! the dataset open for itself, reads a range of features, and formats their entities. What a thread
//! holds is bounded: if a range has more, the thread waits for its turn and goes on from there. The
//! drawing is the same whatever the number of threads is.

use super::choice::{Change, Choice};
use super::item::{Item, Reader};
use super::plan::Plan;
use super::source::{Opened, Origin, Source};
use super::write::{Drafter, Written};
use crate::engine::{EngineError, Events, Request, Stage};
use crate::engines::gdal::Gdal;
use cadmill_dxf::{Error, Finished, Writer};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Features between which progress is told by one thread.
const STEP: u64 = 1024;

/// Drivers whose features have their numbers, counted from 0, as identifiers.
const NUMBERED: &[&str] = &["ESRI Shapefile", "FlatGeobuf"];

/// Features of a range.
const RANGE: u64 = 512;

/// Features from which on several threads are worth a second opening.
const MANY: u64 = 4 * RANGE;

/// Threads, so that their memory is bounded on large machines.
const MAX_THREADS: usize = 4;

/// Bytes of features that a thread holds before they are formatted.
const FULL: usize = 4 << 20;

/// Features of a layer by their numbers.
#[derive(Debug, Clone, Copy)]
struct Range {
    source: usize,
    from: u64,
    to: u64,
    /// Whether what follows belongs to it too, if the layer has more than it said.
    is_last: bool,
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turns {
    /// The range that gets handles next.
    numbered: usize,
    next_handle: u64,
    /// The range that is written next.
    written: usize,
    /// A thread has failed, and the others end.
    is_over: bool,
}

/// What threads share.
struct Shared<'a> {
    ranges: Vec<Range>,
    next: AtomicUsize,
    turns: Mutex<Turns>,
    changed: Condvar,
    writer: Mutex<Writer<'a, File>>,
    total: u64,
    done: Mutex<u64>,
}

impl Shared<'_> {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is the turn of a range; `None` if all is over.
    fn wait(&self, is_turn: impl Fn(&Turns) -> bool) -> Option<MutexGuard<'_, Turns>> {
        let mut turns = self.turns();
        while !turns.is_over && !is_turn(&turns) {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        (!turns.is_over).then_some(turns)
    }

    /// The first of so many handles. The next range gets its own, unless this one goes on.
    fn handles(&self, range: usize, count: u64, goes_on: bool) -> Option<u64> {
        let mut turns = self.wait(|turns| turns.numbered == range)?;
        let first = turns.next_handle;
        turns.next_handle += count;
        turns.numbered += usize::from(!goes_on);
        self.changed.notify_all();
        Some(first)
    }

    /// Appends what was formatted, after all that precedes it.
    fn append(&self, range: usize, chunk: &cadmill_dxf::Chunk, goes_on: bool) -> Option<Result<(), Error>> {
        // The turn keeps others from the writer, so the lock of turns need not be held.
        drop(self.wait(|turns| turns.written == range)?);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = writer.append(chunk);
        drop(writer);
        let mut turns = self.turns();
        turns.written += usize::from(!goes_on);
        self.changed.notify_all();
        Some(appended)
    }

    fn end(&self) {
        self.turns().is_over = true;
        self.changed.notify_all();
    }
}

/// Ends the others if a thread panics.
struct Watch<'a, 'd>(&'a Shared<'d>);

impl Drop for Watch<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

fn failed(error: Error) -> EngineError {
    EngineError::Rejected(format!("writing the drawing failed: {error}"))
}

fn unwritable(error: std::io::Error) -> EngineError {
    EngineError::Rejected(format!("writing the drawing failed: {error}"))
}

impl Gdal {
    /// Writes the drawing into the output of the request.
    pub(super) fn write_drawing(
        &self,
        opened: &Opened<'_>,
        origin: Option<&Origin<'_>>,
        plan: &Plan<'_>,
        choice: &Choice,
        request: &Request<'_>,
        events: &Arc<dyn Events>,
    ) -> Result<Written, EngineError> {
        let needs_fields = plan.order.draws_attributes();
        for source in &opened.sources {
            self.choose(source, choice, needs_fields, true)?;
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(request.output)
            .map_err(unwritable)?;
        let writer = Writer::new(file, &plan.drawing).map_err(failed)?;
        let ranges = if choice.is_all() { self.ranges(opened) } else { Vec::new() };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let (writer, mut written) = match origin {
            Some(origin) if threads > 1 && ranges.len() as u64 * RANGE >= MANY => {
                self.by_threads(threads, ranges, opened, origin, plan, &choice.change, writer, events)?
            }
            _ => self.by_one(opened, plan, choice, writer, events)?,
        };
        let Finished { mut out, patches, report, .. } = writer.finish().map_err(failed)?;
        for patch in &patches {
            patch.apply(&mut out).map_err(unwritable)?;
        }
        out.flush().map_err(unwritable)?;
        written.format = report;
        Ok(written)
    }

    fn by_one<'p>(
        &self,
        opened: &Opened<'_>,
        plan: &'p Plan<'_>,
        choice: &Choice,
        mut writer: Writer<'p, File>,
        events: &Arc<dyn Events>,
    ) -> Result<(Writer<'p, File>, Written), EngineError> {
        let total: u64 = opened.sources.iter().filter_map(|source| self.features_of(source.handle)).sum();
        let mut reader = Reader::new(self, plan, &opened.sources, &choice.change)?;
        let mut drafter = Drafter::new(plan);
        for (number, source) in opened.sources.iter().enumerate() {
            self.each(source.handle, choice.limit, events, &mut |feature| {
                for item in reader.items(number, source, feature)? {
                    drafter.item(&item, writer.entities()).map_err(failed)?;
                }
                let read = drafter.written.read;
                if read.is_multiple_of(STEP) && total > 0 {
                    events.progress(Stage::Translate, read as f64 / total.max(read) as f64);
                }
                Ok(true)
            })?;
        }
        Ok((writer, drafter.written))
    }

    /// The ranges of features that threads read; none if the driver does not find features by number.
    fn ranges(&self, opened: &Opened<'_>) -> Vec<Range> {
        let mut ranges = Vec::new();
        if !NUMBERED.contains(&opened.driver.as_str()) {
            return ranges;
        }
        for (number, source) in opened.sources.iter().enumerate() {
            let count = self.features_of(source.handle).filter(|_| self.can(source, c"FastSetNextByIndex"));
            let Some(count) = count else { return Vec::new() };
            let of_layer = (0..count.div_ceil(RANGE).max(1)).map(|place| Range {
                source: number,
                from: place * RANGE,
                to: (place + 1) * RANGE,
                is_last: (place + 1) * RANGE >= count,
            });
            ranges.extend(of_layer);
        }
        ranges
    }

    #[expect(clippy::too_many_arguments, reason = "all that a drawing depends on")]
    fn by_threads<'p>(
        &self,
        threads: usize,
        ranges: Vec<Range>,
        opened: &Opened<'_>,
        origin: &Origin<'_>,
        plan: &'p Plan<'_>,
        change: &Change,
        writer: Writer<'p, File>,
        events: &Arc<dyn Events>,
    ) -> Result<(Writer<'p, File>, Written), EngineError> {
        let shared = Shared {
            total: ranges.len() as u64,
            ranges,
            next: AtomicUsize::new(0),
            turns: Mutex::new(Turns { next_handle: plan.drawing.first_handle(), ..Turns::default() }),
            changed: Condvar::new(),
            writer: Mutex::new(writer),
            done: Mutex::new(0),
        };
        let work = |opened: &Opened<'_>| {
            let _watch = Watch(&shared);
            let outcome = self.some_ranges(&shared, opened, plan, change, events);
            if outcome.is_err() {
                shared.end();
            }
            outcome
        };
        let other = || {
            let opened = self.open_origin(origin, plan.order, change).inspect_err(|_| shared.end())?;
            let needs_fields = plan.order.draws_attributes();
            let chosen = opened
                .sources
                .iter()
                .try_for_each(|source| self.choose(source, &Choice::default(), needs_fields, true));
            chosen.inspect_err(|_| shared.end())?;
            work(&opened)
        };
        let outcomes = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, other).ok())
                .collect();
            let mut outcomes = vec![work(opened)];
            outcomes.extend(others.into_iter().map(|thread| {
                let lost = || EngineError::Rejected("a thread that wrote the drawing ended".to_owned());
                thread.join().unwrap_or_else(|_| Err(lost()))
            }));
            outcomes
        });
        let mut written = Written::default();
        let mut over = false;
        for outcome in outcomes {
            match outcome? {
                Some(part) => written += part,
                // Another one has failed, whose error comes later.
                None => over = true,
            }
        }
        debug_assert!(!over, "a thread that fails says so");
        Ok((shared.writer.into_inner().unwrap_or_else(PoisonError::into_inner), written))
    }

    /// Reads and writes ranges until there are no more; `None` if another thread has failed.
    fn some_ranges(
        &self,
        shared: &Shared<'_>,
        opened: &Opened<'_>,
        plan: &Plan<'_>,
        change: &Change,
        events: &Arc<dyn Events>,
    ) -> Result<Option<Written>, EngineError> {
        let mut reader = Reader::new(self, plan, &opened.sources, change)?;
        let mut drafter = Drafter::new(plan);
        let mut buffer = Vec::new();
        loop {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = shared.ranges.get(number).copied() else { return Ok(Some(drafter.written)) };
            let Some(source) = opened.sources.get(range.source) else { return Ok(Some(drafter.written)) };
            let mut batch =
                Batch { number, items: Vec::new(), weight: 0, buffer: std::mem::take(&mut buffer) };
            let mut is_over = false;
            self.in_range(source, range, events, &mut |feature| {
                reader.items(range.source, source, feature)?.into_iter().for_each(|item| batch.push(item));
                if batch.weight >= FULL {
                    is_over = batch.write(shared, plan, &mut drafter, true)?.is_none();
                }
                Ok(!is_over)
            })?;
            if is_over || batch.write(shared, plan, &mut drafter, false)?.is_none() {
                return Ok(None);
            }
            buffer = batch.buffer;
            let mut done = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
            *done += 1;
            events.progress(Stage::Translate, *done as f64 / shared.total as f64);
        }
    }

    /// Calls for the features of a range. Some numbers may have none.
    fn in_range(
        &self,
        source: &Source,
        range: Range,
        events: &Arc<dyn Events>,
        call: &mut dyn FnMut(crate::bindings::gdal::OGRFeatureH) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let from = i64::try_from(range.from).unwrap_or(i64::MAX);
        // SAFETY: a live layer.
        unsafe { self.api.OGR_L_SetNextByIndex(source.handle, from) };
        let limit = (!range.is_last).then_some(range.to - range.from);
        self.next_ones(source.handle, limit, events, &mut |feature| {
            // SAFETY: a live feature.
            let number = unsafe { self.api.OGR_F_GetFID(feature) };
            if !range.is_last && u64::try_from(number).unwrap_or(u64::MAX) >= range.to {
                return Ok(false);
            }
            call(feature)
        })
    }
}

/// Features that a thread has read.
struct Batch {
    /// The number of their range.
    number: usize,
    items: Vec<Item>,
    weight: usize,
    buffer: Vec<u8>,
}

impl Batch {
    fn push(&mut self, item: Item) {
        self.weight += item.weight();
        self.items.push(item);
    }

    /// Formats the features beside other threads, and appends them when it is their turn; `None` if
    /// all is over.
    fn write(
        &mut self,
        shared: &Shared<'_>,
        plan: &Plan<'_>,
        drafter: &mut Drafter<'_>,
        goes_on: bool,
    ) -> Result<Option<()>, EngineError> {
        let count = self.items.iter().map(|item| item.handles(plan)).sum();
        let Some(first) = shared.handles(self.number, count, goes_on) else { return Ok(None) };
        let mut entities = plan.drawing.chunk(first, std::mem::take(&mut self.buffer));
        for item in self.items.drain(..) {
            drafter.item(&item, &mut entities).map_err(failed)?;
        }
        self.weight = 0;
        let chunk = entities.into_chunk().map_err(failed)?;
        let appended = shared.append(self.number, &chunk, goes_on);
        self.buffer = chunk.into_buffer();
        match appended {
            None => Ok(None),
            Some(appended) => appended.map(Some).map_err(failed),
        }
    }
}
