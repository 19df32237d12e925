//! The range of keys that begin with a prefix, so that a listing visits only its own rows. SQLite
//! compares texts by their bytes, which in UTF-8 is the order of code points.

use rusqlite::types::Value;

/// Bounds for `key >= lower AND key < upper`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range {
    pub(super) lower: String,
    pub(super) upper: Value,
}

impl Range {
    /// The keys that begin with `prefix` and are greater than `after`.
    pub(super) fn new(prefix: &str, after: &str) -> Self {
        // A single lower bound: of two, SQLite would use the first, and each later page would
        // scan from the first row again.
        let lower = if after < prefix { prefix.to_owned() } else { format!("{after}\0") };
        Self { lower, upper: upper(prefix) }
    }
}

/// The least value that is greater than every text that begins with `prefix`.
pub(super) fn upper(prefix: &str) -> Value {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // If the last code point is the greatest one, the bound is the successor of the text
        // before it.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Value::Text(text);
        }
    }
    // Every text sorts before every blob.
    Value::Blob(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::super::{LIST, LIST_UPLOADS, SCHEMA};
    use super::*;
    use proptest::prelude::*;
    use rusqlite::{Connection, StatementStatus, params};

    /// Texts of few and extreme code points, so that one is often a prefix of another.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!['a', 'b', '\u{7f}', '\u{d7ff}', '\u{e000}', '\u{10ffff}']),
            0..4,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    fn is_below(text: &str, bound: &Value) -> bool {
        match bound {
            Value::Text(bound) => text < bound.as_str(),
            _ => true,
        }
    }

    proptest! {
        #[test]
        fn the_range_of_a_prefix_is_what_begins_with_it(prefix in text(), after in text(), key in text()) {
            let range = Range::new(&prefix, &after);
            let inside = key >= range.lower && is_below(&key, &range.upper);
            prop_assert_eq!(inside, key.starts_with(&prefix) && key > after);
        }
    }

    /// Objects of many jobs, each with an unfinished upload.
    fn index(jobs: u32) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA.tables).unwrap();
        for job in 0..jobs {
            for role in ["processed", "uploads"] {
                let key = format!("{role}/{job:08x}/file");
                connection.execute("INSERT INTO objects VALUES(?1, 'e', 1, 1)", [&key]).unwrap();
                connection.execute("INSERT INTO uploads VALUES(?1, ?1, 1)", [&key]).unwrap();
            }
        }
        // As in an index of an earlier build: the columns that were added are empty.
        (SCHEMA.begin)(&connection).unwrap();
        connection
    }

    /// Rows of a listing, and the steps that SQLite's virtual machine took for it.
    fn list(connection: &Connection, prefix: &str, after: &str, limit: u32) -> (usize, i32) {
        let mut statement = connection.prepare(LIST).unwrap();
        let Range { lower, upper } = Range::new(prefix, after);
        let rows = statement.query_map(params![lower, upper, limit], |_| Ok(())).unwrap().count();
        (rows, statement.get_status(StatementStatus::VmStep))
    }

    #[test]
    fn a_listing_visits_its_own_rows_only() {
        let connection = index(3000);
        // The first job, one in the middle, the last, none, and one after a marker.
        let lists = [
            ("processed/00000000/", "", 1),
            ("processed/000005dc/", "", 1),
            ("uploads/00000bb7/", "", 1),
            ("processed/nobody/", "", 0),
            ("processed/", "processed/00000bb0/file", 7),
            ("uploads/00000001/", "uploads/00000001/file", 0),
            ("", "uploads/00000bb6/file", 1),
        ];
        for (prefix, after, expected) in lists {
            let (rows, steps) = list(&connection, prefix, after, 1001);
            assert_eq!(rows, expected, "{prefix} after {after}");
            assert!(steps < 200, "{prefix} after {after}: {steps} steps for {rows} rows");

            let mut statement = connection.prepare(LIST_UPLOADS).unwrap();
            let marker = if after < prefix { prefix } else { after };
            let id = if after < prefix { "" } else { "~" };
            let rows =
                statement.query_map(params![marker, id, upper(prefix), 1001], |_| Ok(())).unwrap().count();
            let steps = statement.get_status(StatementStatus::VmStep);
            assert_eq!(rows, expected, "uploads: {prefix} after {after}");
            assert!(steps < 200, "uploads: {prefix} after {after}: {steps} steps for {rows} rows");
        }
        // A page of a long listing costs only its own rows.
        let (rows, steps) = list(&connection, "uploads/", "uploads/00000100/file", 100);
        assert!(rows == 100 && steps < 2000, "{steps} steps for {rows} rows");
    }
}
