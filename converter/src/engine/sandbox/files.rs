//! Step 9: restricts which files may be opened, by Landlock.
//!
//! Everything is denied except the following: reading the library and the objects that it needs
//! ([`super::closure`]), each file separately; reading the job's input; reading and writing the
//! job's output and scratch directories. Nothing may be executed, and no link, pipe, socket or
//! device may be created. TCP, signals and abstract sockets are denied where the kernel supports
//! it.
//!
//! Landlock checks the opening of files. Open files stay open, and `stat` shows for any file that
//! it exists. Each kernel supports some of the rights; those in force are reported. ABI 2 is
//! sufficient: truncation, which ABI 3 controls, is denied by the system call filter unless the
//! file is opened for writing, which every ABI controls (docs/adr/0015).

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

/// The newest ABI that this code supports; older kernels support fewer rights.
const NEWEST: ABI = ABI::V6;

/// Directory with further configuration of the dynamic loader.
const LOADER_DIRECTORY: &str = "/etc/ld.so.conf.d";

/// Other files that may be read: the loader's cache; randomness, for SQLite, which reads the
/// device; the list of processors, for libraries that count them; the process's locale, without
/// which a JVM decodes file names as ASCII.
const FILES: [&str; 4] =
    ["/etc/ld.so.cache", "/dev/urandom", "/sys/devices/system/cpu", "/usr/lib/locale/C.utf8"];

/// Data directories of GDAL and PROJ.
const GDAL_DATA: [&str; 4] =
    ["/usr/share/gdal", "/usr/share/proj", "/usr/local/share/gdal", "/usr/local/share/proj"];

/// Limit on the number of shared objects beside a library.
const MAX_BESIDE: usize = 1000;

/// Puts the restrictions in force. If the kernel has no Landlock, the result says so.
///
/// # Errors
/// If a directory of the job cannot be opened, and errors of the system calls.
pub fn restrict(request: &EngineRequest) -> io::Result<Landlock> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|r| r.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|r| r.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    for path in readable(request) {
        // A file that is not installed needs no rule.
        if path.exists() {
            ruleset = allow(ruleset, &path, AccessFs::ReadFile.into())?;
        }
    }
    ruleset = allow(ruleset, Path::new("/dev/null"), AccessFs::ReadFile | AccessFs::WriteFile)?;
    if let Some([input, output]) = request.task.directories() {
        ruleset = allow(ruleset, input, AccessFs::ReadFile | AccessFs::ReadDir)?;
        ruleset = allow(ruleset, output, written())?;
    }
    // The current directory is the job's scratch directory.
    ruleset = allow(ruleset, Path::new("."), written())?;
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    let abi = match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        _ => 0,
    };
    Ok(Landlock { abi, network: abi >= ABI::V4 as u32, scopes: abi >= ABI::V6 as u32 })
}

/// The ABI of the kernel's Landlock, or the error number.
///
/// # Errors
/// `EOPNOTSUPP` if Landlock was not enabled at boot, `ENOSYS` if the kernel was built without it.
pub fn kernel_abi() -> Result<u32, i32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` in linux/landlock.h.
    const VERSION: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call takes no attributes and creates nothing.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0usize, VERSION) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// Rights to read, write, create, truncate and remove files and directories; not to create anything
/// else, and not to link or move between directories of the list (`Refer`).
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

/// Files and directories that may be read in addition to the job's own.
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
    // The C library's character encodings are objects too, which it loads by name.
    let c_library = objects.iter().filter(|path| path.file_name().is_some_and(|name| name == "libc.so.6"));
    paths.extend(c_library.filter_map(|path| path.parent()).map(|directory| directory.join("gconv")));
    paths.extend(objects);
    paths
}

/// The objects that will be loaded by name; the objects that they need are added later.
fn objects(library: &Library, loader: &Loader) -> Vec<PathBuf> {
    let mut objects = library.needs.clone();
    match (&library.path, library.kind) {
        (_, EngineKind::Jvm) | (None, EngineKind::Plugin) => {}
        (Some(path), _) => {
            objects.push(path.clone());
            // From a system directory, only the objects needed.
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

/// The directories in the loader's configuration files, one per line.
fn loader_directories() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(LOADER_DIRECTORY) else { return Vec::new() };
    let texts = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts
        .flat_map(|text| text.lines().map(str::trim).map(PathBuf::from).collect::<Vec<_>>())
        .filter(|path| path.is_absolute() && path.parent().is_some())
        .collect()
}

/// Java's secure random numbers come from this device and from `/dev/urandom`. Without both, Java
/// generates some from racing threads, which takes seconds.
const JVM_RANDOM: &str = "/dev/random";

/// Directories of a Java installation in which distributions put symbolic links to `/etc`.
const LINKED: [&str; 4] = ["conf", "conf/security", "lib", "lib/security"];

/// Targets of the symbolic links of a Java installation, such as Debian's settings.
fn links_out_of(home: &Path) -> Vec<PathBuf> {
    let directories = LINKED.iter().filter_map(|name| std::fs::read_dir(home.join(name)).ok());
    let entries = directories.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let links = entries.filter(|path| path.is_symlink()).filter_map(|path| path.canonicalize().ok());
    links.filter(|target| target.is_file() && !target.starts_with(home)).collect()
}

/// Shared objects in the directory of a declared library, which it may need. Other files there are
/// not included: the directory may contain files unrelated to the library.
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
