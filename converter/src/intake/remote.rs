//! An object of the store, read by ranged requests and passed on in byte order.
//!
//! The bytes of a part are held until every consumer has taken them. A part is requested only when
//! the buffer has room for it, and room is granted in the order of the parts. So the part that the
//! earliest unfinished entry waits for always has room, which excludes deadlock.

use super::expand::{Chunks, INTERVAL, Shared, Work, run};
use super::{DownloadConfig, Piece, Source, begins_as_zip, pieces, wanted};
use crate::intake::range_reader::{LatencyTracker, Reader};
use crate::stack;
use crate::workspace::Folder;
use bytes::Bytes;
use cadmill_archive::{CentralDirectoryReader, Plan};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{ZIP_BASED_INPUTS, extension_of};
use cadmill_core::domain::job::{JobSpec, Object};
use cadmill_core::domain::limits::ArchiveLimits;
use cadmill_core::ports::object_store::Checksum;
use cadmill_core::ports::{ObjectStore, PortError, PortResult};
use crc_fast::CrcAlgorithm;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

/// An uploaded object that passed the checks. Its body has not been read.
pub struct Remote {
    reader: Reader,
    runtime: Handle,
    name: String,
    expected: Expected,
    plan: Option<Plan>,
}

/// The expected digests of the whole content, known before it is read.
#[derive(Default)]
struct Expected {
    /// Declared by the client, in hexadecimal.
    sha256: Option<String>,
    /// Stored by the object store.
    kept: Option<Checksum>,
}

impl Remote {
    /// Checks the object's size and, if it is an archive, reads and checks its central directory.
    /// The inner result is about the object, the outer one about the store.
    ///
    /// # Errors
    /// Inside `input.size_mismatch`, `input.replaced` and `input.archive.*`.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        order: &JobSpec,
        object: Object,
        limits: &ArchiveLimits,
        flow: DownloadConfig,
    ) -> PortResult<Result<Self, Failure>> {
        if let Err(failure) = same_size(order, &object) {
            return Ok(Err(failure));
        }
        let reader = Reader { store, object, flow, pace: Arc::new(LatencyTracker::default()) };
        let name = order.file_name.as_str().to_owned();
        let whole = ZIP_BASED_INPUTS.contains(&extension_of(&name).as_str());
        let looked = async {
            let plan = match if whole { Ok(None) } else { plan_of(&reader, limits).await? } {
                Ok(plan) => plan,
                Err(failure) => return Ok(Err(failure)),
            };
            Ok(Ok((plan, reader.store.checksum(&reader.object).await?)))
        };
        let (plan, kept) = match looked.await {
            Ok(Ok(known)) => known,
            Ok(Err(failure)) => return Ok(Err(failure)),
            Err(PortError::Precondition(_)) => return Ok(Err(replaced())),
            Err(error) => return Err(error),
        };
        let expected = Expected { sha256: order.sha256.clone(), kept };
        Ok(Ok(Self { reader, runtime: Handle::current(), name, expected, plan }))
    }

    fn bring(
        &self,
        pieces: &[Piece<'_>],
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure> {
        let body = pieces.last().map_or(0, |piece| piece.segment.end);
        let digester = self.expected.any().then(|| Digester::start(&self.expected)).transpose()?;
        // The central directory is not part of any file; it is read again only for the digest.
        let end = if digester.is_some() { self.reader.object.size_bytes } else { body };
        let all = digester.as_ref().map(|digester| &digester.parts);
        let result = run(directory, body, pieces, cancel, progress, |shared, work, progress| {
            let mut hands = PartSplitter { pieces, open: None, position: 0, work };
            if let Err(failure) = self.hand_on(self.parts(end), &mut hands, shared, all, progress) {
                shared.fail(failure);
            }
            // Dropped after the failure is set: a piece that ends early would be taken for a
            // damaged archive.
            drop(hands);
        });
        self.tell();
        let found = digester.map(Digester::finish).transpose();
        result?;
        found?.map_or(Ok(()), |found| self.expected.compare(&found))
    }

    fn tell(&self) {
        let (again, beside) = self.reader.pace.extra_requests();
        if again + beside > 0 {
            tracing::info!(again, beside, "parts of the upload were requested more than once");
        }
    }

    /// The parts of the object up to `end`, in order. Each part is a separate task, so that it
    /// proceeds while this thread is busy. Dropping the stream ends the tasks.
    fn parts(&self, end: u64) -> impl Stream<Item = Result<Bytes, Failure>> + Unpin + use<> {
        let flow = self.reader.flow;
        let room = Arc::new(Semaphore::new(flow.parts()));
        let starts = (0..end).step_by(usize::try_from(flow.part_bytes).unwrap_or(usize::MAX));
        let admitted = futures_util::stream::iter(starts).then(move |start| {
            let room = Arc::clone(&room);
            async move { (start, room.acquire_owned().await) }
        });
        let (reader, runtime) = (self.reader.clone(), self.runtime.clone());
        let tasks = admitted.map(move |(start, permit)| {
            let reader = reader.clone();
            let read = async move {
                let bytes = reader.read(start..end.min(start + flow.part_bytes)).await?;
                // The semaphore is never closed.
                Ok::<_, PortError>(permit.map_or(Bytes::new(), |permit| held(bytes, permit)))
            };
            AbortOnDropHandle::new(runtime.spawn(read))
        });
        Box::pin(tasks.buffered(flow.requests).map(|joined| match joined {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(PortError::Precondition(_))) => Err(replaced()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Failure::new(FailureCode::Io, "a download task has panicked")),
        }))
    }

    /// Passes each part to the pieces that it contains bytes of, and to the digest.
    fn hand_on(
        &self,
        mut parts: impl Stream<Item = Result<Bytes, Failure>> + Unpin,
        hands: &mut PartSplitter<'_, '_>,
        shared: &Shared<'_>,
        all: Option<&Sender<Bytes>>,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure> {
        while !shared.stopped() {
            // Created inside the runtime, because the timeout needs its timer.
            let next = self.runtime.block_on(async { tokio::time::timeout(INTERVAL, parts.next()).await });
            shared.tick(progress);
            match next {
                Err(_) => {}
                Ok(None) => return Ok(()),
                Ok(Some(part)) => {
                    let part = part?;
                    if let Some(all) = all {
                        // Sending fails only if the digest thread has panicked, which is reported
                        // at the end.
                        let _ = all.send(part.clone());
                    }
                    hands.take(part)?;
                }
            }
        }
        Ok(())
    }
}

impl Source for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    fn size_bytes(&self) -> u64 {
        self.reader.object.size_bytes
    }

    fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    fn needs_bytes(&self) -> u64 {
        self.plan.as_ref().map_or(self.reader.object.size_bytes, Plan::expanded_bytes)
    }

    fn expand(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure> {
        let pieces = self.plan.as_ref().map(pieces).unwrap_or_default();
        self.bring(&pieces, directory, cancel, progress)
    }

    fn place(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<PathBuf, Failure> {
        let size_bytes = self.size_bytes();
        let piece =
            Piece { segment: 0..size_bytes, path: self.name.as_str().into(), size_bytes, entry: None };
        self.bring(&[piece], directory, cancel, progress)?;
        Ok(directory.path().join(&self.name))
    }
}

fn same_size(order: &JobSpec, object: &Object) -> Result<(), Failure> {
    let (declared, uploaded) = (order.size_bytes, object.size_bytes);
    if declared == uploaded {
        return Ok(());
    }
    let message = format!("{declared} bytes were declared, {uploaded} were uploaded");
    Err(Failure::new(FailureCode::InputSizeMismatch, message)
        .with("declared_bytes", declared)
        .with("uploaded_bytes", uploaded))
}

fn replaced() -> Failure {
    Failure::new(FailureCode::InputReplaced, "the uploaded object was replaced after its event")
}

/// Reads and checks the central directory if the object is an archive.
async fn plan_of(reader: &Reader, limits: &ArchiveLimits) -> PortResult<Result<Option<Plan>, Failure>> {
    let size = reader.object.size_bytes;
    if !begins_as_zip(&reader.read(0..size.min(4)).await?) {
        return Ok(Ok(None));
    }
    let mut opening = match CentralDirectoryReader::new(size, limits) {
        Ok(opening) => opening,
        Err(failure) => return Ok(Err(failure)),
    };
    while let Some(range) = wanted(&opening) {
        if let Err(failure) = opening.feed(&reader.read(range).await?) {
            return Ok(Err(failure));
        }
    }
    Ok(opening.finish().map(Some))
}

/// Bytes that hold their permit until the last reference is dropped.
fn held(bytes: Bytes, permit: OwnedSemaphorePermit) -> Bytes {
    struct Held {
        bytes: Bytes,
        _permit: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Held { bytes, _permit: permit })
}

/// Splits parts into the bytes of each piece.
struct PartSplitter<'a, 'w> {
    /// The pieces that have not received all their bytes.
    pieces: &'a [Piece<'a>],
    /// The channel to the first of them, once it has begun.
    open: Option<Sender<Bytes>>,
    position: u64,
    work: &'w Sender<Work<'a>>,
}

impl<'a> PartSplitter<'a, '_> {
    fn take(&mut self, mut part: Bytes) -> Result<(), Failure> {
        while let [piece, rest @ ..] = self.pieces
            && !part.is_empty()
        {
            let Range { start, end } = piece.segment;
            if self.open.is_none() && start != self.position {
                let message = "internal error: the plan of the archive has a gap";
                return Err(Failure::new(FailureCode::Io, message));
            }
            let sender = self.open.get_or_insert_with(|| begin(piece, self.work));
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let slice = part.split_to(left.min(part.len()));
            self.position += slice.len() as u64;
            // Sending fails only if the piece has failed, which has been reported.
            let _ = sender.send(slice);
            if self.position == end {
                (self.pieces, self.open) = (rest, None);
            }
        }
        Ok(())
    }
}

fn begin<'a>(piece: &'a Piece<'a>, work: &Sender<Work<'a>>) -> Sender<Bytes> {
    let (sender, receiver) = channel();
    let chunks = Box::new(Slices { receiver, current: Bytes::new() });
    // Sending fails only if every thread has ended; they have reported why.
    let _ = work.send(Work { piece, chunks });
    sender
}

struct Slices {
    receiver: Receiver<Bytes>,
    current: Bytes,
}

impl Chunks for Slices {
    fn next(&mut self) -> Result<&[u8], Failure> {
        // Released before the wait, because other parts may need the room.
        self.current = Bytes::new();
        self.current = self.receiver.recv().unwrap_or_default();
        Ok(&self.current)
    }
}

impl Expected {
    fn any(&self) -> bool {
        self.sha256.is_some() || self.kept.is_some()
    }

    fn compare(&self, found: &Found) -> Result<(), Failure> {
        let declared = self.sha256.as_ref().zip(found.sha256.as_ref());
        if declared.is_some_and(|(declared, found)| !declared.eq_ignore_ascii_case(&hex::encode(found))) {
            let message = "the SHA-256 of the uploaded object does not match the declared one";
            return Err(Failure::new(FailureCode::InputDigestMismatch, message));
        }
        let held = match self.kept {
            None => true,
            Some(Checksum::Sha256(kept)) => found.sha256 == Some(kept),
            Some(Checksum::Crc64Nvme(kept)) => found.crc == Some(kept),
        };
        if held {
            return Ok(());
        }
        // The received bytes differ from those in the store: reading again may succeed.
        let message = "the bytes received do not match the checksum that the store has for the object";
        Err(Failure::new(FailureCode::StoreUnavailable, message))
    }
}

/// The digests that were computed.
struct Found {
    sha256: Option<[u8; 32]>,
    crc: Option<u64>,
}

/// Digests parts on a separate thread.
struct Digester {
    parts: Sender<Bytes>,
    thread: JoinHandle<Found>,
}

impl Digester {
    fn start(expected: &Expected) -> Result<Self, Failure> {
        let wants_sha256 = expected.sha256.is_some() || matches!(expected.kept, Some(Checksum::Sha256(_)));
        let wants_crc = matches!(expected.kept, Some(Checksum::Crc64Nvme(_)));
        let (parts, receiver) = channel::<Bytes>();
        let digest = move || {
            // Created here, on the stack that is cleared: the hash states buffer the last bytes.
            let mut sha256 = wants_sha256.then(Sha256::new);
            let mut crc = wants_crc.then(|| crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme));
            while let Ok(part) = receiver.recv() {
                sha256.iter_mut().for_each(|sha256| sha256.update(&part));
                crc.iter_mut().for_each(|crc| crc.update(&part));
            }
            Found {
                sha256: sha256.map(|sha256| sha256.finalize().into()),
                crc: crc.map(|crc| crc.finalize()),
            }
        };
        let thread = std::thread::Builder::new()
            .name("digest".to_owned())
            .spawn(|| stack::cleared(digest))
            .map_err(|e| Failure::io("starting a thread", &e))?;
        Ok(Self { parts, thread })
    }

    fn finish(self) -> Result<Found, Failure> {
        drop(self.parts);
        self.thread.join().map_err(|_| Failure::new(FailureCode::Io, "the digesting thread has panicked"))
    }
}
