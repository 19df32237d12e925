//! Compiles a filter file to programs for the kernel. The build script compiles the files in
//! `filters/` with it for its target architecture; the tests do so for each architecture.

use seccompiler::{BpfProgram, TargetArch};
use std::io;

/// Placeholder in a filter file for the process's own id.
const SELF: &str = "\"SELF\"";

/// Placeholder in a compiled filter for the process id, until it is known. It is larger than any
/// process id, and no other rule contains this number; a test counts the occurrences.
pub(crate) const ANYBODY: u32 = 0x5E1F_5E1F;

/// The parts of a filter file, in the order in which they are put in force. Each is a separate
/// program, and the strictest result applies.
pub(crate) const PARTS: [&str; 5] = ["enosys", "eopnotsupp", "eperm", "pretend", "allow"];

/// Suffix of a part whose rules are added to the part of the same name on x86-64 only: calls that
/// other architectures never had.
pub(crate) const X86_64: &str = "_x86_64";

/// The programs of a filter file for an architecture, with [`ANYBODY`] as the process id.
///
/// # Errors
/// If the file is invalid.
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
