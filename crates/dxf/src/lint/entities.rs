//! Entities, in the section ENTITIES and in blocks.

use super::classes::{self, Class};
use super::document::{Document, Record, Tag};
use super::findings::{Findings, Rule};
use super::profile::Profile;
use super::tables::Tables;
use super::{data, geometry};
use crate::color::Lineweight;
use crate::version::Version;
use std::collections::HashSet;

pub(super) struct Checker<'c, 'a> {
    pub(super) tables: &'c Tables<'a>,
    pub(super) version: Version,
    pub(super) profile: Profile,
}

impl Checker<'_, '_> {
    pub(super) fn check(&self, document: &Document<'_>, findings: &mut Findings) {
        self.blocks(document, findings);
        let model_space = self.tables.get("BLOCK_RECORD", "*Model_Space").and_then(Record::handle);
        let paper_space = self.tables.get("BLOCK_RECORD", "*Paper_Space").and_then(Record::handle);
        self.sequence(&document.entities, &[model_space, paper_space], findings);
    }

    fn blocks(&self, document: &Document<'_>, findings: &mut Findings) {
        let mut found = HashSet::new();
        let mut rest = &document.blocks[..];
        while let Some((begin, after)) = rest.split_first() {
            let line = begin.line();
            if begin.kind() != "BLOCK" {
                findings.add(Rule::BlockEnd, line, format!("{} outside of a block", begin.kind()));
                rest = after;
                continue;
            }
            let name = begin.get(2).unwrap_or_default();
            let record = self.tables.get("BLOCK_RECORD", name).and_then(Record::handle);
            let owned = record.is_some() && begin.owner() == record;
            findings.expect(owned, Rule::BlockRecord, line, &format!("the owner of BLOCK '{name}'"));
            self.classes(begin, findings);
            found.insert(name.to_lowercase());
            let is_end = |record: &Record<'_>| matches!(record.kind(), "ENDBLK" | "BLOCK");
            let length = after.iter().position(is_end).unwrap_or(after.len());
            let (contents, end) = after.split_at(length);
            self.sequence(contents, &[begin.owner()], findings);
            rest = end;
            match end.first() {
                Some(end) if end.kind() == "ENDBLK" => {
                    rest = &rest[1..];
                    let owned = end.owner() == begin.owner();
                    findings.expect(owned, Rule::BlockRecord, end.line(), "the owner of ENDBLK");
                    self.classes(end, findings);
                }
                _ => findings.add(Rule::BlockEnd, line, format!("no ENDBLK of '{name}'")),
            }
        }
        for record in self.tables.records("BLOCK_RECORD") {
            let name = record.get(2).unwrap_or_default();
            let has = found.contains(&name.to_lowercase());
            findings.expect(has, Rule::BlockRecord, record.line(), &format!("no BLOCK '{name}'"));
        }
    }

    /// Entities one after another, some of which have parts.
    fn sequence(&self, entities: &[Record<'_>], owners: &[Option<u64>], findings: &mut Findings) {
        let mut rest = entities;
        while let Some((entity, after)) = rest.split_first() {
            rest = after;
            let (kind, line) = (entity.kind(), entity.line());
            self.entity(entity, findings);
            if matches!(kind, "VERTEX" | "ATTRIB" | "SEQEND") {
                findings.add(Rule::Parent, line, format!("{kind} belongs to nothing"));
                continue;
            }
            self.owner(entity, owners, findings);
            let part = match kind {
                "POLYLINE" => "VERTEX",
                "INSERT" if entity.int(66) == Some(1) => "ATTRIB",
                _ => continue,
            };
            // AutoCAD's are owned by what they belong to, those of ezdxf by its owner.
            let part_owners = [entity.handle(), entity.owner()];
            let length = after.iter().position(|part_of| part_of.kind() != part).unwrap_or(after.len());
            let (parts, end) = after.split_at(length);
            for each in parts {
                self.entity(each, findings);
                self.owner(each, &part_owners, findings);
            }
            if kind == "POLYLINE" {
                geometry::polyline(entity, parts, findings);
            } else {
                findings.expect(!parts.is_empty(), Rule::Count, line, "an INSERT without attributes");
            }
            rest = end;
            match end.first() {
                Some(end) if end.kind() == "SEQEND" => {
                    rest = &rest[1..];
                    self.entity(end, findings);
                    self.owner(end, &part_owners, findings);
                }
                _ => findings.add(Rule::SequenceEnd, line, format!("no SEQEND of {kind}")),
            }
        }
    }

    fn owner(&self, entity: &Record<'_>, owners: &[Option<u64>], findings: &mut Findings) {
        let owner = entity.owner();
        if owner.is_none() && self.profile == Profile::Ogr {
            return;
        }
        let fits = owner.is_some() && owners.contains(&owner);
        let text = format!("{} is owned by {owner:X?}", entity.kind());
        findings.expect(fits, Rule::EntityOwner, entity.line(), &text);
    }

    /// What all entities have in common.
    fn entity(&self, entity: &Record<'_>, findings: &mut Findings) {
        self.classes(entity, findings);
        self.look(entity, findings);
        data::check(entity, self.tables, findings);
        geometry::check(entity, self.version, self.profile, findings);
    }

    fn classes(&self, entity: &Record<'_>, findings: &mut Findings) {
        let (kind, line) = (entity.kind(), entity.line());
        let markers: Vec<&str> = entity.markers().collect();
        let Some(("AcDbEntity", own)) = markers.split_first().map(|(first, own)| (*first, own)) else {
            findings.add(Rule::EntityMarkers, line, format!("{kind} has markers {markers:?}"));
            return;
        };
        let Some(choices) = classes::of_entity(kind) else { return };
        let fits = |classes: &&&[&Class]| classes.iter().map(|class| class.marker).eq(own.iter().copied());
        let Some(classes) = choices.iter().find(fits) else {
            findings.add(Rule::EntityMarkers, line, format!("{kind} has markers {own:?}"));
            return;
        };
        let tags: Vec<&Tag<'_>> = entity.own().skip(1).collect();
        // The entity's own groups and AcDbEntity, then each class.
        let mut parts = tags.chunk_by(|_, next| next.code != 100 || next.value == "AcDbEntity");
        let common = parts.next().unwrap_or_default();
        self.groups(kind, common, &[], classes::COMMON, findings);
        for (class, part) in classes.iter().zip(parts) {
            if !matches!(class.marker, "AcDbHatch" | "AcDbSubDMesh") {
                self.groups(kind, part, class.needed, class.allowed, findings);
            }
        }
    }

    fn groups(
        &self,
        kind: &str,
        tags: &[&Tag<'_>],
        needed: &[u16],
        allowed: &[u16],
        findings: &mut Findings,
    ) {
        let line = tags.first().map_or(0, |tag| tag.line);
        for code in needed {
            let has = tags.iter().any(|tag| tag.code == *code);
            findings.expect(has, Rule::GroupMissing, line, &format!("{kind} without group {code}"));
        }
        let late = if self.profile == Profile::Ogr { classes::LATE } else { &[] };
        let mut braces = false;
        for tag in tags {
            if tag.code == 102 {
                braces = tag.value.starts_with('{');
            }
            let known = [needed, allowed, late, &[100, 102]].iter().any(|codes| codes.contains(&tag.code));
            findings.expect(
                known || braces,
                Rule::GroupUnknown,
                tag.line,
                &format!("group {} in {kind}", tag.code),
            );
        }
    }

    /// Layer, line type, colours and so on.
    fn look(&self, entity: &Record<'_>, findings: &mut Findings) {
        let (kind, line) = (entity.kind(), entity.line());
        let own = |code: u16| entity.own().find(|tag| tag.code == code).map(|tag| tag.value);
        let number = |code: u16| own(code).and_then(|value| value.trim().parse::<i64>().ok());
        let layer = own(8).unwrap_or_default();
        let has = self.tables.get("LAYER", layer).is_some();
        findings.expect(has, Rule::Layer, line, &format!("{kind} on layer '{layer}'"));
        if let Some(linetype) = own(6) {
            findings.expect(self.tables.get("LTYPE", linetype).is_some(), Rule::Linetype, line, linetype);
        }
        if matches!(kind, "TEXT" | "MTEXT" | "ATTRIB" | "ATTDEF")
            && let Some(style) = own(7)
        {
            findings.expect(self.tables.get("STYLE", style).is_some(), Rule::TextStyle, line, style);
        }
        if kind == "INSERT" {
            let block = own(2).unwrap_or_default();
            findings.expect(self.tables.get("BLOCK_RECORD", block).is_some(), Rule::Block, line, block);
        }
        if let Some(color) = number(62) {
            findings.expect((0..=256).contains(&color), Rule::Color, line, &color.to_string());
        }
        if let Some(weight) = number(370) {
            let allowed = (-3..0).contains(&weight)
                || Lineweight::ALLOWED.iter().any(|allowed| i64::from(*allowed) == weight);
            findings.expect(allowed, Rule::Lineweight, line, &weight.to_string());
        }
        let extended = own(420).or(own(430)).or(own(440)).is_some();
        findings.expect(
            !extended || self.version.has_true_color(),
            Rule::TrueColor,
            line,
            "groups 420 to 440 in R2000",
        );
    }
}
