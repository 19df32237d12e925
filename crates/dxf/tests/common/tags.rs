//! A drawing as tags, for planting faults.

/// A group code and its value.
type Tag = (u16, Vec<u8>);

#[derive(Default)]
pub struct Tags {
    pub before: Vec<u8>,
    tags: Vec<Tag>,
    pub after: Vec<u8>,
}

impl Tags {
    pub fn parse(drawing: &[u8]) -> Self {
        let text = drawing.strip_suffix(b"\n").unwrap();
        let lines: Vec<&[u8]> =
            text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap()).collect();
        let code = |line: &[u8]| str::from_utf8(line).unwrap().trim().parse().unwrap();
        let tags = lines.chunks(2).map(|pair| (code(pair[0]), pair[1].to_vec())).collect();
        Self { tags, ..Self::default() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        for (code, value) in &self.tags {
            out.extend_from_slice(format!("{code:3}\r\n").as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.after);
        out
    }

    fn position_from(&self, from: usize, code: u16, value: &str) -> usize {
        let found = self.tags[from..].iter().position(|tag| tag.0 == code && tag.1 == value.as_bytes());
        from + found.unwrap_or_else(|| panic!("no {code} {value}"))
    }

    fn position(&self, code: u16, value: &str) -> usize {
        self.position_from(0, code, value)
    }

    fn end(&self, begin: usize) -> usize {
        begin + 1 + self.tags[begin + 1..].iter().take_while(|tag| tag.0 != 0).count()
    }

    /// The first record of a kind in the entities that has this group, or elsewhere.
    fn record_with(&self, kind: &str, code: u16) -> (usize, usize) {
        let entities = self.position(2, "ENTITIES");
        let has = |begin: &usize| {
            let tag = &self.tags[*begin];
            tag.0 == 0
                && tag.1 == kind.as_bytes()
                && self.tags[*begin + 1..self.end(*begin)].iter().any(|tag| tag.0 == code)
        };
        let all = (entities..self.tags.len()).chain(0..entities);
        let begin = all.clone().find(has).unwrap_or_else(|| panic!("no {kind} with {code}"));
        (begin, self.end(begin))
    }

    fn tag_of(&self, kind: &str, code: u16) -> usize {
        let (begin, end) = self.record_with(kind, code);
        (begin + 1..end).find(|at| self.tags[*at].0 == code).unwrap()
    }

    pub fn set(&mut self, kind: &str, code: u16, value: &[u8]) {
        let at = self.tag_of(kind, code);
        self.tags[at].1 = value.to_vec();
    }

    pub fn remove(&mut self, kind: &str, code: u16) {
        let at = self.tag_of(kind, code);
        self.tags.remove(at);
    }

    fn last_of(&self, kind: &str, code: u16, before: usize) -> usize {
        let (begin, end) = self.record_with(kind, code);
        (begin + 1..end).rev().filter(|at| self.tags[*at].0 == code).nth(before).unwrap()
    }

    pub fn remove_last(&mut self, kind: &str, code: u16) {
        let at = self.last_of(kind, code, 0);
        self.tags.remove(at);
    }

    /// Sets the last tag with this code, or one of those before it.
    pub fn set_last(&mut self, kind: &str, code: u16, before: usize, value: &str) {
        let at = self.last_of(kind, code, before);
        self.tags[at].1 = value.into();
    }

    pub fn insert_after(&mut self, kind: &str, code: u16, new: u16, value: &str) {
        let at = self.tag_of(kind, code);
        self.tags.insert(at + 1, (new, value.into()));
    }

    /// At the end of a record.
    pub fn append(&mut self, kind: &str, code: u16, value: &str) {
        let (_, end) = self.record_with(kind, first_code(kind));
        self.tags.insert(end, (code, value.into()));
    }

    pub fn swap(&mut self, kind: &str, first: u16, second: u16) {
        let (begin, end) = self.record_with(kind, first);
        let at = |code| (begin + 1..end).find(|at| self.tags[*at].0 == code).unwrap();
        let (first, second) = (at(first), at(second));
        self.tags.swap(first, second);
    }

    pub fn remove_value(&mut self, code: u16, value: &str) {
        let at = self.position(code, value);
        self.tags.remove(at);
    }

    /// Renames the first.
    pub fn rename(&mut self, code: u16, from: &str, to: &str) {
        let at = self.position(code, from);
        self.tags[at].1 = to.into();
    }

    pub fn swap_values(&mut self, code: u16, first: &str, second: &str) {
        let (first, second) = (self.position(code, first), self.position(code, second));
        self.tags.swap(first, second);
    }

    /// Sets a group after a name.
    pub fn set_of(&mut self, name: &str, code: u16, value: &str) {
        let from = self.position(2, name);
        let at = from + self.tags[from..].iter().position(|tag| tag.0 == code).unwrap();
        self.tags[at].1 = value.into();
    }

    pub fn insert_before(&mut self, kind: &str, new: &[(u16, &str)]) {
        let at = self.position(0, kind);
        self.tags.splice(at..at, new.iter().map(|(code, value)| (*code, value.as_bytes().to_vec())));
    }

    pub fn remove_record(&mut self, kind: &str) {
        let begin = self.position(0, kind);
        self.tags.drain(begin..self.end(begin));
    }

    pub fn remove_record_after(&mut self, before: &str, kind: &str) {
        let begin = self.position_from(self.position(0, before), 0, kind);
        self.tags.drain(begin..self.end(begin));
    }

    fn section(&self, name: &str) -> (usize, usize) {
        let begin = self.position(2, name) - 1;
        (begin, self.position_from(begin, 0, "ENDSEC") + 1)
    }

    pub fn remove_section(&mut self, name: &str) {
        let (begin, end) = self.section(name);
        self.tags.drain(begin..end);
    }

    pub fn move_section(&mut self, name: &str, before: &str) {
        let (begin, end) = self.section(name);
        let section: Vec<Tag> = self.tags.drain(begin..end).collect();
        let at = self.section(before).0;
        self.tags.splice(at..at, section);
    }

    pub fn remove_table(&mut self, name: &str) {
        let begin = self.position(2, name) - 1;
        let end = self.position_from(begin, 0, "ENDTAB") + 1;
        self.tags.drain(begin..end);
    }

    pub fn remove_block(&mut self, name: &str) {
        let name = self.position_from(self.position(2, "BLOCKS"), 2, name);
        let begin = (0..name).rev().find(|at| self.tags[*at].0 == 0).unwrap();
        let end = self.position_from(begin, 0, "ENDBLK");
        self.tags.drain(begin..self.end(end));
    }

    pub fn variable(&mut self, name: &str, code: u16, value: &str) {
        let at = self.position(9, name) + 1;
        self.tags[at] = (code, value.into());
    }

    pub fn recode_variable(&mut self, name: &str, code: u16) {
        let at = self.position(9, name) + 1;
        self.tags[at].0 = code;
    }

    pub fn remove_variable(&mut self, name: &str) {
        let at = self.position(9, name);
        self.tags.drain(at..at + 2);
    }

    pub fn add_variable(&mut self, name: &str, code: u16, value: &str) {
        let at = self.position(0, "ENDSEC");
        self.tags.splice(at..at, [(9, name.into()), (code, value.into())]);
    }

    /// Leaves so many vertices in the first LWPOLYLINE.
    pub fn keep_vertices(&mut self, count: usize) {
        let (begin, end) = self.record_with("LWPOLYLINE", 90);
        let at = (begin..end).filter(|at| self.tags[*at].0 == 10).nth(count).unwrap();
        let end = (at..end).find(|at| self.tags[*at].0 >= 1000).unwrap_or(end);
        self.tags.drain(at..end);
        self.set("LWPOLYLINE", 90, count.to_string().as_bytes());
    }

    pub fn set_polyface(&mut self, code: u16, value: &str) {
        let from = self.position(100, "AcDbPolyFaceMesh");
        let at = from + self.tags[from..].iter().position(|tag| tag.0 == code).unwrap();
        self.tags[at].1 = value.into();
    }

    pub fn set_face(&mut self, value: &str) {
        let from = self.position(100, "AcDbFaceRecord");
        let at = from + self.tags[from..].iter().position(|tag| tag.0 == 72).unwrap();
        self.tags[at].1 = value.into();
    }
}

/// A group of the records of a kind that faults are planted in.
fn first_code(kind: &str) -> u16 {
    match kind {
        "CLASS" => 1,
        "LINE" => 1001,
        _ => 5,
    }
}
