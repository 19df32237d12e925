//! docs/BRING-YOUR-OWN.md, walked through: its commands are run as they stand, and its files are saved
//! as it says.

use crate::support::{Bench, real, repository};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A code block of the document: its language with what follows it, its content, and the text before it.
struct Block<'a> {
    kind: &'a str,
    content: &'a str,
    before: &'a str,
}

/// The blocks of a section, from its heading to the next of the same level.
fn blocks<'a>(document: &'a str, heading: &str) -> Vec<Block<'a>> {
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().expect("a section");
    let parts: Vec<&str> = section.split("```").collect();
    let pairs = parts.chunks_exact(2);
    pairs
        .map(|pair| {
            let (kind, content) = pair[1].split_once('\n').expect("a block");
            Block { kind, content, before: pair[0] }
        })
        .collect()
}

/// Runs a block as its reader does, with `cadmill` on the path; the code with which it must end is in its
/// kind. Returns what it prints.
fn run(block: &Block<'_>, directory: &Path) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_cadmill")).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    // Another test may listen where the document does.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = block.content.replace(":7117", &format!(":{port}"));
    let output = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .expect("a shell");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let fails = block.kind.strip_prefix("sh fails ").map_or(0, |code| code.parse().expect("an exit code"));
    assert_eq!(output.status.code(), Some(fails), "{script}: {text}");
    text
}

/// Walks through a section in a directory that has what it names.
fn walk(heading: &str, bench: &Bench) -> String {
    let document = std::fs::read_to_string(repository().join("docs/BRING-YOUR-OWN.md")).unwrap();
    let (mut said, mut commands) = (String::new(), 0);
    for block in blocks(&document, heading) {
        match block.kind {
            "c" => {
                let (_, name) = block.before.rsplit_once("Save this as `").expect("the name of a file");
                let name = name.split('`').next().unwrap();
                std::fs::write(bench.path(name), block.content).unwrap();
            }
            "text" => {
                // What the page shows is what was said.
                for line in block.content.lines() {
                    assert!(said.contains(line), "{line:?} is not in {said}");
                }
            }
            kind => {
                assert!(kind == "sh" || kind.starts_with("sh fails "), "{kind}");
                said.push_str(&run(&block, &bench.path("")));
                commands += 1;
            }
        }
    }
    assert!(commands >= 2, "{commands} blocks of commands");
    said
}

/// A mesh of triangles as the vendor's library writes it.
fn sample(bench: &Bench) {
    let program = bench.path("sample");
    let output = Command::new("cc")
        .arg(repository().join("tests/fixtures/doubles/openctm_sample.c"))
        .args(["-lopenctm", "-lm", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`make setup` installs libopenctm-dev: {said}");
    let made = Command::new(&program).arg(bench.path("part.ctm")).status().expect("the program starts");
    assert!(made.success());
}

#[test]
fn a_library_with_headers_becomes_an_engine_and_its_files_jobs() {
    let bench = Bench::new();
    sample(&bench);
    let said = walk("From headers to a job", &bench);
    assert!(said.contains("added to engines.toml as 'openctm'"), "{said}");
    // The facts are in the job.
    assert!(said.contains("\"faces\": \"7200\"") && said.contains("\"state\": \"COMPLETED\""), "{said}");
    let made = std::fs::read_to_string(bench.path("job.ply")).unwrap();
    assert!(made.contains("element face 7200\n"), "{}", &made[..200]);
    let page = std::fs::read_to_string(bench.path("check.html")).unwrap();
    assert!(page.contains("<td><code>truncated</code></td>") && page.ends_with("</html>\n"), "{page}");
}

#[test]
fn the_library_in_a_jar_becomes_an_engine() {
    let bench = Bench::new();
    let name = "lwjgl-assimp-3.3.6-natives-linux.jar";
    std::fs::copy(jar(name), bench.path(name)).unwrap();
    std::fs::copy(real("mesh/rabbit.obj"), bench.path("rabbit.obj")).unwrap();
    let said = walk("From a jar to the library in it", &bench);
    assert!(said.contains("added to engines.toml as 'vendor'") && said.contains("libdraco.so.8"), "{said}");
    assert!(std::fs::read(bench.path("rabbit.ply")).unwrap().starts_with(b"ply\n"));
}

/// A jar that `make setup` has fetched.
fn jar(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_cadmill")).parent().unwrap().parent().unwrap();
    let path = target.join("java/maven/assimp/third-party").join(name);
    assert!(path.is_file(), "{} is missing: run `make setup`", path.display());
    path
}
