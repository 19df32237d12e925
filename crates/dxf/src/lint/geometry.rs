//! Geometry of entities: counts, sizes and orders of groups.

use super::classes::LATE;
use super::document::{Record, Tag};
use super::findings::{Findings, Rule};
use super::profile::Profile;
use crate::version::Version;

/// Characters of a TEXT, and of a piece of an MTEXT.
const LONGEST_TEXT: usize = 255;

pub(super) fn check(entity: &Record<'_>, version: Version, profile: Profile, findings: &mut Findings) {
    let line = entity.line();
    match entity.kind() {
        "LWPOLYLINE" => lwpolyline(entity, profile, findings),
        "HATCH" => {
            if let Err((at, text)) = hatch(&mut Groups::of(entity, "AcDbHatch"), profile) {
                findings.add(Rule::Hatch, at.max(line), text);
            }
        }
        "MESH" => {
            findings.expect(version.has_mesh(), Rule::Mesh, line, "a mesh before R2010");
            match mesh(&mut Groups::of(entity, "AcDbSubDMesh")) {
                Err((at, text)) => findings.add(Rule::Mesh, at.max(line), text),
                Ok(fits) => findings.expect(fits, Rule::FaceIndex, line, "a face names no vertex"),
            }
        }
        "TEXT" | "ATTRIB" | "ATTDEF" => text(entity, findings),
        "MTEXT" => mtext(entity, findings),
        "CIRCLE" | "ARC" => positive(entity, 40, findings),
        "INSERT" => {
            for code in 41..=43 {
                findings.expect(entity.real(code) != Some(0.0), Rule::Size, line, "a scale is 0");
            }
        }
        _ => {}
    }
}

fn positive(entity: &Record<'_>, code: u16, findings: &mut Findings) {
    let fits = entity.real(code).is_none_or(|size| size > 0.0);
    findings.expect(fits, Rule::Size, entity.line(), &format!("group {code} of {}", entity.kind()));
}

fn text(entity: &Record<'_>, findings: &mut Findings) {
    let line = entity.line();
    positive(entity, 40, findings);
    let length = entity.get(1).unwrap_or_default().chars().count();
    findings.expect(length <= LONGEST_TEXT, Rule::TextLength, line, &length.to_string());
    if entity.kind() != "TEXT" {
        let versions = entity.all(280).count();
        findings.expect(versions != 1, Rule::AttributeVersions, line, "one group 280");
    }
}

fn mtext(entity: &Record<'_>, findings: &mut Findings) {
    positive(entity, 40, findings);
    let pieces: Vec<&Tag<'_>> = entity.own().filter(|tag| matches!(tag.code, 1 | 3)).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        findings.expect((piece.code == 1) == is_last, Rule::MTextPieces, piece.line, "pieces out of order");
        let fits = piece.value.chars().count() <= LONGEST_TEXT;
        findings.expect(fits, Rule::MTextPieces, piece.line, "a piece is too long");
    }
}

fn lwpolyline(entity: &Record<'_>, profile: Profile, findings: &mut Findings) {
    let line = entity.line();
    let mut after = entity.own().skip_while(|tag| tag.value != "AcDbPolyline" || tag.code != 100).skip(1);
    let first = match profile {
        Profile::Strict => after.next(),
        // GDAL has the flags before it.
        Profile::Ogr => after.by_ref().take(2).find(|tag| tag.code == 90),
    };
    findings.expect(first.is_some_and(|tag| tag.code == 90), Rule::CountFirst, line, "90 is not first");
    let count = entity.own().filter(|tag| tag.code == 10).count();
    let given = entity.int(90);
    findings.expect(
        given == Some(count as i64),
        Rule::Count,
        line,
        &format!("{given:?} for {count} vertices"),
    );
    findings.expect(count >= 2, Rule::Degenerate, line, "fewer than two vertices");
}

/// A POLYLINE and its vertices.
pub(super) fn polyline(entity: &Record<'_>, vertices: &[Record<'_>], findings: &mut Findings) {
    let line = entity.line();
    let flags = entity.int(70).unwrap_or(0);
    if flags & 64 == 0 {
        findings.expect(vertices.len() >= 2, Rule::Degenerate, line, "fewer than two vertices");
        return;
    }
    let (points, faces): (Vec<&Record<'_>>, Vec<&Record<'_>>) =
        vertices.iter().partition(|vertex| vertex.int(70).unwrap_or(0) & 64 != 0);
    let given = (entity.int(71), entity.int(72));
    let counted = (Some(points.len() as i64), Some(faces.len() as i64));
    findings.expect(given == counted, Rule::Count, line, &format!("{given:?} for {counted:?}"));
    for face in faces {
        let mut corners = (71..=74).filter_map(|code| face.int(code));
        let fits = corners.all(|corner| corner.unsigned_abs() <= points.len() as u64);
        findings.expect(fits, Rule::FaceIndex, face.line(), "a face names no vertex");
    }
}

/// Where something is wrong, and what.
type Wrong = (usize, String);

/// Groups that have an order.
struct Groups<'a> {
    tags: Vec<&'a Tag<'a>>,
    at: usize,
}

impl<'a> Groups<'a> {
    /// What follows the marker of a class.
    fn of(entity: &Record<'a>, marker: &str) -> Self {
        let after = entity.own().skip_while(|tag| tag.code != 100 || tag.value != marker).skip(1);
        Self { tags: after.collect(), at: 0 }
    }

    fn peek(&self) -> Option<u16> {
        self.tags.get(self.at).map(|tag| tag.code)
    }

    fn next(&mut self, code: u16) -> Result<&'a str, Wrong> {
        match self.tags.get(self.at) {
            Some(tag) if tag.code == code => {
                self.at += 1;
                Ok(tag.value)
            }
            Some(tag) => Err((tag.line, format!("group {} instead of {code}", tag.code))),
            None => Err((0, format!("no group {code}"))),
        }
    }

    fn number(&mut self, code: u16) -> Result<i64, Wrong> {
        let value = self.next(code)?;
        value.trim().parse().map_err(|_| (self.tags[self.at - 1].line, format!("group {code} is '{value}'")))
    }

    fn each(&mut self, codes: &[u16]) -> Result<(), Wrong> {
        codes.iter().try_for_each(|code| self.next(*code).map(drop))
    }

    /// Groups that may be there.
    fn perhaps(&mut self, codes: &[u16]) {
        while self.peek().is_some_and(|code| codes.contains(&code)) {
            self.at += 1;
        }
    }
}

/// The groups of a hatch: a head, its paths, and an end.
fn hatch(groups: &mut Groups<'_>, profile: Profile) -> Result<(), Wrong> {
    groups.each(&[10, 20, 30, 210, 220, 230, 2, 70, 71])?;
    if profile == Profile::Ogr {
        groups.perhaps(LATE);
    }
    let paths = groups.number(91)?;
    for _ in 0..paths {
        let flags = groups.number(92)?;
        if flags & 2 != 0 {
            let bulges = groups.number(72)?;
            groups.number(73)?;
            let count = groups.number(93)?;
            if count < 2 {
                return Err((groups.tags[groups.at - 1].line, "a ring without vertices".to_owned()));
            }
            for _ in 0..count {
                groups.each(&[10, 20])?;
                if bulges != 0 {
                    groups.perhaps(&[42]);
                }
            }
        } else {
            for _ in 0..groups.number(93)? {
                edge(groups)?;
            }
        }
        for _ in 0..groups.number(97)? {
            groups.next(330)?;
        }
    }
    groups.number(75)?;
    groups.number(76)?;
    // Angle, scale and lines of a pattern; the size of a pixel, for derived paths alone.
    groups.perhaps(&[52, 41, 77, 78, 53, 43, 44, 45, 46, 79, 49, 47]);
    for _ in 0..groups.number(98)? {
        groups.each(&[10, 20])?;
    }
    // A gradient.
    groups.perhaps(&[450, 451, 452, 453, 460, 461, 462, 463, 63, 421, 470]);
    match groups.tags.get(groups.at) {
        Some(tag) => Err((tag.line, format!("group {} after the end", tag.code))),
        None => Ok(()),
    }
}

fn edge(groups: &mut Groups<'_>) -> Result<(), Wrong> {
    match groups.number(72)? {
        1 => groups.each(&[10, 20, 11, 21]),
        2 => groups.each(&[10, 20, 40, 50, 51, 73]),
        3 => groups.each(&[10, 20, 11, 21, 40, 50, 51, 73]),
        4 => {
            groups.perhaps(&[94, 73, 74, 95, 96, 40, 10, 20, 42]);
            // The number of fit data stands before the number of source objects.
            if groups.tags.get(groups.at + 1).is_some_and(|tag| matches!(tag.code, 97 | 72 | 11)) {
                groups.perhaps(&[97, 11, 21, 12, 22, 13, 23]);
            }
            Ok(())
        }
        kind => Err((groups.tags[groups.at - 1].line, format!("edge of type {kind}"))),
    }
}

/// The groups of a mesh; whether all faces name vertices.
fn mesh(groups: &mut Groups<'_>) -> Result<bool, Wrong> {
    groups.each(&[71, 72])?;
    groups.number(91)?;
    let vertices = groups.number(92)?;
    for _ in 0..vertices {
        groups.each(&[10, 20, 30])?;
    }
    let length = groups.number(93)?;
    let (mut read, mut fits) = (0, true);
    while read < length {
        let corners = groups.number(90)?;
        for _ in 0..corners {
            fits &= (0..vertices).contains(&groups.number(90)?);
        }
        read += corners + 1;
    }
    for _ in 0..groups.number(94)? {
        groups.each(&[90, 90])?;
    }
    for _ in 0..groups.number(95)? {
        groups.next(140)?;
    }
    groups.number(90)?;
    Ok(fits)
}
