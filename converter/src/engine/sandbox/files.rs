//! Step 9: which files may be opened, by Landlock.
//!
//! Everything is denied but what the list below allows: to read the library and the
//! objects that it needs ([`super::closure`]), each by itself, to read the job's input, to read and write the job's output
//! and scratch directories. Nothing may be executed, and no link, pipe, socket or
//! device may be made. TCP, signals and abstract sockets are denied where the kernel
//! knows how.
//!
//! Landlock judges the opening. What is open stays open, and `stat` tells of any
//! file that it exists. Each kernel knows a part of it; what came to be in force is told.
//! ABI 2 is enough: truncation, which ABI 3 judges, is denied by the filter of calls
//! unless the file is opened for writing, which every ABI judges (docs/adr/0015).

use super::closure::Loader;
use crate::engine::confinement::Landlock;
use crate::engine::protocol::{EngineRequest, Library};
use cadmill_core::domain::format::EngineKind;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::io;
use std::path::{Path, PathBuf};

/// The newest rights that this was written for; older kernels know fewer.
const NEWEST: ABI = ABI::V6;

/// Where it is told to look elsewhere.
const LOADER_DIRECTORY: &str = "/etc/ld.so.conf.d";

/// Files that are read besides: the loader's list; randomness for SQLite, which
/// asks the device; processors, for libraries that count them; the locale of the process,
/// without which a JVM takes file names for ASCII.
const FILES: [&str; 4] =
    ["/etc/ld.so.cache", "/dev/urandom", "/sys/devices/system/cpu", "/usr/lib/locale/C.utf8"];

/// The tables of GDAL and PROJ.
const GDAL_DATA: [&str; 4] =
    ["/usr/share/gdal", "/usr/share/proj", "/usr/local/share/gdal", "/usr/local/share/proj"];

/// Shared objects beside a library that are taken for its own.
const MAX_BESIDE: usize = 1000;

/// Puts it in force. Where the kernel has no Landlock, the answer says so.
///
/// # Errors
/// A directory of the job that cannot be opened, and the system's.
pub fn restrict(request: &EngineRequest) -> io::Result<Landlock> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|r| r.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|r| r.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    for path in readable(request) {
        // What is not installed need not be allowed.
        if path.exists() {
            ruleset = allow(ruleset, &path, AccessFs::ReadFile.into())?;
        }
    }
    ruleset = allow(ruleset, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    if let Some([input, output]) = request.task.directories() {
        ruleset = allow(ruleset, input, AccessFs::ReadFile | AccessFs::ReadDir)?;
        ruleset = allow(ruleset, output, written())?;
    }
    // The current directory is the job's scratch.
    ruleset = allow(ruleset, Path::new("."), written())?;
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    let abi = match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        _ => 0,
    };
    Ok(Landlock { abi, network: abi >= ABI::V4 as u32, scopes: abi >= ABI::V6 as u32 })
}

/// The ABI of the kernel's Landlock, or the number of its error.
///
/// # Errors
/// `EOPNOTSUPP` of a kernel that was booted without, `ENOSYS` of one that was built without.
pub fn kernel_abi() -> Result<u32, i32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
    const VERSION: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag it takes no attributes, and makes nothing.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// To read, write, make, empty and remove files and directories. Not to make anything
/// else, and not to link or move from one directory of the list to another (`Refer`).
fn written() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
}

fn allow(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    let handle = PathFd::new(path).map_err(io::Error::other)?;
    ruleset.add_rule(PathBeneath::new(handle, access)).map_err(io::Error::other)
}

/// What may be read besides the job's own.
fn readable(request: &EngineRequest) -> Vec<PathBuf> {
    let library = &request.library;
    let mut paths: Vec<PathBuf> = FILES.into_iter().map(PathBuf::from).collect();
    if library.kind == EngineKind::Gdal {
        paths.extend(GDAL_DATA.map(PathBuf::from));
    }
    paths.extend(library.data.iter().cloned());
    if let Some(jvm) = &library.jvm {
        paths.extend(jvm.reads().cloned());
        paths.push(PathBuf::from(JVM_RANDOM));
        paths.extend(jvm.home.iter().flat_map(|home| links_out_of(home)));
    }
    let loader = Loader::of_system(loader_directories());
    let objects = loader.closure(objects(library, &loader));
    // The C library's encodings are objects too, which it loads by their names.
    let c_library = objects.iter().filter(|path| path.file_name().is_some_and(|name| name == "libc.so.6"));
    paths.extend(c_library.filter_map(|path| path.parent()).map(|directory| directory.join("gconv")));
    paths.extend(objects);
    paths
}

/// The objects that will be loaded by name; what they need comes with them.
fn objects(library: &Library, loader: &Loader) -> Vec<PathBuf> {
    let mut objects = library.needs.clone();
    match (&library.path, library.kind) {
        (_, EngineKind::Jvm) => {}
        (Some(path), _) => {
            objects.push(path.clone());
            // Of a directory of the system only what is needed.
            if !path.parent().is_some_and(|directory| loader.searches(directory)) {
                objects.extend(objects_beside(path));
            }
        }
        (None, EngineKind::Gdal) => objects.extend(loader.beginning_with("libgdal.so")),
        (None, EngineKind::Assimp) => objects.extend(loader.beginning_with("libassimp.so")),
    }
    if let Some(jvm) = &library.jvm {
        let lib = jvm.home.iter().map(|home| home.join("lib"));
        let natives = jvm.natives.iter().cloned();
        let directories = lib.clone().chain(lib.map(|lib| lib.join("server"))).chain(natives);
        objects.extend(directories.flat_map(|directory| objects_in(&directory)));
    }
    objects
}

/// The directories that the loader's configuration names, one a line.
fn loader_directories() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(LOADER_DIRECTORY) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts
        .flat_map(|text| text.lines().map(str::trim).map(PathBuf::from).collect::<Vec<_>>())
        .filter(|path| path.is_absolute() && path.parent().is_some())
        .collect()
}

/// Java's secure random numbers come of this device and of `/dev/urandom`. Without either
/// it makes some by threads that race for seconds.
const JVM_RANDOM: &str = "/dev/random";

/// Directories of a Java installation in which distributions put links to `/etc`.
const LINKED: [&str; 4] = ["conf", "conf/security", "lib", "lib/security"];

/// What the links of a Java installation lead to, as Debian's settings do.
fn links_out_of(home: &Path) -> Vec<PathBuf> {
    let directories = LINKED.iter().filter_map(|name| std::fs::read_dir(home.join(name)).ok());
    let entries = directories.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let links = entries.filter(|path| path.is_symlink()).filter_map(|path| path.canonicalize().ok());
    links.filter(|target| target.is_file() && !target.starts_with(home)).collect()
}

/// Shared objects in the directory of a declared library: it may need them. Its other
/// neighbours are nobody's business, and the directory may be anyone's.
fn objects_beside(library: &Path) -> Vec<PathBuf> {
    library.parent().map(objects_in).unwrap_or_default()
}

fn objects_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let is_object = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".so") || name.contains(".so.")
    };
    entries.flatten().map(|entry| entry.path()).filter(is_object).take(MAX_BESIDE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{Library, Task};
    use cadmill_core::domain::limits::Caps;

    #[test]
    fn a_declared_library_brings_the_objects_beside_it_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["libx.so.5", "liby.so", "secret.txt", "notes.so.txt.bak"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let library = directory.path().join("libx.so.5");
        let mut found: Vec<String> = objects_beside(&library)
            .into_iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, ["libx.so.5", "liby.so", "notes.so.txt.bak"]);
    }

    #[test]
    fn no_list_holds_the_whole_system() {
        let place = tempfile::tempdir().unwrap();
        let declared = place.path().join("libx.so");
        std::fs::write(&declared, "of any content").unwrap();
        let library = Library {
            kind: EngineKind::Gdal,
            path: Some(declared.clone()),
            data: vec!["/opt/share".into()],
            ..Library::of_nothing()
        };
        let request = EngineRequest::new(library, Task::Describe, &Caps::default());
        let paths = readable(&request);
        assert!(paths.contains(&PathBuf::from("/opt/share")) && paths.contains(&declared));
        for path in [
            "/",
            "/etc",
            "/proc",
            "/usr",
            "/usr/lib",
            "/usr/lib64",
            "/lib",
            "/usr/local/lib",
            "/home",
            "/opt",
            "/dev",
            "/dev/shm",
            "/tmp",
        ] {
            assert!(!paths.contains(&PathBuf::from(path)), "{path}");
        }
    }
}
