//! Compiles the filters of system calls, so that a process for one conversion finds them
//! ready. A mistake in a filter file ends the build.

#[path = "src/engine/sandbox/syscalls/filter_file.rs"]
mod filter_file;

use filter_file::{ANYBODY, PARTS, programs};
use seccompiler::TargetArch;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arch = TargetArch::try_from(std::env::var("CARGO_CFG_TARGET_ARCH")?.as_str())?;
    let mut code = String::new();
    writeln!(code, "pub(super) const ANYBODY: u32 = {ANYBODY};")?;
    for (name, file) in [("NATIVE", "native.json"), ("JVM", "jvm.json")] {
        let file = Path::new("src/engine/sandbox/filters").join(file);
        println!("cargo:rerun-if-changed={}", file.display());
        let programs = programs(&std::fs::read_to_string(&file)?, arch)?;
        let own = programs.iter().flatten().filter(|instruction| instruction.k == ANYBODY).count();
        if own != 1 {
            return Err(format!("{} names the process itself {own} times", file.display()).into());
        }
        writeln!(code, "pub(super) const {name}: [&[sock_filter]; {}] = [", PARTS.len())?;
        for program in programs {
            code.push_str("&[");
            for i in program {
                writeln!(
                    code,
                    "sock_filter {{ code: {}, jt: {}, jf: {}, k: {} }},",
                    i.code, i.jt, i.jf, i.k
                )?;
            }
            code.push_str("],");
        }
        code.push_str("];\n");
    }
    println!("cargo:rerun-if-changed=src/engine/sandbox/syscalls/filter_file.rs");
    println!("cargo:rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("filters.rs"), code)?;
    Ok(())
}
