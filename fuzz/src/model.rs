//! Structure-aware mutation of archives: parses bytes as an archive, changes one or more of its
//! records, and writes it again with matching offsets and lengths. So most inputs get past the
//! first check.

use crate::fixtures::{DESCRIPTOR, Header, Member, Zip, Zip64, deflate, extra, unicode_path, zip64};

/// Random numbers from a seed (xorshift64*): the same seed gives the same mutation.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    fn of<T: Clone>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())].clone()
    }
}

/// Parses bytes as an archive, as a lenient reader would.
pub fn parse(bytes: &[u8]) -> Option<Zip> {
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06")?;
    let mut at = u32_at(bytes, end + 16)? as usize;
    if at == u32::MAX as usize {
        let locator = end.checked_sub(20)?;
        at = u32_at(bytes, u32_at(bytes, locator + 8)? as usize + 48)? as usize;
    }
    let directory = at;
    let mut members = Vec::new();
    while bytes.get(at..at + 4)? == b"PK\x01\x02" && members.len() < 70 {
        let (name, extra, comment) =
            (u16_at(bytes, at + 28)?, u16_at(bytes, at + 30)?, u16_at(bytes, at + 32)?);
        let central = header(bytes, at + 6, at + 46)?;
        let local_at = u32_at(bytes, at + 42)? as usize;
        let local = header(bytes, local_at.checked_add(4)?, local_at.checked_add(30)?)?;
        let data_at = local_at + 30 + local.name.len() + local.extra.len();
        let data = bytes.get(data_at..data_at.checked_add(central.packed as usize)?)?.to_vec();
        let comment_at = at + 46 + usize::from(name) + usize::from(extra);
        let member = Member {
            local,
            central,
            data,
            attributes: u32_at(bytes, at + 38)?,
            comment: bytes.get(comment_at..comment_at + usize::from(comment))?.to_vec(),
            is_there: true,
            is_listed: true,
            ..Member::default()
        };
        members.push((local_at, data_at, member));
        at = comment_at + usize::from(comment);
    }
    members.sort_by_key(|m| m.0);
    let ends: Vec<usize> = members.iter().skip(1).map(|m| m.0).chain([directory]).collect();
    for ((_, data_at, member), end) in members.iter_mut().zip(ends) {
        member.descriptor = bytes.get(*data_at + member.data.len()..end).unwrap_or(&[]).to_vec();
    }
    let zip64 = match u16_at(bytes, end + 10)? {
        u16::MAX => Zip64::Instead,
        _ if end >= 20 && bytes[end - 20..].starts_with(b"PK\x06\x07") => Zip64::Beside,
        _ => Zip64::Without,
    };
    let comment = bytes.get(end + 22..)?.to_vec();
    Some(Zip { members: members.into_iter().map(|m| m.2).collect(), zip64, comment, ..Zip::default() })
}

fn header(bytes: &[u8], at: usize, name_at: usize) -> Option<Header> {
    let (name, extra) = (u16_at(bytes, at + 22)? as usize, u16_at(bytes, at + 24)? as usize);
    Some(Header {
        needs: u16_at(bytes, at)?,
        flags: u16_at(bytes, at + 2)?,
        method: u16_at(bytes, at + 4)?,
        crc: u32_at(bytes, at + 10)?,
        packed: u32_at(bytes, at + 14)?,
        expanded: u32_at(bytes, at + 18)?,
        name: bytes.get(name_at..name_at + name)?.to_vec(),
        extra: bytes.get(name_at + name..name_at + name + extra)?.to_vec(),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Changes one thing.
pub fn mutate(zip: &mut Zip, dice: &mut Dice) {
    if zip.members.is_empty() || dice.below(12) == 0 {
        let member = new_member(dice);
        let at = dice.below(zip.members.len() + 1);
        return zip.members.insert(at, member);
    }
    match dice.below(16) {
        0 => zip.zip64 = dice.of(&[Zip64::Without, Zip64::Beside, Zip64::Instead]),
        1 => {
            zip.comment = dice.of(&[&b""[..], b"comment", b"PK\x05\x06", b"PK\x01\x02", b"\x00\xff"]).to_vec()
        }
        2 if dice.below(4) == 0 => zip.prefix = dice.of(&[&b""[..], b"PK\x03\x04", b"#!"]).to_vec(),
        3 if dice.below(4) == 0 => zip.suffix = dice.of(&[&b""[..], b"\0", b"PK\x05\x06"]).to_vec(),
        4 if dice.below(4) == 0 => zip.after_directory = dice.of(&[&b""[..], b"\0", b"PK\x06\x07"]).to_vec(),
        5 => drop(zip.members.remove(dice.below(zip.members.len()))),
        6 => {
            let (a, b) = (dice.below(zip.members.len()), dice.below(zip.members.len()));
            zip.members.swap(a, b);
        }
        _ => {
            let at = dice.below(zip.members.len());
            mutate_member(&mut zip.members[at], dice);
        }
    }
}

const NAMES: &[&[u8]] = &[
    b"a",
    b"A",
    b"a/",
    b"a/b",
    b"a/b/",
    b"-",
    b"b.obj",
    b"a b",
    b"~",
    b"a:b",
    b"ab:c",
    b"*",
    b"?",
    b"a.",
    b"a ",
    b" a",
    b"\xea\xb0\x80",
    b"\xb0\xa1",
    b"Gr\x81\xe1e",
    b"e\xcc\x81",
    b"\xc3\xa9",
    b"con",
    b"-rf",
    b"--",
    b"@list",
    b"%s",
    b"\"",
    b"'",
    b"a;1",
    b"...",
    b"..a",
    b"META-INF/MANIFEST.MF",
    b"\xef\xbb\xbfa",
    b"a\xff",
    b"[a]",
    b"$a",
    b"a/../b",
    b"./a",
    b"./",
    b"/",
    b".",
    b"a\\b",
    b"a\\",
    b".\\a",
    b"a\\..\\b",
    b"a\\b/c",
];

fn new_member(dice: &mut Dice) -> Member {
    let content = dice.of(&[
        &b""[..],
        b"x",
        b"content content content content",
        b"PK\x03\x04PK\x05\x06",
        b"x\x83\x16\xdc\x8c\x01\0\0\0\x01\0\0\0PK\x03\x04",
        b"PK\x07\x08\0\0\0\0\0\0\0\0\0\0\0\0",
    ]);
    let mut member = Member::new(dice.of(NAMES), dice.of(&[0, 8, 9]), content);
    if dice.below(3) == 0 {
        member = member.streamed(dice.below(2) == 0, false);
    }
    member
}

fn mutate_member(member: &mut Member, dice: &mut Dice) {
    match dice.below(16) {
        0 => {
            member.attributes = dice.of(&[
                0,
                0x10,
                0x20,
                0x8000,
                0o100_644 << 16,
                0o040_755 << 16 | 0x10,
                0o010_600 << 16,
                0o777 << 16,
                0o104_755 << 16,
                1 << 24,
            ])
        }
        1 => member.comment = dice.of(&[&b""[..], b"c", b"PK\x05\x06"]).to_vec(),
        2 => {
            let content = dice.of(&[&b""[..], b"y", b"another content", &[0; 300]]);
            let fresh = Member::new(&member.central.name, dice.of(&[0, 8, 9]), content);
            (member.data, member.descriptor) = (fresh.data, Vec::new());
            (member.local, member.central) = (fresh.local, fresh.central);
        }
        3 => {
            let plain = Member { descriptor: Vec::new(), ..member.clone() };
            *member = plain.streamed(dice.below(2) == 0, dice.below(4) == 0);
        }
        4 => {
            let (packed, expanded) =
                dice.of(&[(0, 0), (u64::from(member.central.packed), u64::from(member.central.expanded))]);
            *member = member.clone().wide_local(packed, expanded);
        }
        5 if member.central.method == 0 => {
            member.data = deflate(&member.data);
            let length = member.data.len() as u32;
            each(member, |h| (h.method, h.packed) = (8, length));
        }
        6 => mutate_header(&mut member.local, dice),
        7 => mutate_header(&mut member.central, dice),
        14 => {
            // Every number in the zip64 field, and perhaps in the record too.
            let (packed, expanded) = (member.central.packed, member.central.expanded);
            let count = 1 + dice.below(2);
            member.central.extra.extend(zip64(&[expanded.into(), packed.into()][..count]));
            if dice.below(2) == 0 {
                member.central.expanded = u32::MAX;
            }
        }
        15 => {
            let header = if dice.below(2) == 0 { &mut member.local } else { &mut member.central };
            header.flags ^= DESCRIPTOR;
        }
        8 => {
            let extra = new_extra(&member.central.name, dice);
            each(member, |h| h.extra.extend(&extra));
        }
        _ => {
            let mut changed = member.central.clone();
            mutate_header(&mut changed, dice);
            let central = std::mem::replace(&mut member.central, changed.clone());
            // A difference between the headers is kept: the sizes of a streamed entry.
            let sizes = (member.local.crc, member.local.packed, member.local.expanded);
            member.local = changed;
            if sizes != (central.crc, central.packed, central.expanded) {
                (member.local.crc, member.local.packed, member.local.expanded) = sizes;
            }
        }
    }
}

fn each(member: &mut Member, change: impl Fn(&mut Header)) {
    change(&mut member.local);
    change(&mut member.central);
}

fn mutate_header(header: &mut Header, dice: &mut Dice) {
    match dice.below(10) {
        0 => header.needs = dice.of(&[0, 10, 20, 21, 45, 46, 63, 788]),
        1 | 2 => header.flags ^= 1 << dice.below(16),
        3 => header.method = dice.of(&[0, 8, 9, 12, 14, 93]),
        4 => header.crc ^= 1 << dice.below(32),
        5 => header.packed = header.packed.wrapping_add(dice.of(&[1, u32::MAX])),
        6 => header.expanded = header.expanded.wrapping_add(dice.of(&[1, u32::MAX])),
        7 | 8 => header.name = dice.of(NAMES).to_vec(),
        _ => {
            let field = new_extra(&header.name, dice);
            header.extra.extend(field);
        }
    }
}

fn new_extra(name: &[u8], dice: &mut Dice) -> Vec<u8> {
    match dice.below(8) {
        0 => zip64(&[0]),
        1 => zip64(&[1, 1]),
        2 => unicode_path(name, &String::from_utf8_lossy(name)),
        3 => unicode_path(name, "other"),
        4 => extra(0x5455, &[3, 0, 0, 0, 0, 0, 0, 0, 0]),
        5 => extra(0x7875, &[1, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0]),
        6 => extra(dice.below(1 << 16) as u16, &[0; 4]),
        _ => extra(
            dice.of(&[0x000a, 0x000d, 0x5855, 0x6375, 0x756e, 0x7855, 0xcafe, 0xd935, 0xe57a]),
            &[0; 12],
        ),
    }
}
