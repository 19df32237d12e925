//! Archives of writers, and of uses of them, that are not in the matrix of matrix.rs.
//!
//! Each archive is read twice: in large pieces and byte by byte. Writers that do not exist on
//! Debian, Archive Utility of macOS and Explorer of Windows, are imitated by their rules. The
//! archive written by Go is a checked-in file, with its source beside it.

#[path = "../../../tests/fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archives;
mod common;
#[path = "writers/large.rs"]
mod large;

use archives::{Member, UTF8, Zip, Zip64, extra};
use common::{Files, read_by, unpacked};
use std::process::{Command, Stdio};

fn files() -> Files {
    let noise = (0..20_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    [
        ("plan/a.obj", b"v 0 0 0\n".repeat(1000)),
        ("plan/sub/b.mtl", b"newmtl b\n".to_vec()),
        ("plan/sub/noise.bin", noise),
        ("plan/도면.dxf", b"0\nEOF\n".to_vec()),
        ("plan/empty.txt", Vec::new()),
    ]
    .map(|(name, content)| (name.to_owned(), content))
    .into()
}

/// A directory with the files, in which the writers run.
fn bench() -> tempfile::TempDir {
    let bench = tempfile::tempdir().unwrap();
    for (name, content) in files() {
        let path = bench.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    bench
}

/// Runs a shell command that creates `out.zip` in the bench directory.
fn made_by(line: &str) -> Vec<u8> {
    let bench = bench();
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .current_dir(bench.path())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
    std::fs::read(bench.path().join("out.zip")).unwrap()
}

/// Files with these names and contents.
fn named<const N: usize>(list: [(&str, &[u8]); N]) -> Files {
    list.map(|(name, content)| (name.to_owned(), content.to_vec())).into()
}

fn assert_holds(bytes: &[u8], expected: &Files) {
    assert!(unpacked(bytes).unwrap() == *expected);
    assert!(read_by(1, bytes).unwrap() == *expected);
}

#[test]
fn info_zip_out_of_a_pipe() {
    let expected = Files::from([("-".to_owned(), files()["plan/a.obj"].clone())]);
    // A zip64 field in the local header, none in the central directory; mode of a pipe.
    assert_holds(&made_by("cat plan/a.obj | zip -q - - | cat > out.zip"), &expected);
    // A zip64 record in addition to the end record.
    assert_holds(&made_by("cat plan/a.obj | zip -q out.zip -"), &expected);
}

#[test]
fn seven_zip_with_deflate64() {
    assert_holds(&made_by("7z a -bd -tzip -mm=Deflate64 out.zip plan"), &files());
    assert_holds(&made_by("7z a -bd -tzip -mm=Deflate64 -mx9 out.zip plan"), &files());
    // Repetitions from further away, and longer, than Deflate can express; several blocks.
    let line = "seq 1 20000 > plan/a && head -c 60000 /dev/zero > plan/b
cat plan/a plan/b plan/a plan/sub/noise.bin plan/sub/noise.bin plan/b plan/a > large
rm -r plan && 7z a -bd -tzip -mm=Deflate64 out.zip large";
    let bytes = made_by(line);
    let read = unpacked(&bytes).unwrap();
    let mut large: Vec<u8> = Vec::new();
    let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let noise = &files()["plan/sub/noise.bin"];
    for part in [numbers.as_bytes(), &[0; 60_000], numbers.as_bytes(), noise, noise, &[0; 60_000]] {
        large.extend(part);
    }
    large.extend(numbers.as_bytes());
    assert_eq!(read.len(), 1);
    assert!(read["large"] == large);
    assert_holds(&bytes, &read);
}

#[test]
fn bsdtar() {
    // Names that begin with `./`, and an entry for the directory itself.
    assert_holds(&made_by("bsdtar --format zip -cf out.zip ./plan"), &files());
    assert_holds(
        &made_by("mkdir new && bsdtar --format zip -cf new/out.zip --exclude new . && mv new/out.zip ."),
        &files(),
    );
}

#[test]
fn java() {
    let mut found = unpacked(&made_by("jar --create --file out.zip plan")).unwrap();
    assert!(found.remove("META-INF/MANIFEST.MF").is_some());
    assert!(found == files());
    assert_holds(&made_by("jar --create --no-manifest --file out.zip plan"), &files());
    assert_holds(&made_by("jar --create --no-manifest --no-compress --file out.zip plan"), &files());
}

#[test]
fn go() {
    let mut expected = files();
    expected.remove("plan/sub/noise.bin");
    expected.remove("plan/empty.txt");
    expected.insert("empty.txt".to_owned(), Vec::new());
    assert_holds(include_bytes!("../../../tests/fixtures/writers/go.zip"), &expected);
}

/// Names in NFD without the UTF-8 flag, times and owners in Info-ZIP's original Unix extra field,
/// resource forks under `__MACOSX/`, sizes after the data.
#[test]
fn archive_utility_of_macos() {
    let file = |name: &str, content: &[u8]| {
        let member = Member::deflated(name, content).streamed(true, false).mode(0o100_644);
        member.local(|h| h.extra = extra(0x5855, &[0; 12])).central(|h| h.extra = extra(0x5855, &[0; 8]))
    };
    let directory = |name: &str| Member::stored(name, b"").mode(0o040_755).both(|h| h.needs = 10);
    let fork = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ";
    let dxf = "plan/\u{1103}\u{1169}\u{1106}\u{1167}\u{11ab}.dxf";
    let members = [
        directory("plan/"),
        file("plan/a.obj", b"v 0 0 0\n"),
        directory("__MACOSX/"),
        directory("__MACOSX/plan/"),
        file("__MACOSX/plan/._a.obj", fork),
        file(dxf, b"0\nEOF\n"),
        file("plan/.DS_Store", b""),
    ];
    let expected = [
        ("plan/a.obj", &b"v 0 0 0\n"[..]),
        ("__MACOSX/plan/._a.obj", fork),
        ("plan/도면.dxf", b"0\nEOF\n"),
        ("plan/.DS_Store", b""),
    ];
    assert_holds(&Zip::of(members).bytes(), &named(expected));
}

/// Host system DOS, DOS attributes, names in the machine's code page.
#[test]
fn explorer_of_windows() {
    let file = |name: &[u8], content: &[u8]| Member::deflated(name, content).attributes(0x20);
    let members = [
        file(b"plan/a.obj", b"v 0 0 0\n"),
        // "도면.dxf" in CP949, "Grüße.dxf" in CP437.
        file(b"plan/\xb5\xb5\xb8\xe9.dxf", b"0\nEOF\n"),
        file(b"Gr\x81\xe1e.dxf", b"0\nEOF\n"),
        Member::stored("empty.txt", b"").attributes(0x20).both(|h| h.needs = 10),
    ];
    let expected = [
        ("plan/a.obj", &b"v 0 0 0\n"[..]),
        ("plan/도면.dxf", b"0\nEOF\n"),
        ("Grüße.dxf", b"0\nEOF\n"),
        ("empty.txt", b""),
    ];
    assert_holds(&Zip::of(members).bytes(), &named(expected));
}

/// Documented rejections of real writers' archives; for each, the hint names a workaround.
#[test]
fn what_is_refused_of_real_writers() {
    let code = |line: &str| unpacked(&made_by(line)).unwrap_err().code.as_str();
    assert_eq!(code("ln -s a.obj plan/link && zip -qry out.zip plan"), "input.archive.symlink");
    assert_eq!(code("zip -qr -P secret out.zip plan"), "input.archive.encrypted");
    assert_eq!(code("7z a -bd -psecret -mem=AES256 out.zip plan"), "input.archive.encrypted");
    assert_eq!(code("7z a -bd -mm=BZip2 out.zip plan"), "input.archive.method");
    assert_eq!(code("7z a -bd -mm=LZMA out.zip plan"), "input.archive.method");
    assert_eq!(code("zip -qr a.zip plan && cat /bin/true a.zip > out.zip"), "input.archive.trailing_data");
}

/// Host system DOS, `\` between the parts of a name, directories that end with it.
#[test]
fn power_shell() {
    let members = [
        Member::stored("plan\\", b""),
        Member::deflated("plan\\a.obj", b"v 0 0 0\n"),
        Member::deflated("plan\\도면.dxf", b"0\nEOF\n").both(|h| h.flags |= UTF8),
        Member::stored("plan\\sub\\empty.txt", b""),
    ];
    let expected =
        [("plan/a.obj", &b"v 0 0 0\n"[..]), ("plan/도면.dxf", b"0\nEOF\n"), ("plan/sub/empty.txt", b"")];
    assert_holds(&Zip::of(members).bytes(), &named(expected));
}

/// An entry `/`, and the sizes after the data.
#[test]
fn dropbox() {
    let file = |(name, content): (&String, &Vec<u8>)| Member::deflated(name, content).streamed(true, false);
    let mut members: Vec<Member> = files().iter().map(file).collect();
    members.insert(0, Member::stored("/", b"").attributes(0x10));
    assert_holds(&Zip::of(members).bytes(), &files());
}

/// The locator counts no disks, and the end record refers to the zip64 record.
#[test]
fn one_drive() {
    let members = files().into_iter().map(|(name, content)| Member::deflated(name, &content));
    let built = Zip { zip64: Zip64::Instead, ..Zip::of(members) }.build();
    let disks = built.end - 4;
    assert_holds(&built.patch(disks, &[0]).bytes, &files());
}
