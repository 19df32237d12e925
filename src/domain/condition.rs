//! Conditions on fields, as accepted by `where`: comparisons only.
//!
//! A condition is passed to GDAL, which passes it to SQLite if the input is a SQLite file.
//! Unchecked, it could contain any SQL expression: subqueries on other tables, and functions that
//! load code, open files or contact servers. It is therefore parsed first, against a grammar
//! without any of these:
//!
//! ```text
//! condition  = and { OR and }
//! and        = not { AND not }
//! not        = { NOT } comparison
//! comparison = sum [ sign sum | IS [NOT] NULL | [NOT] (LIKE | ILIKE) sum [ESCAPE text]
//!                  | [NOT] IN ( sum { , sum } ) | [NOT] BETWEEN sum AND sum ]
//! sum        = value { (+ | - | * | / | % | ||) value }
//! value      = { - | + } (number | text | NULL | name | function(…) | CAST(…) | ( condition ))
//! sign       = "=" | "==" | "<>" | "!=" | "<" | "<=" | ">" | ">="
//! ```
//!
//! Names may be in any script, and may contain any character if double-quoted; a table name may
//! precede them. The allowed functions are [`FUNCTIONS`].

use std::iter::Peekable;
use std::str::CharIndices;

/// Functions that depend on their arguments only.
pub const FUNCTIONS: &[&str] = &[
    "abs",
    "coalesce",
    "concat",
    "ifnull",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "replace",
    "round",
    "rtrim",
    "substr",
    "substring",
    "trim",
    "upper",
];

/// Types allowed in `CAST`.
const TYPES: &[&str] = &[
    "bigint",
    "boolean",
    "character",
    "date",
    "datetime",
    "double",
    "float",
    "int",
    "integer",
    "numeric",
    "real",
    "smallint",
    "text",
    "time",
    "timestamp",
    "varchar",
];

/// Words that are not names unless quoted.
const KEYWORDS: &[&str] = &[
    "and",
    "attach",
    "between",
    "case",
    "cast",
    "collate",
    "create",
    "delete",
    "detach",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "filter",
    "from",
    "glob",
    "group",
    "having",
    "ilike",
    "in",
    "insert",
    "intersect",
    "is",
    "isnull",
    "join",
    "like",
    "limit",
    "match",
    "not",
    "notnull",
    "null",
    "on",
    "or",
    "order",
    "over",
    "pragma",
    "raise",
    "regexp",
    "select",
    "then",
    "union",
    "update",
    "using",
    "values",
    "when",
    "where",
    "with",
];

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// Maximum nesting of parentheses, functions and signs.
pub const MAX_DEPTH: usize = 32;

/// Maximum length of a condition, in bytes.
pub const MAX_LENGTH: usize = 16 << 10;

/// Checks a condition.
///
/// # Errors
/// A sentence that says what is not allowed, and where.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("a condition has {MAX_LENGTH} bytes at most"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    parser.condition()?;
    match parser.peek() {
        None => Ok(()),
        Some(_) => Err(parser.unexpected("the end of the condition")),
    }
}

/// A condition with its names in double quotes where they have other characters than those of ASCII:
/// GDAL's own parser does not know them as names otherwise. SQLite does, and takes a quoted name that
/// is none for a text, so it is given the condition as it is.
pub fn quoted_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut copied = 0;
    for token in tokens(text).unwrap_or_default() {
        if let Token::Word(word) = token
            && !word.is_ascii()
        {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            quoted.extend([&text[copied..at], "\"", word, "\""]);
            copied = at + word.len();
        }
    }
    quoted + &text[copied..]
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A double-quoted name.
    Name,
    Text,
    Number,
    Sign(&'a str),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut chars = text.char_indices().peekable();
    let mut tokens = Vec::new();
    while let Some((start, first)) = chars.next() {
        if first.is_ascii() && first.is_ascii_whitespace() {
            continue;
        }
        let token = match first {
            '\'' => quoted(&mut chars, '\'').map(|()| Token::Text),
            '"' => quoted(&mut chars, '"').map(|()| Token::Name),
            '0'..='9' => number(&mut chars),
            '.' if chars.peek().is_some_and(|(_, c)| c.is_ascii_digit()) => number(&mut chars),
            c if begins_word(c) => {
                let end =
                    skip_while(&mut chars, |c| begins_word(c) || c.is_numeric() || is_mark(c), text.len());
                Ok(Token::Word(&text[start..end]))
            }
            _ => sign(text, start, &mut chars).map(Token::Sign),
        };
        tokens.push(
            token.map_err(|what| format!("{what}, at character {}", text[..start].chars().count() + 1))?,
        );
    }
    Ok(tokens)
}

fn begins_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Combining marks that follow their base letter, such as vowel signs in Indic scripts.
fn is_mark(c: char) -> bool {
    !c.is_ascii()
        && !c.is_alphanumeric()
        && !c.is_whitespace()
        && !c.is_control()
        && ('\u{300}'..='\u{1fff}').contains(&c)
}

fn skip_while(chars: &mut Peekable<CharIndices<'_>>, part: impl Fn(char) -> bool, length: usize) -> usize {
    while chars.next_if(|&(_, c)| part(c)).is_some() {}
    chars.peek().map_or(length, |&(at, _)| at)
}

/// Skips the rest of a quoted text; a doubled quote is part of the text.
fn quoted(chars: &mut Peekable<CharIndices<'_>>, quote: char) -> Result<(), String> {
    while let Some((_, c)) = chars.next() {
        if c == '\0' {
            return Err("a NUL character".to_owned());
        }
        // GDAL's own SQL dialect treats a backslash before a quote as an escape, SQLite does not:
        // the two would parse different conditions.
        if c == '\\' && chars.peek().is_some_and(|&(_, next)| next == '\'' || next == '"') {
            return Err("a backslash before a quote: write the quote twice".to_owned());
        }
        if c == quote && chars.next_if(|&(_, next)| next == quote).is_none() {
            return Ok(());
        }
    }
    Err(format!("a {quote} that has no end"))
}

fn number<'a>(chars: &mut Peekable<CharIndices<'_>>) -> Result<Token<'a>, String> {
    let mut exponent = false;
    while let Some((_, c)) = chars.next_if(|&(_, c)| c.is_ascii_digit() || ".eE".contains(c)) {
        exponent = c.eq_ignore_ascii_case(&'e');
        if exponent {
            chars.next_if(|&(_, c)| c == '+' || c == '-');
        }
    }
    match chars.peek() {
        Some(&(_, c)) if begins_word(c) => Err("a number that goes on with a letter".to_owned()),
        _ if exponent => Err("a number without its exponent".to_owned()),
        _ => Ok(Token::Number),
    }
}

fn sign<'a>(text: &'a str, start: usize, chars: &mut Peekable<CharIndices<'_>>) -> Result<&'a str, String> {
    let rest = &text[start..];
    if rest.starts_with("--") || rest.starts_with("/*") {
        return Err("a comment".to_owned());
    }
    const SIGNS: [&str; 19] =
        ["<>", "<=", ">=", "==", "!=", "||", "=", "<", ">", "(", ")", ",", ".", "+", "-", "*", "/", "%", ""];
    let found = SIGNS.iter().find(|sign| rest.starts_with(**sign)).copied().unwrap_or_default();
    if found.is_empty() {
        let c = rest.chars().next().unwrap_or_default();
        return Err(format!("'{}', which a condition cannot have", c.escape_debug()));
    }
    for _ in 1..found.len() {
        chars.next();
    }
    Ok(&rest[..found.len()])
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token<'_>> {
        self.tokens.get(self.at)
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = match self.peek() {
            None => "the condition ends".to_owned(),
            Some(Token::Word(word)) => format!("'{}' stands", word.chars().take(40).collect::<String>()),
            Some(Token::Sign(sign)) => format!("'{sign}' stands"),
            Some(Token::Name) => "a name stands".to_owned(),
            Some(Token::Text) => "a text stands".to_owned(),
            Some(Token::Number) => "a number stands".to_owned(),
        };
        format!("{found} where {wanted} should")
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, signs: &[&str]) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(sign)) if signs.contains(sign));
        self.at += usize::from(found);
        found
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(&[sign]) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    fn condition(&mut self) -> Result<(), String> {
        self.deeper(|this| {
            loop {
                this.all_of()?;
                if !this.take_keyword("or") {
                    return Ok(());
                }
            }
        })
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<(), String> {
        if self.depth == MAX_DEPTH {
            return Err(format!("parts of the condition are nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn all_of(&mut self) -> Result<(), String> {
        loop {
            while self.take_keyword("not") {}
            self.comparison()?;
            if !self.take_keyword("and") {
                return Ok(());
            }
        }
    }

    fn comparison(&mut self) -> Result<(), String> {
        self.sum()?;
        if self.take_sign(&["=", "==", "<>", "!=", "<", "<=", ">", ">="]) {
            return self.sum();
        }
        if self.take_keyword("is") {
            self.take_keyword("not");
            return if self.take_keyword("null") { Ok(()) } else { Err(self.unexpected("NULL")) };
        }
        let negated = self.take_keyword("not");
        if self.take_keyword("like") || self.take_keyword("ilike") {
            self.sum()?;
            if self.take_keyword("escape") {
                return self.literal_text();
            }
            return Ok(());
        }
        if self.take_keyword("in") {
            return self.list();
        }
        if self.take_keyword("between") {
            self.sum()?;
            return if self.take_keyword("and") { self.sum() } else { Err(self.unexpected("AND")) };
        }
        if negated { Err(self.unexpected("LIKE, ILIKE, IN or BETWEEN")) } else { Ok(()) }
    }

    fn literal_text(&mut self) -> Result<(), String> {
        if self.peek() == Some(&Token::Text) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected("a text"))
    }

    /// One or more values in parentheses.
    fn list(&mut self) -> Result<(), String> {
        self.expect_sign("(")?;
        self.deeper(|this| {
            loop {
                this.sum()?;
                if !this.take_sign(&[","]) {
                    return this.expect_sign(")");
                }
            }
        })
    }

    fn sum(&mut self) -> Result<(), String> {
        loop {
            self.value()?;
            if !self.take_sign(&["+", "-", "*", "/", "%", "||"]) {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<(), String> {
        while self.take_sign(&["+", "-"]) {}
        match self.peek() {
            Some(Token::Number | Token::Text) => {
                self.at += 1;
                Ok(())
            }
            Some(Token::Name) => self.name(),
            Some(Token::Sign("(")) => {
                self.at += 1;
                self.condition()?;
                self.expect_sign(")")
            }
            Some(Token::Word(word)) => {
                let word = word.to_ascii_lowercase();
                if word == "null" {
                    self.at += 1;
                    return Ok(());
                }
                if word == "cast" {
                    return self.cast();
                }
                if is_keyword(&word) {
                    return Err(self.unexpected("a value"));
                }
                if self.tokens.get(self.at + 1) == Some(&Token::Sign("(")) {
                    return self.function(&word);
                }
                self.name()
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    /// A field, optionally qualified by its table.
    fn name(&mut self) -> Result<(), String> {
        self.at += 1;
        while self.take_sign(&["."]) {
            match self.peek() {
                Some(Token::Word(word)) if is_keyword(word) => {
                    return Err(self.unexpected("a name"));
                }
                Some(Token::Name | Token::Word(_)) => self.at += 1,
                _ => return Err(self.unexpected("a name")),
            }
        }
        // SQLite calls a function if a quoted name precedes a parenthesis.
        if self.peek() == Some(&Token::Sign("(")) { Err(self.unexpected("a comparison")) } else { Ok(()) }
    }

    fn function(&mut self, name: &str) -> Result<(), String> {
        if !FUNCTIONS.contains(&name) {
            let name: String = name.chars().take(40).collect();
            return Err(format!(
                "the function '{name}' is not allowed; allowed functions are {}",
                FUNCTIONS.join(", ")
            ));
        }
        self.at += 1;
        self.list()
    }

    fn cast(&mut self) -> Result<(), String> {
        self.at += 1;
        self.expect_sign("(")?;
        self.deeper(Self::sum)?;
        if !self.take_keyword("as") {
            return Err(self.unexpected("AS"));
        }
        if !TYPES.iter().any(|kind| self.take_keyword(kind)) {
            return Err(self.unexpected(&format!("one of the types {}", TYPES.join(", "))));
        }
        if self.take_sign(&["("]) {
            loop {
                if self.peek() != Some(&Token::Number) {
                    return Err(self.unexpected("a number"));
                }
                self.at += 1;
                if !self.take_sign(&[","]) {
                    break;
                }
            }
            self.expect_sign(")")?;
        }
        self.expect_sign(")")
    }
}

#[cfg(test)]
mod tests;
