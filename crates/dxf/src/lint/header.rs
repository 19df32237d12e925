//! The sections HEADER and CLASSES.

use super::document::{Document, Tag, handle};
use super::findings::{Findings, Rule};
use crate::version::Version;
use std::collections::{HashMap, HashSet};

/// Groups of variables that writers got wrong, or that a reader needs.
const VARIABLES: &[(&str, &[u16])] = &[
    ("$ACADVER", &[1]),
    ("$DWGCODEPAGE", &[3]),
    ("$HANDSEED", &[5]),
    ("$INSBASE", &[10, 20, 30]),
    ("$EXTMIN", &[10, 20, 30]),
    ("$EXTMAX", &[10, 20, 30]),
    ("$LIMMIN", &[10, 20]),
    ("$LIMMAX", &[10, 20]),
    ("$INSUNITS", &[70]),
    ("$MEASUREMENT", &[70]),
    ("$TILEMODE", &[70]),
    ("$PSTYLEMODE", &[290]),
    ("$EXTNAMES", &[290]),
    ("$CELWEIGHT", &[370]),
    ("$CLAYER", &[8]),
    ("$CELTYPE", &[6]),
    ("$TEXTSTYLE", &[7]),
    ("$DIMSTYLE", &[2]),
    ("$PDMODE", &[70]),
    ("$PDSIZE", &[40]),
    ("$LUNITS", &[70]),
];

/// Objects that need a class. ezdxf has none for MESH, and AutoCAD opens its meshes.
const CLASSES: [&str; 2] = ["ACDBDICTIONARYWDFLT", "GEODATA"];

pub(super) fn check(document: &Document<'_>, version: Version, findings: &mut Findings) {
    let variables = variables(document.header, findings);
    for (name, groups) in VARIABLES {
        if let Some(values) = variables.get(name) {
            let codes: Vec<u16> = values.iter().map(|tag| tag.code).collect();
            let line = values.first().map_or(0, |tag| tag.line);
            findings.expect(
                codes == *groups,
                Rule::HeaderVariable,
                line,
                &format!("{name} has groups {codes:?}"),
            );
        }
    }
    for name in ["$HANDSEED", "$DWGCODEPAGE"] {
        findings.expect(variables.contains_key(name), Rule::HeaderVariable, 0, &format!("no {name}"));
    }
    let maintenance = if version >= Version::R2018 { 90 } else { 70 };
    if let Some([tag, ..]) = variables.get("$ACADMAINTVER") {
        findings.expect(
            tag.code == maintenance,
            Rule::HeaderVariable,
            tag.line,
            "$ACADMAINTVER has another group",
        );
    }
    // "Error 50 in drawing header".
    if let Some([tag, ..]) = variables.get("$XCLIPFRAME")
        && tag.value.trim() == "2"
    {
        findings.expect(version >= Version::R2010, Rule::HeaderVariable, tag.line, "$XCLIPFRAME is 2");
    }
    if let Some([tag, ..]) = variables.get("$HANDSEED") {
        let largest = document.with_handles().filter_map(|record| record.handle()).max().unwrap_or(0);
        let seed = handle(tag.value).unwrap_or(0);
        findings.expect(seed > largest, Rule::HandleSeed, tag.line, &format!("a handle is {largest:X}"));
    }
    classes(document, version, findings);
}

fn variables<'a>(header: &'a [Tag<'a>], findings: &mut Findings) -> HashMap<&'a str, &'a [Tag<'a>]> {
    let mut variables = HashMap::new();
    for part in header.chunk_by(|_, next| next.code != 9) {
        let (name, values) = (&part[0], &part[1..]);
        findings.expect(name.code == 9, Rule::HeaderVariable, name.line, "a value without a variable");
        if variables.insert(name.value, values).is_some() {
            findings.add(Rule::HeaderVariable, name.line, format!("{} twice", name.value));
        }
    }
    variables
}

fn classes(document: &Document<'_>, version: Version, findings: &mut Findings) {
    let mut names = HashSet::new();
    for class in &document.classes {
        findings.expect(class.kind() == "CLASS", Rule::ClassGroups, class.line(), "not a CLASS");
        names.extend(class.get(1));
        for tag in &class.tags[1..] {
            let known = match tag.code {
                1..=3 | 90 | 280 | 281 => true,
                91 => version.has_true_color(),
                _ => false,
            };
            findings.expect(known, Rule::ClassGroups, tag.line, &format!("group {} in a class", tag.code));
        }
    }
    for record in document.with_handles() {
        let kind = record.kind();
        if CLASSES.contains(&kind) && !names.contains(kind) {
            findings.add(Rule::ClassMissing, record.line(), format!("no class {kind}"));
        }
    }
}
