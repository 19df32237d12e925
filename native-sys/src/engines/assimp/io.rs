//! Implementation of Assimp's custom I/O (`assimp/cfileio.h`).
//!
//! Files are opened beneath one directory only, whatever path the input names: see
//! [`crate::files`]. A file that does not exist is looked for by [`crate::companions`]. Reads count as progress. Once the job is cancelled, reads return end of file
//! and opens fail, which is the only way to stop an import through the C API.
//!
//! Ownership: Assimp receives raw pointers to [`OpenFile`]s and passes each to the close callback
//! exactly once.

use super::origin::{Decimal, Origin};
use crate::bindings::assimp as ffi;
use crate::companions::Companions;
use crate::engine::{EngineError, Events, Level, Stage};
use crate::engines::{readable, writable};
use crate::files::{Directory, Stream};
use crate::references::{name_of, shown};
use cadmill_core::domain::contents::Reference;
use std::cell::RefCell;
use std::ffi::{CStr, c_char};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory in which Assimp may open files, and the state of its I/O.
pub(super) struct FileSystem {
    base: PathBuf,
    access: Access,
    events: Arc<dyn Events>,
    state: RefCell<State>,
}

enum Access {
    /// Existing files only; progress is measured against the size of the root file.
    Read {
        expected: u64,
        companions: Arc<Companions>,
    },
    Write(io::Result<Directory>),
}

#[derive(Default)]
struct State {
    bytes: u64,
    write_error: Option<String>,
    /// A root file whose coordinates were moved, and its content.
    moved: Option<(PathBuf, Shared)>,
    /// Files that were asked for, in order, and what was found.
    named: Vec<Reference>,
}

/// Files that are remembered.
const MAX_NAMED: usize = 1000;

impl FileSystem {
    /// Reads beneath `base`, where the companions are; `expected` bytes are the whole work.
    pub(super) fn reading(
        base: &Path,
        expected: u64,
        companions: &Arc<Companions>,
        events: Arc<dyn Events>,
    ) -> Box<Self> {
        Self::new(base, Access::Read { expected, companions: Arc::clone(companions) }, events)
    }

    /// Writes beneath `base`.
    pub(super) fn writing(base: &Path, events: Arc<dyn Events>) -> Box<Self> {
        Self::new(base, Access::Write(Directory::open(base)), events)
    }

    fn new(base: &Path, access: Access, events: Arc<dyn Events>) -> Box<Self> {
        Box::new(Self { base: base.to_owned(), access, events, state: RefCell::default() })
    }

    /// The callbacks, bound to this file system, which must outlive their use.
    pub(super) fn callbacks(&self) -> ffi::aiFileIO {
        ffi::aiFileIO {
            OpenProc: Some(open),
            CloseProc: Some(close),
            UserData: std::ptr::from_ref(self).cast_mut().cast(),
        }
    }

    /// The first failed write. Assimp does not check every write.
    pub(super) fn write_error(&self) -> Option<String> {
        self.state.borrow().write_error.clone()
    }

    /// The files that were asked for, without the root, and what was found.
    pub(super) fn named(&self, root: &Path) -> Vec<Reference> {
        let root = root.strip_prefix(&self.base).unwrap_or(root).to_string_lossy();
        let state = self.state.borrow();
        state.named.iter().filter(|named| named.name != root).cloned().collect()
    }

    /// Moves the coordinates of the root file, which is then read from memory.
    pub(super) fn move_root(
        &self,
        root: &Path,
        size: u64,
        origin: Origin,
    ) -> Result<[Decimal; 3], EngineError> {
        let failed = |e: io::Error| EngineError::Rejected(format!("reading the input failed: {e}"));
        let mut stream = match &self.access {
            Access::Read { companions, .. } => companions.open(root, "rb").map_err(failed)?,
            Access::Write(_) => return Err(failed(io::ErrorKind::PermissionDenied.into())),
        };
        let moved = origin.moved(size, |piece| match self.events.cancelled() {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => stream.read(piece),
        });
        if self.events.cancelled() {
            return Err(EngineError::Cancelled);
        }
        let moved = moved?;
        let name = root.strip_prefix(&self.base).unwrap_or(root).to_owned();
        self.state.borrow_mut().moved = Some((name, Shared(Arc::new(moved.content))));
        Ok(moved.origin)
    }

    fn remember(&self, path: &Path, file: Option<&Path>) {
        let name = shown(name_of(path.strip_prefix(&self.base).unwrap_or(path)));
        let named = &mut self.state.borrow_mut().named;
        if named.len() < MAX_NAMED && !named.iter().any(|known| known.name == name) {
            named.push(Reference { name, file: file.map(|file| file.to_string_lossy().into_owned()) });
        }
    }

    fn open(&self, path: &Path, mode: &str) -> io::Result<Content> {
        if self.events.cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some((root, content)) = &self.state.borrow().moved
            && root == path.strip_prefix(&self.base).unwrap_or(path)
            && !Stream::mode_writes(mode)
        {
            return Ok(Content::Memory(Cursor::new(content.clone())));
        }
        let stream = match &self.access {
            Access::Read { .. } if Stream::mode_writes(mode) => Err(io::ErrorKind::PermissionDenied.into()),
            Access::Read { companions, .. } => self.open_existing(companions, path, mode),
            Access::Write(Ok(directory)) => Stream::open(directory, path, mode),
            Access::Write(Err(error)) => Err(error.kind().into()),
        };
        stream.map(Content::File)
    }

    /// Opens a file, or the only one that the name can mean.
    fn open_existing(&self, companions: &Companions, path: &Path, mode: &str) -> io::Result<Stream> {
        match companions.open(path, mode) {
            Err(error) if is_absent(&error) => {
                let file = companions.find(path);
                self.remember(path, file.as_deref());
                companions.open(&file.ok_or(io::ErrorKind::NotFound)?, mode)
            }
            Ok(stream) => {
                self.remember(path, Some(path.strip_prefix(&self.base).unwrap_or(path)));
                Ok(stream)
            }
            opened => opened,
        }
    }

    fn count_read(&self, bytes: usize) {
        let mut state = self.state.borrow_mut();
        state.bytes += bytes as u64;
        if let Access::Read { expected, .. } = self.access {
            // Reading is half of the work. Headers are read several times during format detection,
            // so the count may exceed the size.
            let fraction = state.bytes as f64 / expected.max(1) as f64;
            self.events.progress(Stage::Read, fraction.min(1.0) / 2.0);
        }
    }

    fn count_written(&self, bytes: usize) {
        let mut state = self.state.borrow_mut();
        state.bytes += bytes as u64;
        // The size of the output is unknown in advance: approach the end without reaching it.
        let mebibytes = state.bytes as f64 / f64::from(1 << 20);
        self.events.progress(Stage::Write, 0.5 + 0.5 * mebibytes / (mebibytes + 64.0));
    }

    fn note_write_error(&self, error: &io::Error) {
        let mut state = self.state.borrow_mut();
        state.write_error.get_or_insert_with(|| error.to_string());
    }
}

/// Whether the name itself is the reason.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    // A path that leads out is `CrossesDevices` or, if it is absolute, `PermissionDenied`.
    [CrossesDevices, InvalidFilename, NotADirectory, NotFound, PermissionDenied].contains(&error.kind())
}

/// What a file of Assimp contains.
enum Content {
    File(Stream),
    Memory(Cursor<Shared>),
}

/// Content that each opening of a file reads, which is not copied.
#[derive(Clone)]
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Content {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(stream) => stream.read(target),
            Self::Memory(cursor) => cursor.read(target),
        }
    }

    fn write(&mut self, source: &[u8]) -> io::Result<()> {
        match self {
            Self::File(stream) => stream.write(source),
            Self::Memory(_) => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(stream) => stream.flush(),
            Self::Memory(_) => Ok(()),
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::File(stream) => stream.position(),
            Self::Memory(cursor) => cursor.position(),
        }
    }

    fn size(&mut self) -> io::Result<u64> {
        match self {
            Self::File(stream) => stream.size(),
            Self::Memory(cursor) => Ok(cursor.get_ref().as_ref().len() as u64),
        }
    }

    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(stream) => stream.seek(to),
            Self::Memory(cursor) => cursor.seek(to),
        }
    }
}

/// A file held by Assimp. `callbacks` must be the first field: its address is the `aiFile` that
/// Assimp sees, and its user data points back to the whole struct.
#[repr(C)]
struct OpenFile {
    callbacks: ffi::aiFile,
    stream: Content,
    system: *const FileSystem,
}

/// The struct of a file that Assimp passed to a callback.
///
/// # Safety
/// `file` was returned by [`open`] and not yet passed to [`close`], and no other reference to it is
/// alive. Assimp uses a file from one thread at a time.
unsafe fn opened<'a>(file: *mut ffi::aiFile) -> &'a mut OpenFile {
    // SAFETY: guaranteed by the caller: the user data is the `OpenFile` itself.
    unsafe { &mut *(*file).UserData.cast::<OpenFile>() }
}

/// The file system behind an open file.
///
/// # Safety
/// As for [`opened`]; the file system outlives every file, because it is dropped after the import
/// or export that the files belong to.
unsafe fn system<'a>(file: &OpenFile) -> &'a FileSystem {
    // SAFETY: guaranteed by the caller.
    unsafe { &*file.system }
}

unsafe extern "C" fn open(
    io: *mut ffi::aiFileIO,
    name: *const c_char,
    mode: *const c_char,
) -> *mut ffi::aiFile {
    if io.is_null() || name.is_null() || mode.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: the user data is the `FileSystem` set by `callbacks`; it is alive while Assimp runs.
    let system = unsafe { &*(*io).UserData.cast::<FileSystem>() };
    // SAFETY: Assimp passes two C strings that are valid during the call.
    let (name, mode) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(mode)) };
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let stream = match system.open(path, &mode.to_string_lossy()) {
        Ok(stream) => stream,
        Err(error) => {
            // Assimp probes for many optional files.
            if error.kind() != io::ErrorKind::NotFound {
                system.events.log(Level::Loss, &format!("a file named by the input was not opened: {error}"));
                if matches!(system.access, Access::Write(_)) {
                    system.note_write_error(&error);
                }
            }
            return std::ptr::null_mut();
        }
    };
    let file = Box::new(OpenFile {
        callbacks: ffi::aiFile {
            ReadProc: Some(read),
            WriteProc: Some(write),
            TellProc: Some(tell),
            FileSizeProc: Some(size),
            SeekProc: Some(seek),
            FlushProc: Some(flush),
            UserData: std::ptr::null_mut(),
        },
        stream,
        system: std::ptr::from_ref(system),
    });
    let file = Box::into_raw(file);
    // SAFETY: just created from a box; `callbacks` is its first field.
    unsafe { (*file).callbacks.UserData = file.cast() };
    file.cast()
}

unsafe extern "C" fn close(_io: *mut ffi::aiFileIO, file: *mut ffi::aiFile) {
    if file.is_null() {
        return;
    }
    // SAFETY: Assimp closes each file once; `open` created it from a box.
    let mut file = unsafe { Box::from_raw((*file).UserData.cast::<OpenFile>()) };
    if let Err(error) = file.stream.flush() {
        // SAFETY: the file is still intact.
        unsafe { system(&file) }.note_write_error(&error);
    }
}

unsafe extern "C" fn read(file: *mut ffi::aiFile, buffer: *mut c_char, size: usize, count: usize) -> usize {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    // SAFETY: as above.
    let system = unsafe { system(file) };
    // SAFETY: the caller provides `size * count` writable bytes, as for `fread`.
    let Some(target) = (unsafe { writable(buffer.cast(), size, count) }) else { return 0 };
    if system.events.cancelled() {
        return 0;
    }
    let filled = file.stream.read(target).unwrap_or(0);
    system.count_read(filled);
    filled / size
}

unsafe extern "C" fn write(
    file: *mut ffi::aiFile,
    buffer: *const c_char,
    size: usize,
    count: usize,
) -> usize {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    // SAFETY: as above.
    let system = unsafe { system(file) };
    // SAFETY: the caller provides `size * count` readable bytes, as for `fwrite`.
    let Some(source) = (unsafe { readable(buffer.cast(), size, count) }) else { return 0 };
    if system.events.cancelled() {
        return 0;
    }
    match file.stream.write(source) {
        Ok(()) => {
            system.count_written(source.len());
            count
        }
        Err(error) => {
            system.note_write_error(&error);
            0
        }
    }
}

unsafe extern "C" fn tell(file: *mut ffi::aiFile) -> usize {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    usize::try_from(file.stream.position()).unwrap_or(usize::MAX)
}

unsafe extern "C" fn size(file: *mut ffi::aiFile) -> usize {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    file.stream.size().map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

unsafe extern "C" fn seek(file: *mut ffi::aiFile, offset: usize, origin: ffi::aiOrigin) -> ffi::aiReturn {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    // The offset type is unsigned, but offsets from the current position or the end are signed.
    let signed = offset.cast_signed() as i64;
    let to = match origin {
        ffi::aiOrigin_aiOrigin_SET => SeekFrom::Start(offset as u64),
        ffi::aiOrigin_aiOrigin_CUR => SeekFrom::Current(signed),
        ffi::aiOrigin_aiOrigin_END => SeekFrom::End(signed),
        _ => return ffi::aiReturn_aiReturn_FAILURE,
    };
    match file.stream.seek(to) {
        Ok(_) => ffi::aiReturn_aiReturn_SUCCESS,
        Err(_) => ffi::aiReturn_aiReturn_FAILURE,
    }
}

unsafe extern "C" fn flush(file: *mut ffi::aiFile) {
    // SAFETY: Assimp passes an open file.
    let file = unsafe { opened(file) };
    if let Err(error) = file.stream.flush() {
        // SAFETY: as above.
        unsafe { system(file) }.note_write_error(&error);
    }
}
