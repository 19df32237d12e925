//! A linter of drawings, for tests.
//!
//! AutoCAD reads groups in an order, and stops at the first that it does not expect; then nothing
//! opens. Readers that run in tests are milder: the audit of ezdxf passes drawings with infinite
//! coordinates, without markers, owners or layers. [`check`] has the rules that AutoCAD is known to
//! enforce, and some that are stricter on purpose: an entity must name its owner, and its layer must
//! have a record.
//!
//! It reads whole files into memory. The feature `lint` enables it; the writer does not use it.

mod classes;
mod data;
mod document;
mod entities;
mod findings;
mod geodata;
mod geometry;
mod handles;
mod header;
mod objects;
mod profile;
mod read;
mod tables;
mod values;

pub use findings::{Finding, Rule};
pub use profile::Profile;
pub use read::{Entity, plain, read};

use document::{Document, Source};
use entities::Checker;
use findings::Findings;

/// What is wrong with a drawing, by lines. At most 1000 findings are kept.
pub fn check(drawing: &[u8], profile: Profile) -> Vec<Finding> {
    let mut findings = Findings::default();
    if let Some(source) = Source::decode(drawing, &mut findings) {
        let tags = source.tags(&mut findings);
        values::check(&tags, source.charset, &mut findings);
        let document = Document::new(&tags, &mut findings);
        header::check(&document, source.version, &mut findings);
        let handles = handles::check(&document, &mut findings);
        let tables = tables::check(&document, &mut findings);
        let checker = Checker { tables: &tables, version: source.version, profile };
        checker.check(&document, &mut findings);
        objects::check(&document, &tables, &handles, &mut findings);
        geodata::check(&document, &tables, source.version, &mut findings);
    }
    findings.into_vec()
}
