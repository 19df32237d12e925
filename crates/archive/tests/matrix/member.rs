//! What every archive of the matrix contains.

use crate::archives::{Member as Entry, Zip};
use crate::cell::Names;
use crate::common::Files;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A file, or an empty directory.
pub(crate) struct Member {
    ascii: &'static str,
    korean: &'static str,
    /// The Korean name in CP949.
    cp949: &'static [u8],
    /// Of a file.
    content: Option<Vec<u8>>,
}

/// Content that deflates, content that does not, none, and an archive, which has the signatures that
/// streaming readers search for. The first syllable of `똠방` is one of those that KS X 1001 lacks.
pub(crate) fn members() -> [Member; 5] {
    let noise = (0..3_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let nested = Zip::of([
        Entry::stored("a.obj", b"v 0 0 0\n").streamed(true, false),
        Entry::deflated("b.obj", &b"v 0 0 0\n".repeat(9)).streamed(true, false),
        Entry::stored("c.obj", b"v 1 0 0\n"),
    ]);
    [
        Member {
            ascii: "plan/a.obj",
            korean: "설계/똠방.obj",
            cp949: b"\xbc\xb3\xb0\xe8/\x8cc\xb9\xe6.obj",
            content: Some(b"v 0 0 0\n".repeat(500)),
        },
        Member {
            ascii: "plan/sub/noise.bin",
            korean: "설계/하위/잡음.bin",
            cp949: b"\xbc\xb3\xb0\xe8/\xc7\xcf\xc0\xa7/\xc0\xe2\xc0\xbd.bin",
            content: Some(noise),
        },
        Member {
            ascii: "plan/an empty file.txt",
            korean: "설계/빈 파일.txt",
            cp949: b"\xbc\xb3\xb0\xe8/\xba\xf3 \xc6\xc4\xc0\xcf.txt",
            content: Some(Vec::new()),
        },
        Member {
            ascii: "plan/nested.zip",
            korean: "설계/묶음.zip",
            cp949: b"\xbc\xb3\xb0\xe8/\xb9\xad\xc0\xbd.zip",
            content: Some(nested.bytes()),
        },
        Member {
            ascii: "plan/new/",
            korean: "설계/새 폴더/",
            cp949: b"\xbc\xb3\xb0\xe8/\xbb\xf5 \xc6\xfa\xb4\xf5/",
            content: None,
        },
    ]
}

impl Member {
    pub(crate) fn is_file(&self) -> bool {
        self.content.is_some()
    }

    /// The name as text.
    pub(crate) fn name(&self, names: Names) -> &'static str {
        if names == Names::Ascii { self.ascii } else { self.korean }
    }

    /// The name as the archive is to have it.
    pub(crate) fn bytes(&self, names: Names) -> &'static [u8] {
        if names == Names::Cp949 { self.cp949 } else { self.name(names).as_bytes() }
    }
}

/// The files that every archive with these names contains.
pub(crate) fn files(names: Names) -> Files {
    let members = members().into_iter();
    members.filter_map(|m| Some((m.name(names).to_owned(), m.content.clone()?))).collect()
}

/// The members as files and directories, for each kind of names in its own directory.
pub(crate) fn put_trees(folder: &Path) {
    for names in [Names::Ascii, Names::Utf8, Names::Cp949] {
        for member in members() {
            let path = tree(folder, names).join(OsString::from_vec(member.bytes(names).to_owned()));
            let directory = if member.is_file() { path.parent().unwrap() } else { &path };
            std::fs::create_dir_all(directory).unwrap();
            if let Some(content) = &member.content {
                std::fs::write(&path, content).unwrap();
            }
        }
    }
}

/// Where [`put_trees`] puts the members with these names.
pub(crate) fn tree(folder: &Path, names: Names) -> PathBuf {
    folder.join(format!("{names:?}"))
}

/// `members.tsv` for the drivers, which take the contents from the tree with ASCII names.
pub(crate) fn list() -> String {
    let line = |m: &Member| {
        let source = if m.is_file() { format!("{:?}/{}", Names::Ascii, m.ascii) } else { "-".to_owned() };
        let cp949: String = m.cp949.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{source}\t{}\t{}\t{cp949}\n", m.ascii, m.korean)
    };
    members().iter().map(line).collect()
}
