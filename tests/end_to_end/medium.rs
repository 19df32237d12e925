//! `cadmill serve` says what its data directory lies on.

use crate::serve::Installation;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// What the server says until it listens.
fn said(installation: &Installation, data: &Path) -> Vec<String> {
    let data = data.to_str().expect("UTF-8");
    let mut command = installation.command(&["--listen", "127.0.0.1:0", "--data", data]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok) {
        let listens = line.starts_with("listening on ");
        lines.push(line);
        if listens {
            break;
        }
    }
    child.kill().expect("it runs");
    child.wait().expect("its end");
    assert!(lines.last().is_some_and(|line| line.starts_with("listening on ")), "{lines:#?}");
    lines
}

#[test]
fn a_data_directory_on_a_disk_is_warned_of_once() {
    let installation = Installation::new();
    let (disk, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    for (directory, warnings) in [(&disk, 1), (&memory, 0)] {
        let lines = said(&installation, &directory.path().join("data"));
        let of_disk = lines.iter().filter(|line| line.contains("the data directory is on a disk"));
        assert_eq!(of_disk.count(), warnings, "{lines:#?}");
    }
}
