//! The options of the JVM: what is always the same, and what the setting says.

use super::setting::JvmSetting;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What holds for every converter.
///
/// - Nothing is written beside the job: no `hs_err` file, no core dump, no performance
///   data in `/tmp`, which would have the name of the main class.
/// - Nobody attaches, and no signal asks for a dump of the threads.
/// - The heap begins small. A sixty-fourth of the machine's memory, the default, would
///   count against the cap of the process before anything is done.
/// - Classes have 64 MiB of addresses and not 1 GiB: some ten thousand fit, and what is
///   reserved is what the limit on addresses cannot tell from memory.
/// - One thread collects garbage, one compiles, and only as far as pays at once: a
///   converter lives for one file.
/// - The limits of a container are not looked up: the cap of the process is smaller.
/// - Texts are UTF-8, whatever the locale; for file names [`super::vm`] sets it.
const ALWAYS: &[&str] = &[
    "-Xrs",
    "-XX:-UsePerfData",
    "-XX:ErrorFile=/dev/null",
    "-XX:-CreateCoredumpOnCrash",
    "-XX:+DisableAttachMechanism",
    "-XX:-UseContainerSupport",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:CompressedClassSpaceSize=64m",
    "-Xshare:auto",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    // LWJGL, which is nobody else's business: the libraries lie where `librarypath` says,
    // and native memory comes from the C library, whose caps are known.
    "-Dorg.lwjgl.system.allocator=system",
    // It would hash each library in Java, before that is compiled, to print a warning when
    // jar and library are of different versions: most of the time of a start.
    "-Dorg.lwjgl.util.NoHashChecks=true",
];

/// The heap that a JVM begins with, in bytes.
const FIRST_HEAP_BYTES: u64 = 8 << 20;

/// Every option, in the form that the JVM takes.
pub(super) fn list(setting: &JvmSetting) -> Vec<CString> {
    let mut options: Vec<Vec<u8>> = ALWAYS.iter().map(|option| option.as_bytes().to_vec()).collect();
    let heap = setting.heap_bytes;
    options.push(format!("-Xmx{}k", heap >> 10).into_bytes());
    options.push(format!("-Xms{}k", heap.min(FIRST_HEAP_BYTES) >> 10).into_bytes());
    options.push(option("-Djava.io.tmpdir=", &setting.scratch));
    // The current directory. The JVM would ask the system once; this may be a path that
    // stays true when the directory is moved.
    options.push(option("-Duser.dir=", &setting.scratch));
    if let Some(natives) = &setting.natives {
        options.push(option("-Djava.library.path=", natives));
        options.push(option("-Dorg.lwjgl.librarypath=", natives));
    }
    if let Some(archive) = &setting.archive {
        options.push(option("-XX:SharedArchiveFile=", archive));
    }
    let class_path: Vec<&[u8]> = setting.class_path.iter().map(|path| path.as_os_str().as_bytes()).collect();
    options.push([&b"-Djava.class.path="[..], &class_path.join(&b':')].concat());
    // A path cannot contain NUL.
    options.into_iter().filter_map(|option| CString::new(option).ok()).collect()
}

/// A path as the value of an option of the JVM.
fn option(name: &str, path: &Path) -> Vec<u8> {
    [name.as_bytes(), path.as_os_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_setting_is_in_the_options() {
        let setting = JvmSetting {
            libjvm: PathBuf::from("/jdk/libjvm.so"),
            class_path: vec![PathBuf::from("/a.jar"), PathBuf::from("/b")],
            natives: Some(PathBuf::from("/n")),
            converter: None,
            heap_bytes: 64 << 20,
            archive: Some(PathBuf::from("/c.jsa")),
            scratch: PathBuf::from("/job/work"),
        };
        let options = list(&setting);
        let has = |text: &str| options.iter().any(|option| option.to_str() == Ok(text));
        for expected in [
            "-Xmx65536k",
            "-Xms8192k",
            "-Djava.io.tmpdir=/job/work",
            "-Djava.class.path=/a.jar:/b",
            "-Djava.library.path=/n",
            "-XX:SharedArchiveFile=/c.jsa",
            "-XX:-UsePerfData",
            "-XX:ErrorFile=/dev/null",
        ] {
            assert!(has(expected), "{expected}: {options:?}");
        }
        let small = list(&JvmSetting { heap_bytes: 4 << 20, natives: None, ..setting });
        assert!(small.iter().any(|option| option.to_str() == Ok("-Xms4096k")));
        assert!(!small.iter().any(|option| option.to_string_lossy().contains("librarypath")));
    }
}
