//! From a filter file to programs for the kernel. The build script compiles the files of
//! `filters/` with it, for the architecture that it builds for; the tests do for each.

use seccompiler::{BpfProgram, TargetArch};
use std::io;

/// Stands in a filter file for the process's own id.
const SELF: &str = "\"SELF\"";

/// Stands in a compiled filter for it, until the process is known. No process has this
/// id (it is larger than any), and no other rule this number; a test counts.
pub(crate) const ANYBODY: u32 = 0x5E1F_5E1F;

/// The parts of a filter file, in the order in which they are put in force; each is
/// a program of its own, and the strictest answer counts.
pub(crate) const PARTS: [&str; 5] = ["enosys", "eopnotsupp", "eperm", "pretend", "allow"];

/// What the name of a part ends with whose rules are of a part of that name, and for x86-64
/// only: calls that other architectures never had.
pub(crate) const X86_64: &str = "_x86_64";

/// The programs of a filter file for an architecture, for [`ANYBODY`].
///
/// # Errors
/// A mistake in the file.
pub(crate) fn programs(file: &str, arch: TargetArch) -> io::Result<Vec<BpfProgram>> {
    let text = file.replace(SELF, &ANYBODY.to_string());
    let mut parts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    for part in PARTS {
        let older = parts.remove(&format!("{part}{X86_64}"));
        if let (TargetArch::x86_64, Some(older)) = (arch, older) {
            append(&mut parts, part, &older);
        }
    }
    let text = serde_json::to_vec(&parts)?;
    let mut compiled = seccompiler::compile_from_json(text.as_slice(), arch).map_err(io::Error::other)?;
    let missing = |part: &str| io::Error::other(format!("the filter has no part '{part}'"));
    PARTS.iter().map(|part| compiled.remove(*part).ok_or_else(|| missing(part))).collect()
}

/// Adds the rules of one part to another.
fn append(parts: &mut serde_json::Map<String, serde_json::Value>, to: &str, from: &serde_json::Value) {
    let rules = from.get("filter").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    if let Some(there) = parts.get_mut(to).and_then(|p| p.get_mut("filter")).and_then(|f| f.as_array_mut()) {
        there.extend(rules);
    }
}
