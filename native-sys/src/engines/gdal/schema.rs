//! Parses one statement of a SQLite schema: whether it creates a virtual table, and with which
//! module.
//!
//! Statements come from an untrusted file and may use anything that SQLite's tokenizer accepts:
//! comments and line breaks between words, names in four kinds of quotes, any case.

/// Virtual table modules that keep all data in the database itself.
///
/// The last four are in every SpatiaLite database: they search its own indices.
const MODULES: &[&str] = &[
    "rtree",
    "rtree_i32",
    "fts3",
    "fts4",
    "fts5",
    "VirtualSpatialIndex",
    "VirtualElementary",
    "VirtualKNN",
    "VirtualKNN2",
];

/// Validates a statement of a schema.
///
/// # Errors
/// A message that names the cause.
pub(super) fn validate(sql: &str) -> Result<(), String> {
    // SQLite parses the statement up to the first NUL, and only if it begins with CREATE.
    let mut words = Words(sql.split('\0').next().unwrap_or_default());
    let unclear = || Err("its schema has a statement that cannot be read".to_owned());
    if !words.next_is("create") {
        return if sql.trim().is_empty() { Ok(()) } else { unclear() };
    }
    let mut kind = words.next();
    if kind.as_ref().is_some_and(|word| word.is_any(&["temp", "temporary"])) {
        kind = words.next();
    }
    let Some(kind) = kind else { return unclear() };
    if kind.is_any(&["table", "view", "index", "unique", "trigger"]) {
        return Ok(());
    }
    if !kind.is("virtual") || !words.next_is("table") {
        return unclear();
    }
    let Some(mut name) = words.next() else { return unclear() };
    if name.is("if") {
        if !words.next_is("not") || !words.next_is("exists") {
            return unclear();
        }
        let Some(after) = words.next() else { return unclear() };
        name = after;
    }
    let mut after = words.next();
    if after.as_ref().is_some_and(|word| word.is(".")) {
        if words.next().is_none() {
            return unclear();
        }
        after = words.next();
    }
    let (Some(using), Some(module)) = (after, words.next()) else { return unclear() };
    if !using.is("using") {
        return unclear();
    }
    let is_known = MODULES.iter().any(|allowed| allowed.eq_ignore_ascii_case(&module.text));
    // FTS tables can be compressed with functions that the table names.
    let calls = words.0.to_ascii_lowercase().contains("compress");
    if is_known && !calls {
        return Ok(());
    }
    let shorten = |text: &str| text.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
    Err(format!(
        "its table '{}' is a virtual one, of the module '{}'",
        shorten(&name.text),
        shorten(&module.text)
    ))
}

struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    /// Whether it is this keyword or symbol; a quoted name is neither.
    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }

    fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

/// The tokens of a statement.
struct Words<'a>(&'a str);

impl Words<'_> {
    fn next_is(&mut self, keyword: &str) -> bool {
        self.next().is_some_and(|word| word.is(keyword))
    }

    fn skip_blank(&mut self) {
        loop {
            // SQLite's white space: only these five, no other Unicode white space.
            self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\x0c', '\r']);
            if let Some(comment) = self.0.strip_prefix("--") {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Word> {
        self.skip_blank();
        let first = self.0.chars().next()?;
        if let Some(end) = closing(first) {
            return self.quoted(end);
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let length = match self.0.find(|c| !is_part(c)) {
            // A single symbol.
            Some(0) => first.len_utf8(),
            Some(end) => end,
            None => self.0.len(),
        };
        let (text, rest) = self.0.split_at(length);
        let text = text.to_owned();
        self.0 = rest;
        Some(Word { text, quoted: false })
    }

    /// A quoted name, in which the closing quote is escaped by doubling it.
    fn quoted(&mut self, end: char) -> Option<Word> {
        let mut text = String::new();
        let mut rest = &self.0[1..];
        loop {
            let (part, after) = rest.split_once(end)?;
            text.push_str(part);
            rest = after;
            if end == ']' || !rest.starts_with(end) {
                self.0 = rest;
                return Some(Word { text, quoted: true });
            }
            text.push(end);
            rest = &rest[1..];
        }
    }
}

fn closing(first: char) -> Option<char> {
    match first {
        '"' | '\'' | '`' => Some(first),
        '[' => Some(']'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::validate;
    use proptest::prelude::*;

    #[test]
    fn what_stays_in_the_database_is_allowed() {
        for sql in [
            "CREATE TABLE t (a DECIMAL(10,2) DEFAULT (1), \"virtual\" TEXT)",
            "CREATE VIEW v AS SELECT * FROM t",
            "CREATE UNIQUE INDEX i ON t(a)",
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE VIRTUAL TABLE \"rtree_t_geom\" USING rtree(id, minx, maxx, miny, maxy)",
            "create virtual table main.[x y] using FTS5(a, tokenize='trigram')",
            "CREATE VIRTUAL TABLE SpatialIndex USING VirtualSpatialIndex()",
            "CREATE VIRTUAL TABLE IF NOT EXISTS '도로' USING \"rtree\"(id, a, b)",
            "",
        ] {
            assert_eq!(validate(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn other_modules_are_refused_however_they_are_written() {
        for sql in [
            "CREATE VIRTUAL TABLE v USING VirtualText('/etc/passwd', 'UTF-8', 0)",
            "create\tvirtual\n table\x0cv\rusing virtualogr('/etc/passwd')",
            "CREATE/**/VIRTUAL/* USING rtree */TABLE v/**/USING--rtree(\nVirtualShape('/x')",
            "CREATE VIRTUAL TABLE IF NOT EXISTS a.\"USING rtree(\"\"\" USING [VirtualDbf]('/x')",
            "CREATE VIRTUAL TABLE `using` USING 'VirtualXL'('/x')",
            "CREATE TEMP VIRTUAL TABLE v USING VirtualText(1)",
            "CREATE VIRTUAL TABLE rtree USING csv(filename='/etc/passwd')",
            "CREATE VIRTUAL TABLE v USING \"rtree \"(a)",
            "CREATE VIRTUAL TABLE v USING dbstat\0 USING rtree(a)",
            "CREATE VIRTUAL TABLE if USING VirtualText('/x')",
            "CREATE VIRTUAL TABLE v USING fts4(a, UnCompress=sqlproc_execute)",
            "CREATE VIRTUAL TABLE",
            "CREATE",
            "CREATE VIRTUAL TABLE v USING 'rtree",
            "SELECT load_extension('x')",
        ] {
            assert!(validate(sql).is_err(), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_statement_is_a_panic(sql in ".{0,200}") {
            let _ = validate(&sql);
        }

        /// The module is found, whatever stands between the words.
        #[test]
        fn the_module_is_found(
            blank in r"([ \t\n\r]|/\*[a-z ]{0,8}\*/|--[a-z ]{0,8}\n){1,4}",
            name in "[a-zA-Z_가-힣][a-zA-Z0-9_가-힣]{0,8}",
            module in "[a-zA-Z][a-zA-Z0-9_]{0,12}",
        ) {
            prop_assume!(!["if", "using"].contains(&name.to_ascii_lowercase().as_str()));
            let sql = format!("CREATE{blank}VIRTUAL{blank}TABLE{blank}{name}{blank}USING{blank}{module}{blank}(x)");
            let allowed = super::MODULES.iter().any(|known| known.eq_ignore_ascii_case(&module));
            prop_assert_eq!(validate(&sql).is_ok(), allowed, "{}", sql);
        }
    }
}
