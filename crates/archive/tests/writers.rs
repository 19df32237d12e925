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

use archives::{Member, UTF8, Zip, Zip64, extra};
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

/// Files with these names and contents.
fn named<const N: usize>(list: [(&str, &[u8]); N]) -> Files {
    list.map(|(name, content)| (name.to_owned(), content.to_vec())).into()
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

/// zip64 in every field, also where the number would fit.
#[test]
fn info_zip_that_is_told_to_use_zip64() {
    assert_holds(&made_by("zip -qr -fz out.zip plan"), &files());
    assert_holds(&made_by("zip -qr0 -fz out.zip plan"), &files());
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
    // Names that begin with `./`, and an entry for the directory itself.
    assert_holds(&made_by("bsdtar --format zip -cf out.zip ./plan"), &files());
    assert_holds(
        &made_by("mkdir new && bsdtar --format zip -cf new/out.zip --exclude new . && mv new/out.zip ."),
        &files(),
    );
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
    // Stored, and the length follows.
    let line = "python3 -c \"import zipfile, sys
archive = zipfile.ZipFile(sys.stdout.buffer, 'w')
archive.write('plan/a.obj')
archive.write('plan/sub/noise.bin')
archive.write('plan/empty.txt')
archive.close()\" | cat > out.zip";
    let names = ["plan/a.obj", "plan/sub/noise.bin", "plan/empty.txt"];
    assert_holds(&made_by(line), &names.map(|name| (name.to_owned(), files()[name].clone())).into());
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
    assert_eq!(code("bsdtar --format zip -cf - plan | cat > out.zip"), "input.archive.trailing_data");
    assert_eq!(code("zip -qr a.zip plan && cat /bin/true a.zip > out.zip"), "input.archive.trailing_data");
    // The end record refers to a zip64 record that Info-ZIP does not write into a pipe: no reader finds
    // the directory.
    assert_eq!(code("zip -qr -fz - plan | cat > out.zip"), "input.archive.zip64");
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

/// Every entry stored with the length after it, as jszip does with `streamFiles`.
#[test]
fn jszip() {
    let file = |name: &str, content: &[u8]| {
        Member::stored(name, content).streamed(true, false).both(|h| h.flags |= UTF8)
    };
    let members = files().iter().map(|(name, content)| file(name, content)).collect::<Vec<_>>();
    assert_holds(&Zip::of(members).bytes(), &files());
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

/// yazl with `forceZip64Format`: zip64 in every field of the directory and in the descriptor, and no
/// field in the local header. Commons Compress with `Zip64Mode.Always`: the disk too.
#[test]
fn writers_that_always_use_zip64() {
    for with_disk in [false, true] {
        let (mut members, mut at) = (Vec::new(), 0u64);
        for (name, content) in files() {
            let mut member = Member::deflated(&name, &content).streamed(true, true);
            let mut numbers =
                [content.len() as u64, member.data.len() as u64, at].map(u64::to_le_bytes).concat();
            numbers.extend(if with_disk { &[0; 4][..] } else { &[] });
            member = member.both(|h| h.needs = 45).central(|h| {
                (h.expanded, h.packed, h.extra) = (u32::MAX, u32::MAX, extra(1, &numbers));
            });
            member.at = Some(u32::MAX);
            at += 30 + (name.len() + member.data.len() + member.descriptor.len()) as u64;
            members.push(member);
        }
        assert_holds(&Zip { zip64: Zip64::Instead, ..Zip::of(members) }.bytes(), &files());
    }
}
