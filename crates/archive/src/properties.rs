//! Properties that hold for every input.

use super::table::limits;
use super::tests::{Feeding, read_all};
use crate::archive_fixtures::{Case, DESCRIPTOR, Member, Zip, Zip64, cases, zip64};
use proptest::prelude::*;
use std::sync::LazyLock;

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        (any::<u8>(), 0usize..30_000).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

/// A valid entry, of any form that the generator can produce.
fn member(name: String) -> impl Strategy<Value = (String, Vec<u8>, Member)> {
    (content(), 0..17, 0..3).prop_map(move |(content, form, spelling)| {
        let spelt = match spelling {
            0 => name.clone(),
            1 => format!("./{name}"),
            _ => name.replace('/', "\\"),
        };
        let deflated = Member::deflated(&spelt, &content);
        let stored = Member::stored(&spelt, &content);
        let (packed, expanded) = (deflated.data.len() as u64, content.len() as u64);
        let member = match form {
            0 => stored,
            1 => deflated.streamed(true, false),
            2 => deflated.streamed(false, false),
            3 => deflated.streamed(true, true).wide_local(0, 0),
            4 => deflated.wide_local(packed, expanded),
            5 => deflated.streamed(true, true),
            6 => deflated.streamed(false, true),
            7 => deflated.streamed(true, false).central(|h| h.flags = 0),
            8 => deflated.central(|h| h.flags = DESCRIPTOR),
            9 => deflated.both(|h| h.extra = zip64(&[expanded, packed])),
            10 => deflated.central(|h| h.extra = zip64(&[expanded])),
            11 => deflated.central(|h| {
                (h.extra, h.expanded, h.packed) = (zip64(&[expanded, packed]), u32::MAX, u32::MAX);
            }),
            12 => stored.streamed(true, false),
            13 => stored.streamed(true, true).wide_local(0, 0),
            14 => Member::deflated64(&spelt, &content),
            15 => Member::deflated64(&spelt, &content).streamed(true, false),
            _ => deflated,
        };
        (name.clone(), content, member)
    })
}

fn archive() -> impl Strategy<Value = (Vec<(String, Vec<u8>)>, Vec<u8>)> {
    let members = (1usize..5)
        .prop_flat_map(|count| (0..count).map(|n| member(format!("d/{n}.obj")).boxed()).collect::<Vec<_>>());
    let zip64 = prop_oneof![Just(Zip64::Without), Just(Zip64::Beside), Just(Zip64::Instead)];
    (members, zip64, "[a-z ]{0,40}").prop_map(|(members, zip64, comment)| {
        let expected = members.iter().map(|(name, content, _)| (name.clone(), content.clone())).collect();
        let members = members.into_iter().map(|(_, _, member)| member).collect();
        (expected, Zip { members, zip64, comment: comment.into_bytes(), ..Zip::default() }.bytes())
    })
}

proptest! {
    /// What is read equals what was written, whatever the size of the pieces.
    #[test]
    fn good_archives_are_read_as_they_are((expected, bytes) in archive(), piece in 1usize..5000) {
        prop_assert_eq!(&read_all(&bytes, &limits(), Feeding::Whole).unwrap(), &expected);
        prop_assert_eq!(&read_all(&bytes, &limits(), Feeding::Pieces(piece)).unwrap(), &expected);
    }

    /// No single flipped bit in a valid archive yields different content.
    #[test]
    fn a_flipped_bit_changes_no_content((expected, bytes) in archive(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1u8 << bit;
        // Timestamps, comments and similar fields may change without effect.
        if let Ok(read) = read_all(&flipped, &limits(), Feeding::Whole) {
            prop_assert_eq!(read, expected);
        }
    }

    /// Every truncation is detected.
    #[test]
    fn no_prefix_is_an_archive((_, bytes) in archive(), at in any::<prop::sample::Index>()) {
        prop_assert!(read_all(&bytes[..at.index(bytes.len())], &limits(), Feeding::Whole).is_err());
    }

    /// Any bytes yield a result, and the same one when fed in pieces.
    #[test]
    fn damaged_cases_have_one_verdict(
        case in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        piece in 1usize..100,
    ) {
        static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);
        let mut bytes = case.get(&CASES).bytes.clone();
        if !bytes.is_empty() {
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let whole = read_all(&bytes, &limits(), Feeding::Whole).ok();
        prop_assert_eq!(read_all(&bytes, &limits(), Feeding::Pieces(piece)).ok(), whole);
    }
}
