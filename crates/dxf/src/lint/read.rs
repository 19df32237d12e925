//! Entities as other readers see them, for tests that compare.

use super::document::{Document, Record, Source};
use super::findings::Findings;

/// An entity of a drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its kind, such as `LINE`.
    pub kind: String,
    /// Its groups after the kind, with values as they are in the file. Extended data are among them.
    pub groups: Vec<(u16, String)>,
    /// Its vertices or attributes.
    pub parts: Vec<Entity>,
}

impl Entity {
    /// The first value of a group.
    pub fn get(&self, code: u16) -> Option<&str> {
        self.all(code).next()
    }

    /// All values of a group.
    pub fn all(&self, code: u16) -> impl Iterator<Item = &str> {
        self.groups.iter().filter(move |(other, _)| *other == code).map(|(_, value)| value.as_str())
    }

    /// The number in a group.
    pub fn real(&self, code: u16) -> Option<f64> {
        self.get(code)?.trim().parse().ok()
    }

    /// Its layer, with escapes resolved.
    pub fn layer(&self) -> String {
        plain(self.get(8).unwrap_or_default())
    }

    /// All points with this group, whose height is 0 where there is none.
    pub fn points(&self, code: u16) -> Vec<[f64; 3]> {
        let number = |value: &str| value.trim().parse().unwrap_or(f64::NAN);
        let mut points: Vec<[f64; 3]> = Vec::new();
        for (other, value) in &self.groups {
            match (other.checked_sub(code), points.last_mut()) {
                (Some(0), _) => points.push([number(value), 0.0, 0.0]),
                (Some(10), Some(point)) => point[1] = number(value),
                (Some(20), Some(point)) => point[2] = number(value),
                _ => {}
            }
        }
        points
    }

    /// What a TEXT, an MTEXT or an attribute says; line breaks are LF.
    pub fn text(&self) -> String {
        if self.kind == "MTEXT" {
            let pieces = self.groups.iter().filter(|(code, _)| matches!(code, 1 | 3));
            paragraphs(&pieces.map(|(_, value)| value.as_str()).collect::<String>())
        } else {
            percent_signs(&plain(self.get(1).unwrap_or_default()))
        }
    }
}

/// The entities of a drawing's model space.
///
/// # Errors
///
/// What makes it no drawing, in words.
pub fn read(bytes: &[u8]) -> Result<Vec<Entity>, String> {
    let mut findings = Findings::default();
    let source = Source::decode(bytes, &mut findings);
    let Some(source) = source else {
        return Err(findings.into_vec().iter().map(ToString::to_string).collect());
    };
    let tags = source.tags(&mut findings);
    let document = Document::new(&tags, &mut findings);
    let mut entities: Vec<Entity> = Vec::new();
    for record in &document.entities {
        match (record.kind(), entities.last_mut()) {
            ("SEQEND", _) => {}
            ("VERTEX" | "ATTRIB", Some(parent)) => parent.parts.push(entity(record)),
            _ => entities.push(entity(record)),
        }
    }
    Ok(entities)
}

fn entity(record: &Record<'_>) -> Entity {
    let groups = record.tags[1..].iter().map(|tag| (tag.code, tag.value.to_owned())).collect();
    Entity { kind: record.kind().to_owned(), groups, parts: Vec::new() }
}

/// A string with its escapes resolved, as AutoCAD does in all strings: `^` and `\U+XXXX`.
pub fn plain(value: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut next = rest[length..].chars();
        if let Some(unit) = escape(rest) {
            units.push(unit);
            length = 7;
        } else if c == '^'
            && let Some(control @ ' '..='_') = next.next()
        {
            let c = if control == ' ' { '^' } else { char::from(control as u8 & 0x1f) };
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            length = 2;
        } else {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
        }
        rest = &rest[length..];
    }
    String::from_utf16_lossy(&units)
}

/// The UTF-16 unit of `\U+XXXX`, with which a text begins.
fn escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\U+")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// `%%%` is a percent sign.
fn percent_signs(text: &str) -> String {
    text.replace("%%%", "%")
}

/// Plain text of an MTEXT of this crate: it has no formatting but an empty group.
fn paragraphs(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '{']) {
        out += &plain(&rest[..at]);
        let after = &rest[at..];
        let mut length = 2;
        match after.as_bytes() {
            [b'\\', b'U', b'+', ..] if escape(after).is_some() => {
                // Escapes next to each other may be one character.
                while escape(&after[length..]).is_some() || length == 2 {
                    length = if length == 2 { 7 } else { length + 7 };
                }
                out += &plain(&after[..length]);
            }
            [b'\\', b'P', ..] => out.push('\n'),
            [b'\\', b'~', ..] => out.push('\u{a0}'),
            [b'\\', b'\\' | b'{' | b'}', ..] => out.push(char::from(after.as_bytes()[1])),
            [b'{', b'}', ..] => {}
            _ => {
                out.push(char::from(after.as_bytes()[0]));
                length = 1;
            }
        }
        rest = &after[length..];
    }
    out + &plain(rest)
}
