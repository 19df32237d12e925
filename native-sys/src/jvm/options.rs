//! JVM options: the fixed ones, and those derived from the setting.

use super::setting::JvmSetting;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Options that apply to every converter.
///
/// - Nothing is written outside the job: no `hs_err` file, no core dump, and no performance data in
///   `/tmp`, whose file would contain the name of the main class.
/// - The attach mechanism and thread dumps by signal are disabled.
/// - The initial heap is small. The default, 1/64 of the machine's memory, would count against the
///   memory limit of the process from the start.
/// - The compressed class space is 64 MiB instead of 1 GiB: it holds some ten thousand classes, and
///   the limit on the address space cannot distinguish reserved from used memory.
/// - One thread collects garbage and one compiles, with the first compiler tier only: a converter
///   process lives for one file.
/// - Container limits are not read: the limit of the process is lower.
/// - Strings are UTF-8, whatever the locale; the encoding of file names is set by [`super::vm`].
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
    // For LWJGL only: the libraries are in `librarypath`, and native memory comes from the C
    // library, whose limits are known.
    "-Dorg.lwjgl.system.allocator=system",
    // LWJGL would hash each library in Java, before that code is compiled, only to warn if jar and
    // library have different versions. That takes most of the startup time.
    "-Dorg.lwjgl.util.NoHashChecks=true",
];

/// Initial heap of a JVM, in bytes.
const FIRST_HEAP_BYTES: u64 = 8 << 20;

/// All options, in the form that the JVM accepts.
pub(super) fn list(setting: &JvmSetting) -> Vec<CString> {
    let mut options: Vec<Vec<u8>> = ALWAYS.iter().map(|option| option.as_bytes().to_vec()).collect();
    let heap = setting.heap_bytes;
    options.push(format!("-Xmx{}k", heap >> 10).into_bytes());
    options.push(format!("-Xms{}k", heap.min(FIRST_HEAP_BYTES) >> 10).into_bytes());
    options.push(option("-Djava.io.tmpdir=", &setting.scratch));
    // The current directory. The JVM would query the system once; this path may be one that remains
    // valid when the directory is moved.
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

/// A path as the value of a JVM option.
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
