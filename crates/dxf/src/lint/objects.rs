//! The section OBJECTS.

use super::document::{Document, handle};
use super::findings::{Findings, Rule};
use super::tables::Tables;
use std::collections::HashSet;

pub(super) fn check(
    document: &Document<'_>,
    tables: &Tables<'_>,
    handles: &HashSet<u64>,
    findings: &mut Findings,
) {
    match document.objects.first() {
        Some(root) if root.kind() == "DICTIONARY" && root.owner() == Some(0) => {
            let has = root.all(3).any(|name| name == "ACAD_GROUP");
            findings.expect(has, Rule::RootDictionary, root.line(), "no ACAD_GROUP");
        }
        _ => findings.add(Rule::RootDictionary, 0, "the root dictionary is not first"),
    }
    for object in document.objects.iter().skip(1) {
        let owner = object.owner();
        let exists = owner.is_some_and(|owner| handles.contains(&owner));
        let text = format!("{} is owned by {owner:X?}", object.kind());
        findings.expect(exists, Rule::ObjectOwner, object.line(), &text);
    }
    for layout in document.objects.iter().filter(|object| object.kind() == "LAYOUT") {
        let line = layout.line();
        let markers: Vec<&str> = layout.markers().collect();
        let fits = markers == ["AcDbPlotSettings", "AcDbLayout"];
        findings.expect(fits, Rule::Layout, line, &format!("markers {markers:?}"));
        // What the layout shows, after the marker of its class.
        let shown = layout
            .own()
            .skip_while(|tag| tag.value != "AcDbLayout")
            .find(|tag| tag.code == 330)
            .and_then(|tag| handle(tag.value));
        let back = tables
            .records("BLOCK_RECORD")
            .find(|record| record.handle() == shown)
            .and_then(|record| record.get(340))
            .and_then(handle);
        let fits = back.is_some() && back == layout.handle();
        findings.expect(fits, Rule::Layout, line, "the block record refers to another layout");
    }
}
