//! Decompression of one entry, without I/O.

use super::bits::Damaged;
use super::entry::{Entry, EntryHeader, Method};
use super::inflate64::Inflate64;
use super::local_header::{self, Descriptor, Remainder, mismatch};
use super::stored_end::StoredEnd;
use crate::entry_error::EntryError;
use crate::records::{Common, LOCAL_BYTES, parse_local};
use cadmill_core::domain::failure::{Failure, FailureCode};
use flate2::{Decompress, FlushDecompress, Status};
use std::sync::Arc;

/// Decompresses one entry. The bytes of the segment are passed in order, in pieces of any size; the
/// content is returned as it becomes available.
///
/// The content must not be trusted until [`Decoder::finish`] succeeds.
#[derive(Debug)]
pub struct Decoder {
    facts: Arc<EntryHeader>,
    stage: Stage,
    /// The record being read: the fixed part, then the name and extra fields of the local header,
    /// later the data descriptor.
    record: Vec<u8>,
    content: Content,
    descriptor: Option<Descriptor>,
}

/// Progress of one step, in bytes. If both are zero, more input is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Consumed from the front of the input.
    pub consumed: usize,
    /// Written to the front of the output.
    pub produced: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The fixed part of the local header.
    Header,
    /// The name and extra fields of the local header.
    Variable(Common, Remainder),
    Data,
    Descriptor(Descriptor),
    Done,
    Failed,
}

/// State of the content so far.
#[derive(Debug)]
struct Content {
    /// `None` if the content is stored.
    inflater: Option<Inflater>,
    /// Searched for another end, if a data descriptor follows stored content.
    end: Option<StoredEnd>,
    crc: crc32fast::Hasher,
    packed_left: u64,
    expanded_left: u64,
}

/// The decompression of a method.
#[derive(Debug)]
enum Inflater {
    Deflate(Decompress),
    Deflate64(Box<Inflate64>),
}

/// Progress of an inflater.
struct Inflated {
    taken: usize,
    given: usize,
    is_end: bool,
}

impl Decoder {
    /// Creates a decoder for this entry, independent of the entry's lifetime.
    pub fn new(entry: &Entry) -> Self {
        let facts = Arc::clone(&entry.facts);
        let content = Content {
            inflater: Inflater::of(facts.method),
            end: None,
            crc: crc32fast::Hasher::new(),
            packed_left: facts.packed,
            expanded_left: facts.expanded,
        };
        let record = Vec::with_capacity(LOCAL_BYTES);
        Self { facts, stage: Stage::Header, record, content, descriptor: None }
    }

    /// Consumes input and produces output, as much of each as possible. The output must have room
    /// for at least one byte.
    ///
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Failure> {
        self.advance(input, output).map_err(|why| {
            self.stage = Stage::Failed;
            why.of(&self.facts.name)
        })
    }

    /// Call after the last byte of the segment. Succeeds if header, content, CRC-32, sizes and
    /// descriptor are valid and no bytes are left over.
    ///
    /// # Errors
    /// `input.archive.*`, naming the entry.
    pub fn finish(mut self) -> Result<(), Failure> {
        // A deflate stream may have ended in the last step without having reported it yet.
        self.step(&[], &mut [0])?;
        match self.stage {
            Stage::Done => Ok(()),
            _ => Err(EntryError::new(FailureCode::ArchiveTruncated, "ends too early").of(&self.facts.name)),
        }
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, EntryError> {
        let mut step = Step::default();
        loop {
            let rest = &input[step.consumed..];
            let is_through = match self.stage {
                Stage::Data => self.content.expand(rest, output, &mut step)?,
                Stage::Header => self.collect(rest, LOCAL_BYTES, &mut step),
                Stage::Variable(_, remainder) => {
                    self.collect(rest, self.facts.raw_name.len() + remainder.extra_bytes, &mut step)
                }
                Stage::Descriptor(form) => self.collect(rest, form.bytes(), &mut step),
                Stage::Done if rest.is_empty() => false,
                Stage::Done | Stage::Failed => {
                    return Err(EntryError::new(
                        FailureCode::ArchiveUnownedBytes,
                        "is followed by more bytes",
                    ));
                }
            };
            if !is_through {
                return Ok(step);
            }
            self.stage = self.next_stage()?;
            self.record.clear();
        }
    }

    /// Appends input to the record up to this many bytes; returns whether the record is complete.
    fn collect(&mut self, input: &[u8], bytes: usize, step: &mut Step) -> bool {
        let taken = (bytes - self.record.len()).min(input.len());
        self.record.extend_from_slice(&input[..taken]);
        step.consumed += taken;
        self.record.len() == bytes
    }

    /// Checks what the stage has read.
    fn next_stage(&mut self) -> Result<Stage, EntryError> {
        match self.stage {
            Stage::Header => {
                let header = self.record.first_chunk().and_then(parse_local);
                let header = header.ok_or_else(|| mismatch("no local header"))?;
                Ok(Stage::Variable(header, local_header::validate(&header, &self.facts)?))
            }
            Stage::Variable(header, remainder) => {
                let (name, extra) = self.record.split_at(self.facts.raw_name.len());
                if *name != *self.facts.raw_name {
                    return Err(mismatch("a name"));
                }
                self.descriptor =
                    local_header::validate_extra(&header, extra, remainder.descriptor_bytes, &self.facts)?;
                let is_searched = self.descriptor.is_some() && self.facts.method == Method::Stored;
                self.content.end = is_searched.then(|| StoredEnd::new(self.facts.packed));
                Ok(Stage::Data)
            }
            Stage::Data => {
                self.content.validate(&self.facts)?;
                Ok(self.descriptor.map_or(Stage::Done, Stage::Descriptor))
            }
            Stage::Descriptor(form) => {
                form.validate(&self.record, &self.facts)?;
                self.content.end.as_mut().map_or(Ok(()), |end| end.take(&self.record))?;
                Ok(Stage::Done)
            }
            Stage::Done | Stage::Failed => Ok(self.stage),
        }
    }
}

impl Inflater {
    fn of(method: Method) -> Option<Self> {
        match method {
            Method::Stored => None,
            Method::Deflate => Some(Self::Deflate(Decompress::new(false))),
            Method::Deflate64 => Some(Self::Deflate64(Box::new(Inflate64::new()))),
        }
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Inflated, EntryError> {
        match self {
            Self::Deflate(inflater) => {
                let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
                let status =
                    inflater.decompress(input, output, FlushDecompress::None).map_err(|_| damaged())?;
                Ok(Inflated {
                    taken: (inflater.total_in() - before_in) as usize,
                    given: (inflater.total_out() - before_out) as usize,
                    is_end: status == Status::StreamEnd,
                })
            }
            Self::Deflate64(inflater) => {
                let progress = inflater.inflate(input, output).map_err(|Damaged| damaged())?;
                if progress.surplus.is_some_and(|bytes| bytes > 0) {
                    return Err(longer());
                }
                let is_end = progress.surplus.is_some();
                Ok(Inflated { taken: progress.consumed, given: progress.produced, is_end })
            }
        }
    }
}

fn damaged() -> EntryError {
    EntryError::new(FailureCode::ArchiveDamagedData, "has compressed data that is damaged")
}

fn longer() -> EntryError {
    let text = "has bytes after the end of its compressed data";
    EntryError::new(FailureCode::ArchiveSizeMismatch, text)
}

impl Content {
    /// Decompresses more; returns whether the content is complete.
    fn expand(&mut self, input: &[u8], output: &mut [u8], step: &mut Step) -> Result<bool, EntryError> {
        let input = &input[..input.len().min(usize::try_from(self.packed_left).unwrap_or(usize::MAX))];
        let output = &mut output[step.produced..];
        let room = output.len().min(usize::try_from(self.expanded_left).unwrap_or(usize::MAX));
        let output = &mut output[..room];
        match &mut self.inflater {
            None => {
                let length = input.len().min(room);
                output[..length].copy_from_slice(&input[..length]);
                self.end.as_mut().map_or(Ok(()), |end| end.take(&input[..length]))?;
                self.account(length, &output[..length], step);
                Ok(self.packed_left == 0)
            }
            Some(_) => self.inflate(input, output, step),
        }
    }

    fn inflate(
        &mut self,
        mut input: &[u8],
        mut output: &mut [u8],
        step: &mut Step,
    ) -> Result<bool, EntryError> {
        loop {
            // Once all content is produced, the stream must end without producing more.
            let is_full = self.expanded_left == 0;
            if !is_full && output.is_empty() {
                return Ok(false);
            }
            let mut surplus = [0];
            let target = if is_full { &mut surplus } else { &mut *output };
            let Some(inflater) = &mut self.inflater else { return Err(damaged()) };
            let Inflated { taken, given, is_end } = inflater.inflate(input, target)?;
            if is_full && given > 0 {
                return Err(EntryError::new(
                    FailureCode::ArchiveSizeMismatch,
                    "expands to more than the directory declares",
                ));
            }
            let (filled, rest) = output.split_at_mut(given);
            self.account(taken, filled, step);
            (input, output) = (&input[taken..], rest);
            if is_end {
                return Ok(true);
            }
            if taken == 0 && given == 0 {
                return self.stalled();
            }
        }
    }

    /// No progress although there is room in the output: more input is needed, or the data is
    /// damaged.
    fn stalled(&self) -> Result<bool, EntryError> {
        if self.packed_left > 0 {
            return Ok(false);
        }
        Err(EntryError::new(FailureCode::ArchiveDamagedData, "has compressed data that does not end"))
    }

    fn account(&mut self, taken: usize, given: &[u8], step: &mut Step) {
        self.crc.update(given);
        self.packed_left -= taken as u64;
        self.expanded_left -= given.len() as u64;
        step.consumed += taken;
        step.produced += given.len();
    }

    /// Checks the complete content.
    fn validate(&self, facts: &EntryHeader) -> Result<(), EntryError> {
        let refuse = |code, text: &'static str| Err(EntryError::new(code, text));
        if self.packed_left > 0 {
            return Err(longer());
        }
        if self.expanded_left > 0 {
            return refuse(FailureCode::ArchiveSizeMismatch, "expands to less than the directory declares");
        }
        if self.crc.clone().finalize() != facts.crc {
            return refuse(FailureCode::ArchiveCrc, "is damaged: its content does not match its checksum");
        }
        Ok(())
    }
}
