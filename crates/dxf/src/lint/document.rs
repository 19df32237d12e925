//! A drawing as tags, records and sections.

use super::findings::{Findings, Rule};
use crate::code_page::CodePage;
use crate::version::Version;
use cadmill_core::domain::text::Charset;

/// A group code and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    pub(super) code: u16,
    pub(super) value: &'a str,
    pub(super) line: usize,
}

/// What begins with a group 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) tags: &'a [Tag<'a>],
}

impl<'a> Record<'a> {
    pub(super) fn kind(&self) -> &'a str {
        self.tags[0].value
    }

    pub(super) fn line(&self) -> usize {
        self.tags[0].line
    }

    /// The first value of a group.
    pub(super) fn get(&self, code: u16) -> Option<&'a str> {
        self.all(code).next()
    }

    pub(super) fn int(&self, code: u16) -> Option<i64> {
        self.get(code)?.trim().parse().ok()
    }

    pub(super) fn real(&self, code: u16) -> Option<f64> {
        self.get(code)?.trim().parse().ok()
    }

    pub(super) fn all(&self, code: u16) -> impl Iterator<Item = &'a str> + use<'a> {
        self.tags.iter().filter(move |tag| tag.code == code).map(|tag| tag.value)
    }

    /// Its handle; that of a record in DIMSTYLE has another group.
    pub(super) fn handle(&self) -> Option<u64> {
        let own = if self.kind() == "DIMSTYLE" { self.get(105) } else { None };
        handle(own.or_else(|| self.get(5))?)
    }

    /// The owner, which precedes the markers of classes and stands outside of braces.
    pub(super) fn owner(&self) -> Option<u64> {
        let mut braces = false;
        for tag in &self.tags[1..] {
            match tag.code {
                102 => braces = tag.value.starts_with('{'),
                330 if !braces => return handle(tag.value),
                100 if tag.value != "AcDbEntity" => return None,
                _ => {}
            }
        }
        None
    }

    /// Markers of classes.
    pub(super) fn markers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.own().filter(|tag| tag.code == 100).map(|tag| tag.value)
    }

    /// Its tags without extended data.
    pub(super) fn own(&self) -> impl Iterator<Item = &'a Tag<'a>> + use<'a> {
        self.tags.iter().filter(|tag| tag.code < 1000)
    }
}

/// The number of a handle.
pub(super) fn handle(value: &str) -> Option<u64> {
    u64::from_str_radix(value.trim(), 16).ok()
}

/// A drawing as text.
pub(super) struct Source {
    pub(super) text: String,
    pub(super) version: Version,
    pub(super) charset: Charset,
}

impl Source {
    /// Decodes a drawing by what its header says.
    pub(super) fn decode(bytes: &[u8], findings: &mut Findings) -> Option<Self> {
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => {
                findings.add(Rule::ByteOrderMark, 1, "a byte order mark");
                rest
            }
            None => bytes,
        };
        let name = variable(bytes, "$ACADVER").unwrap_or_default();
        let Some(version) = Version::of_name(&name).filter(|version| version.acadver() == name) else {
            findings.add(Rule::Version, 0, format!("$ACADVER is '{name}'"));
            return None;
        };
        let name = variable(bytes, "$DWGCODEPAGE").unwrap_or_default();
        let page = CodePage::of_name(&name);
        if page.is_none() {
            findings.add(Rule::CodePage, 0, format!("$DWGCODEPAGE is '{name}'"));
        }
        let charset = match page {
            _ if version.is_utf8() => Charset::UTF_8,
            Some(page) => page.charset(),
            None => Charset::WINDOWS_1252,
        };
        let Some(text) = charset.decode(bytes) else {
            findings.add(Rule::Encoding, 0, format!("bytes are not text in {charset}"));
            return None;
        };
        Some(Self { text, version, charset })
    }

    /// All pairs but comments; what is wrong with their form is a finding.
    pub(super) fn tags(&self, findings: &mut Findings) -> Vec<Tag<'_>> {
        let mut tags = Vec::new();
        let mut lines = self.text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut line = 0;
        while let Some(code) = lines.next() {
            line += 2;
            let digits = code.trim_matches(' ');
            let is_code = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let Some(number) = digits.parse().ok().filter(|code: &u16| is_code && *code <= 1071) else {
                findings.add(Rule::Pairs, line - 1, format!("'{code}' is not a group code"));
                break;
            };
            let Some(value) = lines.next() else {
                findings.add(Rule::Pairs, line - 1, "a group code without a value");
                break;
            };
            if number != 999 {
                tags.push(Tag { code: number, value, line });
            }
        }
        tags
    }
}

/// The value of a header variable with one, before the encoding is known.
fn variable(bytes: &[u8], name: &str) -> Option<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii());
    // Its name, a group code, its value. The header is at the beginning.
    lines.by_ref().take(100_000).find(|line| *line == name.as_bytes())?;
    lines.nth(1).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The sections of a drawing.
#[derive(Default)]
pub(super) struct Document<'a> {
    /// Those of HEADER.
    pub(super) header: &'a [Tag<'a>],
    pub(super) classes: Vec<Record<'a>>,
    pub(super) tables: Vec<Record<'a>>,
    pub(super) blocks: Vec<Record<'a>>,
    pub(super) entities: Vec<Record<'a>>,
    pub(super) objects: Vec<Record<'a>>,
}

const SECTIONS: [&str; 6] = ["HEADER", "CLASSES", "TABLES", "BLOCKS", "ENTITIES", "OBJECTS"];

impl<'a> Document<'a> {
    pub(super) fn new(tags: &'a [Tag<'a>], findings: &mut Findings) -> Self {
        let mut document = Self::default();
        let mut order = Vec::new();
        let mut section = "";
        let mut ended = false;
        for record in records(tags) {
            let (kind, line) = (record.kind(), record.line());
            findings.expect(!ended, Rule::End, line, "something after EOF");
            match kind {
                "SECTION" => {
                    findings.expect(section.is_empty(), Rule::Sections, line, "a section within a section");
                    section = record.get(2).unwrap_or_default();
                    order.push(section);
                    if section == "HEADER" {
                        document.header = record.tags.get(2..).unwrap_or_default();
                    }
                }
                "ENDSEC" => {
                    findings.expect(!section.is_empty(), Rule::Sections, line, "ENDSEC outside of a section");
                    section = "";
                }
                "EOF" => {
                    findings.expect(section.is_empty(), Rule::Sections, line, "EOF within a section");
                    ended = true;
                }
                _ => match section {
                    "CLASSES" => document.classes.push(record),
                    "TABLES" => document.tables.push(record),
                    "BLOCKS" => document.blocks.push(record),
                    "ENTITIES" => document.entities.push(record),
                    "OBJECTS" => document.objects.push(record),
                    "" => findings.add(Rule::End, line, format!("{kind} outside of a section")),
                    _ => {}
                },
            }
        }
        findings.expect(ended, Rule::End, 0, "no EOF");
        // Others, such as THUMBNAILIMAGE and ACDSDATA, follow.
        order.retain(|name| SECTIONS.contains(name));
        if order != SECTIONS {
            findings.add(Rule::Sections, 0, format!("sections are {order:?}"));
        }
        if let Some(first) = tags.first()
            && first.code != 0
        {
            findings.add(Rule::End, first.line, "data before the first section");
        }
        document
    }

    /// All that has a handle.
    pub(super) fn with_handles(&self) -> impl Iterator<Item = &Record<'a>> {
        let parts = [&self.tables, &self.blocks, &self.entities, &self.objects];
        parts.into_iter().flatten().filter(|record| record.kind() != "ENDTAB")
    }
}

/// Tags, each part of which begins with a group 0.
fn records<'a>(tags: &'a [Tag<'a>]) -> impl Iterator<Item = Record<'a>> {
    let begin = tags.iter().position(|tag| tag.code == 0).unwrap_or(tags.len());
    let mut rest = &tags[begin..];
    std::iter::from_fn(move || {
        rest.first()?;
        let length = rest[1..].iter().position(|tag| tag.code == 0).map_or(rest.len(), |at| at + 1);
        let (record, after) = rest.split_at(length);
        rest = after;
        Some(Record { tags: record })
    })
}
