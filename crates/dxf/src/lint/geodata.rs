//! The object that says where on the earth a drawing lies.

use super::document::{Document, Record, handle};
use super::findings::{Findings, Rule};
use super::tables::Tables;
use crate::version::Version;

/// Groups after the marker, in their order, and how often each may be there.
const GROUPS: &[(&[u16], Times)] = &[
    (&[90, 330, 70, 10, 20, 30, 11, 21, 31, 40, 91, 41, 92, 210, 220, 230, 12, 22], Times::Once),
    (&[95, 141, 294, 142, 143], Times::Once),
    (&[303], Times::Any),
    (&[301], Times::Once),
    (&[302], Times::Optional),
    (&[305], Times::Optional),
    (&[306], Times::Optional),
    (&[307], Times::Optional),
    (&[93], Times::Once),
    (&[13, 23, 14, 24], Times::Any),
    (&[96], Times::Once),
    (&[97, 98, 99], Times::Any),
];

#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    Optional,
    Any,
}

pub(super) fn check(document: &Document<'_>, tables: &Tables<'_>, version: Version, findings: &mut Findings) {
    for object in document.objects.iter().filter(|object| object.kind() == "GEODATA") {
        let mut expect = |so: bool, text: &str| findings.expect(so, Rule::GeoData, object.line(), text);
        expect(version >= Version::R2010, "before R2010");
        let markers: Vec<&str> = object.markers().collect();
        expect(markers == ["AcDbGeoData"], &format!("markers {markers:?}"));
        let own: Vec<_> = object.own().skip_while(|tag| tag.code != 100).skip(1).collect();
        let codes: Vec<u16> = own.iter().map(|tag| tag.code).collect();
        expect(fits(&codes), &format!("groups {codes:?}"));
        let count = |code: u16| codes.iter().filter(|other| **other == code).count() as i64;
        expect(object.int(93) == Some(count(13)), "another number of points in the mesh");
        expect(object.int(96) == Some(count(97)), "another number of faces in the mesh");
        expect(object.int(70).is_some_and(|kind| (0..=3).contains(&kind)), "a kind of coordinates");
        for scale in [40, 41, 141] {
            expect(object.real(scale).is_some_and(|scale| scale != 0.0), "a scale of zero");
        }
        // The block record, its extension dictionary, and the object in that.
        let named = own.iter().find(|tag| tag.code == 330).and_then(|tag| handle(tag.value));
        let record = tables.records("BLOCK_RECORD").find(|record| record.handle() == named);
        let extension = record.and_then(|record| record.get(360)).and_then(handle);
        expect(extension.is_some() && extension == object.owner(), "another owner than the extension");
        let dictionary = document.objects.iter().find(|other| other.handle() == extension);
        let entry = dictionary.and_then(entry);
        expect(entry.is_some() && entry == object.handle(), "the extension has no ACAD_GEOGRAPHICDATA");
    }
}

/// Whether groups are in their order.
fn fits(codes: &[u16]) -> bool {
    let mut rest = codes;
    for (groups, times) in GROUPS {
        let mut count = 0;
        while (count == 0 || *times == Times::Any)
            && let Some(after) = rest.strip_prefix(*groups)
        {
            (rest, count) = (after, count + 1);
        }
        if *times == Times::Once && count == 0 {
            return false;
        }
    }
    rest.is_empty()
}

/// What a dictionary has under the name of the object.
fn entry(dictionary: &Record<'_>) -> Option<u64> {
    let named = dictionary.tags.iter().skip_while(|tag| tag.code != 3 || tag.value != "ACAD_GEOGRAPHICDATA");
    named.skip(1).find(|tag| matches!(tag.code, 350 | 360)).and_then(|tag| handle(tag.value))
}
