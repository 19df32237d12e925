//! The section TABLES.

use super::document::{Document, Record};
use super::findings::{Findings, Rule};
use std::collections::HashMap;

/// A table's records by their names, which have no case.
pub(super) type Table<'a> = HashMap<String, Record<'a>>;

/// All tables by their names.
pub(super) struct Tables<'a>(HashMap<&'a str, Table<'a>>);

impl<'a> Tables<'a> {
    /// A record.
    pub(super) fn get(&self, table: &str, name: &str) -> Option<&Record<'a>> {
        self.0.get(table)?.get(&name.to_lowercase())
    }

    /// All records of a table.
    pub(super) fn records(&self, table: &str) -> impl Iterator<Item = &Record<'a>> {
        self.0.get(table).into_iter().flat_map(HashMap::values)
    }
}

/// Each table with its class and what it must have.
const TABLES: [(&str, &str, &[&str]); 9] = [
    ("VPORT", "AcDbViewportTableRecord", &[]),
    ("LTYPE", "AcDbLinetypeTableRecord", &["ByBlock", "ByLayer", "Continuous"]),
    ("LAYER", "AcDbLayerTableRecord", &["0"]),
    ("STYLE", "AcDbTextStyleTableRecord", &["Standard"]),
    ("VIEW", "AcDbViewTableRecord", &[]),
    ("UCS", "AcDbUCSTableRecord", &[]),
    ("APPID", "AcDbRegAppTableRecord", &["ACAD"]),
    ("DIMSTYLE", "AcDbDimStyleTableRecord", &["Standard"]),
    ("BLOCK_RECORD", "AcDbBlockTableRecord", &["*Model_Space", "*Paper_Space"]),
];

/// What AutoCAD allows in no name.
const FORBIDDEN: &[char] = &['<', '>', '/', '\\', '"', ':', ';', '?', '*', '|', ',', '=', '`'];

pub(super) fn check<'a>(document: &Document<'a>, findings: &mut Findings) -> Tables<'a> {
    let mut tables: HashMap<&str, Table<'a>> = HashMap::new();
    let mut current: Option<Record<'a>> = None;
    for record in &document.tables {
        match record.kind() {
            "TABLE" => {
                head(record, findings);
                tables.entry(record.get(2).unwrap_or_default()).or_default();
                current = Some(*record);
            }
            "ENDTAB" => current = None,
            kind => {
                let table = current.and_then(|head| head.get(2));
                if table != Some(kind) {
                    findings.add(Rule::RecordMarkers, record.line(), format!("{kind} in table {table:?}"));
                    continue;
                }
                let owner = current.and_then(|head| head.handle());
                findings.expect(record.owner() == owner, Rule::RecordOwner, record.line(), kind);
                check_record(record, findings);
                let name = name_of(record).to_lowercase();
                let is_first = tables.get(kind).is_none_or(HashMap::is_empty);
                if kind == "APPID" && is_first {
                    findings.expect(name == "acad", Rule::ApplicationOrder, record.line(), &name);
                }
                let other = tables.entry(kind).or_default().insert(name.clone(), *record);
                // There is a viewport *Active for each part of the screen.
                if other.is_some() && kind != "VPORT" {
                    findings.add(Rule::NameTwice, record.line(), format!("{kind} '{name}' twice"));
                }
            }
        }
    }
    for (table, _, names) in TABLES {
        findings.expect(tables.contains_key(table), Rule::Tables, 0, &format!("no table {table}"));
        for name in names {
            let has = tables.get(table).is_some_and(|table| table.contains_key(&name.to_lowercase()));
            findings.expect(has, Rule::StandardRecord, 0, &format!("no {table} {name}"));
        }
    }
    Tables(tables)
}

fn head(record: &Record<'_>, findings: &mut Findings) {
    let markers: Vec<&str> = record.markers().collect();
    let wanted: &[&str] = match record.get(2) {
        Some("DIMSTYLE") => &["AcDbSymbolTable", "AcDbDimStyleTable"],
        _ => &["AcDbSymbolTable"],
    };
    findings.expect(markers == wanted, Rule::TableHead, record.line(), &format!("markers {markers:?}"));
    findings.expect(record.owner() == Some(0), Rule::TableHead, record.line(), "the owner is not 0");
}

fn name_of<'a>(record: &Record<'a>) -> &'a str {
    record.get(2).unwrap_or_default()
}

fn check_record(record: &Record<'_>, findings: &mut Findings) {
    let (kind, line) = (record.kind(), record.line());
    let class = TABLES.iter().find(|(table, ..)| *table == kind).map_or("", |(_, class, _)| class);
    // GDAL's dimension style, and some of AutoCAD's records, have more after these.
    let markers: Vec<&str> = record.markers().take(2).collect();
    let fits = markers == ["AcDbSymbolTableRecord", class];
    findings.expect(fits, Rule::RecordMarkers, line, &format!("{kind} has markers {markers:?}"));
    let name = name_of(record);
    let own = name.strip_prefix('*').unwrap_or(name);
    let legal =
        !own.is_empty() && !without_escapes(own).contains(|c: char| FORBIDDEN.contains(&c) || c.is_control());
    // Blocks that a program made have an asterisk.
    let asterisk = name.len() == own.len() || matches!(kind, "BLOCK_RECORD" | "VPORT");
    findings.expect(legal && asterisk, Rule::NameCharacters, line, &format!("{kind} is named '{name}'"));
    let fits = name.chars().count() <= 255 && name == name.trim();
    findings.expect(fits, Rule::NameLength, line, &format!("{kind} is named '{name}'"));
    if kind == "LAYER" {
        findings.expect(record.get(390).is_some(), Rule::LayerPlotStyle, line, name);
        let defpoints = name.eq_ignore_ascii_case("defpoints");
        findings.expect(
            !defpoints || record.int(290) == Some(0),
            Rule::LayerPlotStyle,
            line,
            "Defpoints must not be plotted",
        );
    }
    if kind == "VPORT" {
        // "70 = 64" was refused from R2007.
        findings.expect(record.int(70).unwrap_or(0) == 0, Rule::RecordFlags, line, "VPORT has flags");
    }
}

/// A name with a letter for each `\U+XXXX`, which readers decode before they look at it.
fn without_escapes(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find(r"\U+") {
        let digits = rest.get(at + 3..at + 7);
        let escape = digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        out.push_str(&rest[..at]);
        out.push(if escape { 'x' } else { '\\' });
        rest = &rest[at + if escape { 7 } else { 1 }..];
    }
    out + rest
}
