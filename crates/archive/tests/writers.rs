//! Archives created by common zip writers can be read.
//!
//! Each archive is read twice: in large pieces and byte by byte. Writers that do not exist on
//! Debian, Archive Utility of macOS and Explorer of Windows, are imitated by their rules. The
//! archive written by Go is a checked-in file, with its source beside it.

#[path = "../../../tests/fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archives;
#[path = "writers/large.rs"]
mod large;

use archives::{Member, Zip, extra};
use cadmill_archive::{CentralDirectoryReader, Decoder, Plan, Step};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::limits::ArchiveLimits;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Name and content of each file.
type Files = BTreeMap<String, Vec<u8>>;

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

fn plan_of(bytes: &[u8], piece: usize) -> Result<Plan, Failure> {
    let mut opening = CentralDirectoryReader::new(bytes.len() as u64, &ArchiveLimits::default())?;
    while let Some(wanted) = opening.wants() {
        let end = wanted.end.min(wanted.start + piece as u64);
        opening.feed(&bytes[wanted.start as usize..end as usize])?;
    }
    opening.finish()
}

/// The files, read with input and output pieces of this size.
fn read_by(piece: usize, bytes: &[u8]) -> Result<Files, Failure> {
    let mut found = Files::new();
    let mut output = vec![0; piece];
    for entry in plan_of(bytes, piece)?.entries() {
        let mut decoder = Decoder::new(entry);
        let mut content = Vec::new();
        for mut input in bytes[entry.segment().start as usize..entry.segment().end as usize].chunks(piece) {
            loop {
                let step = decoder.step(input, &mut output)?;
                input = &input[step.consumed..];
                content.extend(&output[..step.produced]);
                if step == Step::default() {
                    break;
                }
            }
        }
        decoder.finish()?;
        if !entry.is_directory() {
            found.insert(entry.name().to_owned(), content);
        }
    }
    Ok(found)
}

/// The files, read in large pieces.
fn unpacked(bytes: &[u8]) -> Result<Files, Failure> {
    read_by(256 << 10, bytes)
}

fn assert_holds(bytes: &[u8], expected: &Files) {
    assert!(unpacked(bytes).unwrap() == *expected);
    assert!(read_by(1, bytes).unwrap() == *expected);
}

#[test]
fn info_zip() {
    assert_holds(&made_by("zip -qr out.zip plan"), &files());
    assert_holds(&made_by("zip -qr0 out.zip plan"), &files());
}

#[test]
fn info_zip_into_a_pipe() {
    // The sizes follow the data; an empty file is stored with a descriptor.
    assert_holds(&made_by("zip -qr - plan | cat > out.zip"), &files());
    assert_holds(&made_by("zip -qr0 - plan | cat > out.zip"), &files());
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
fn seven_zip() {
    assert_holds(&made_by("7z a -bd out.zip plan"), &files());
    assert_holds(&made_by("7z a -bd -mx0 out.zip plan"), &files());
    assert_holds(&made_by("7z a -bd -tzip -so x plan 2>/dev/null | cat > out.zip"), &files());
}

#[test]
fn bsdtar() {
    assert_holds(&made_by("bsdtar --format zip -cf out.zip plan"), &files());
    let stored = "bsdtar --format zip --options zip:compression=store -cf out.zip plan";
    assert_holds(&made_by(stored), &files());
}

#[test]
fn python() {
    let line = |more: &str| {
        format!(
            "python3 -c \"import zipfile, os
archive = zipfile.ZipFile('out.zip', 'w'{more})
for root, _, names in os.walk('plan'):
    archive.write(root)
    [archive.write(os.path.join(root, name)) for name in names]
archive.close()\""
        )
    };
    assert_holds(&made_by(&line("")), &files());
    assert_holds(&made_by(&line(", zipfile.ZIP_DEFLATED")), &files());
}

#[test]
fn python_into_a_pipe() {
    let line = "python3 -c \"import zipfile, sys
archive = zipfile.ZipFile(sys.stdout.buffer, 'w', zipfile.ZIP_DEFLATED)
archive.write('plan/a.obj')
with archive.open('wide', 'w', force_zip64=True) as f:
    f.write(b'x' * 99)
archive.close()\" | cat > out.zip";
    let expected = Files::from([
        ("plan/a.obj".to_owned(), files()["plan/a.obj"].clone()),
        ("wide".to_owned(), vec![b'x'; 99]),
    ]);
    assert_holds(&made_by(line), &expected);
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
    let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec())).into();
    assert_holds(&Zip::of(members).bytes(), &expected);
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
    let expected = expected.map(|(name, content)| (name.to_owned(), content.to_vec())).into();
    assert_holds(&Zip::of(members).bytes(), &expected);
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
    assert_eq!(code("bsdtar --format zip -cf - plan | cat > out.zip"), "input.archive.trailing_data");
    assert_eq!(code("zip -qr a.zip plan && cat /bin/true a.zip > out.zip"), "input.archive.trailing_data");
}
