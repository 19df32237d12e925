//! The numbers of entities that were found, and what they say of the result.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What the owner of a drawing should know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::engines::gdal) struct Found {
    /// What the result lacks.
    pub(in crate::engines::gdal) losses: Vec<String>,
    pub(in crate::engines::gdal) warnings: Vec<String>,
}

/// One entity, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Entity {
    pub(super) kind: String,
    /// The block that it refers to.
    pub(super) name: Option<Vec<u8>>,
    pub(super) flags: u32,
    pub(super) has_bulge: bool,
}

/// A bit of the flags of a polyline.
const IS_MESH: u32 = 16;

/// Entities that GDAL reads (`OGRDXFLayer::GetNextUnfilteredFeature`, which was asked about each).
const READ: &[&str] = &[
    "3DFACE",
    "ARC",
    "ATTDEF",
    "CIRCLE",
    "DIMENSION",
    "ELLIPSE",
    "HATCH",
    "HELIX",
    "INSERT",
    "LEADER",
    "LINE",
    "LWPOLYLINE",
    "MLEADER",
    "MLINE",
    "MTEXT",
    "MULTILEADER",
    "POINT",
    "POLYLINE",
    "SOLID",
    "SPLINE",
    "TEXT",
    "TRACE",
];

/// Parts of other entities, and a window of a layout, which draws nothing.
const PARTS: &[&str] = &["ATTRIB", "ENDBLK", "SEQEND", "VERTEX", "VIEWPORT"];

/// Curves that GDAL reads as lines with many short parts.
const CURVES: &[&str] = &["ARC", "CIRCLE", "ELLIPSE", "HELIX", "SPLINE"];

/// Entities that refer to a block by its name.
const REFERRING: &[&str] = &["DIMENSION", "INSERT"];

/// Bounds of what is kept: types, blocks, and names of blocks that are inserted.
const MAX_KINDS: usize = 40;
const MAX_BLOCKS: usize = 200_000;
const MAX_NAMES: usize = 1_000_000;

/// Names that are shown.
const SHOWN: usize = 5;

/// Entities by their type.
type Kinds = BTreeMap<String, u64>;

fn add(kinds: &mut Kinds, kind: &str, count: u64) {
    let kind = match kinds.contains_key(kind) || kinds.len() < MAX_KINDS {
        true => kind.to_owned(),
        false => "other".to_owned(),
    };
    *kinds.entry(kind).or_default() += count;
}

fn merge(kinds: &mut Kinds, others: &Kinds) {
    others.iter().for_each(|(kind, count)| add(kinds, kind, *count));
}

/// What a block has, or what is drawn outside of blocks.
#[derive(Debug, Default)]
pub(super) struct Content {
    unread: Kinds,
    curves: Kinds,
    /// Types of all entities but parts of others.
    all: Kinds,
    /// The blocks that are inserted, and how often.
    inserted: HashMap<Vec<u8>, u64>,
    /// Whether a block is a drawing of its own, in another file.
    pub(super) is_external: bool,
    /// Whether the current polyline was counted as a curve.
    is_curved: bool,
    has_too_many: bool,
}

impl Content {
    pub(super) fn add(&mut self, entity: Entity) {
        let kind = entity.kind.as_str();
        if kind.is_empty() {
            return;
        }
        if kind == "POLYLINE" {
            self.is_curved = false;
        }
        if entity.has_bulge && (kind == "LWPOLYLINE" || (kind == "VERTEX" && !self.is_curved)) {
            self.is_curved = kind == "VERTEX";
            add(&mut self.curves, "polyline", 1);
        }
        if PARTS.contains(&kind) {
            return;
        }
        add(&mut self.all, kind, 1);
        if CURVES.contains(&kind) {
            add(&mut self.curves, kind, 1);
        }
        if kind == "POLYLINE" && entity.flags & IS_MESH != 0 {
            add(&mut self.unread, "POLYLINE (polygon mesh)", 1);
        } else if !READ.contains(&kind) {
            let shown: String = kind.chars().take(40).filter(|c| !c.is_control()).collect();
            add(&mut self.unread, &shown, 1);
        }
        // GDAL draws a dimension itself if it has no block.
        if let (true, Some(name)) = (REFERRING.contains(&kind), entity.name) {
            if self.inserted.len() < MAX_NAMES || self.inserted.contains_key(&name) {
                *self.inserted.entry(name).or_default() += u64::from(kind == "INSERT");
            } else {
                self.has_too_many = true;
            }
        }
    }
}

/// What a drawing has.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) drawn: Content,
    blocks: HashMap<Vec<u8>, Content>,
    /// Whether there are more blocks than are kept.
    has_too_many: bool,
}

impl Tally {
    pub(super) fn add_block(&mut self, name: &[u8], content: Content) {
        if self.blocks.len() < MAX_BLOCKS || self.blocks.contains_key(name) {
            self.blocks.insert(name.to_vec(), content);
        } else {
            self.has_too_many = true;
        }
    }

    pub(super) fn found(&self) -> Found {
        let mut losses = Vec::new();
        let mut curves = self.drawn.curves.clone();
        let (mut in_blocks, mut missing, mut external) = (Kinds::new(), Kinds::new(), Kinds::new());
        let mut has_too_many = self.has_too_many || self.drawn.has_too_many;
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let mut pending = vec![&self.drawn];
        while let Some(content) = pending.pop() {
            for (name, times) in &content.inserted {
                let shown = || format!("'{}'", String::from_utf8_lossy(name));
                let block = self.blocks.get(name);
                match block {
                    None if *times > 0 => add(&mut missing, &shown(), *times),
                    Some(block) if block.is_external && block.all.is_empty() && *times > 0 => {
                        add(&mut external, &shown(), *times);
                    }
                    _ => {}
                }
                if let Some(block) = block.filter(|_| seen.insert(name)) {
                    merge(&mut in_blocks, &block.unread);
                    merge(&mut curves, &block.curves);
                    has_too_many |= block.has_too_many;
                    pending.push(block);
                }
            }
        }
        let mut layouts = Kinds::new();
        for (name, block) in &self.blocks {
            if name.to_ascii_uppercase().starts_with(b"*PAPER_SPACE") && !seen.contains(name.as_slice()) {
                merge(&mut layouts, &block.all);
            }
        }
        if !self.drawn.unread.is_empty() {
            losses.push(format!("{} were left out: GDAL does not read them", entities(&self.drawn.unread)));
        }
        if !in_blocks.is_empty() {
            losses.push(format!(
                "of the blocks that are inserted, {} were left out: GDAL does not read them",
                entities(&in_blocks)
            ));
        }
        if !missing.is_empty() && !has_too_many {
            losses.push(format!(
                "{} INSERT entities were left out: the drawing does not have their blocks, {}",
                missing.values().sum::<u64>(),
                names(&missing)
            ));
        }
        if !external.is_empty() {
            losses.push(format!(
                "{} external references (XREF) were left out, which are drawings in other files: {}",
                external.values().sum::<u64>(),
                names(&external)
            ));
        }
        if !layouts.is_empty() {
            losses.push(format!(
                "{} of other layouts were left out: GDAL reads the model and the layout that was open last",
                entities(&layouts)
            ));
        }
        if has_too_many {
            losses.push(format!(
                "the drawing has more than {MAX_BLOCKS} blocks: whether GDAL reads all of them was not checked"
            ));
        }
        let curves = (!curves.is_empty())
            .then(|| format!("GDAL reads curves as short lines: {} were read so", entities(&curves)));
        Found { losses, warnings: curves.into_iter().collect() }
    }
}

/// "12 RAY and 3 REGION entities".
fn entities(kinds: &Kinds) -> String {
    let mut counts: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let last = counts.pop().unwrap_or_default();
    match counts.is_empty() {
        true => format!("{last} entities"),
        false => format!("{} and {last} entities", counts.join(", ")),
    }
}

fn names(kinds: &Kinds) -> String {
    let shown: Vec<&str> = kinds.keys().take(SHOWN).map(String::as_str).collect();
    match kinds.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
