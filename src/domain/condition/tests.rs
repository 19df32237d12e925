use super::{FUNCTIONS, MAX_DEPTH, MAX_LENGTH, check};
use proptest::prelude::*;

#[test]
fn comparisons_are_allowed() {
    for text in [
        "continent = 'Africa'",
        "pop_est > 1e6 AND NOT (name LIKE 'A%' or gdp_md <= -2.5)",
        "이름 = '서울' and 인구 >= 10",
        "\"a b\" <> 'it''s' AND t.\"c;d\" is not null",
        "name ILIKE '%x!_%' ESCAPE '!'",
        "a in (1, 2, -3) and b not in ('x') and c between 1 and 2 and d not between 'a' and 'b'",
        "lower(trim(name)) = 'x' or substr(name, 1, 2) || 'y' = 'aby'",
        "CAST(a AS integer(10)) + 1 = .5 * b % 3",
        "a == 1 or b != 2",
        "NOT NOT a = 1",
        "naïve = 'é' AND Größe > 1",
        "हिन्दी = 1",
        "'a; -- b' = c",
        "fid = 7",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn what_reaches_further_is_refused() {
    for text in [
        "",
        "a =",
        "t. select",
        "t.SELECT = 1",
        "load_extension('x') = 1",
        "ogr_geocode('Seoul') is not null",
        "OGR_GEOCODE_REVERSE(1, 2, 'x') = 1",
        "\"ogr_geocode\"('Seoul') is not null",
        "ogr_geocode ('Seoul') is not null",
        "ogr_geocode\n('Seoul') is not null",
        "[ogr_geocode]('Seoul') = 1",
        "`ogr_geocode`('Seoul') = 1",
        "'ogr_geocode'('Seoul') = 1",
        "main.ogr_geocode('x') = 1",
        "lower(ogr_geocode('x')) = 'y'",
        "a in (ogr_layer_extent('x', 'y'))",
        "writefile('/tmp/x', 'y') = 1",
        "BlobFromFile('/etc/passwd') is not null",
        "ST_Area(geom) > 1",
        "a = 1; ATTACH 'x' AS y",
        "a = 1 -- comment",
        "a = 1 /* comment */",
        "a in (select b from t)",
        "(select 1) = 1",
        "exists (select 1)",
        "exists(select 1)",
        "a in t",
        "a in json_each('[1]')",
        "1) union select * from t where (1",
        "1 union select * from t",
        "a = ?",
        "a = :x",
        "a = @x",
        "@/etc/passwd",
        "a = $x",
        "a = x'00'",
        "a glob 'x*'",
        "a regexp 'x'",
        "a match 'x'",
        "a collate nocase = 'x'",
        "case when a then b end = 1",
        "a -> '$.b' = 1",
        "a = 'x' order by b",
        "a = 'x' limit 1",
        "a = 0x10",
        "a = 1e",
        "a = 'x",
        "\"a = 1",
        "a = 'x\\' or 1",
        "a = 1\0",
        "a like 'x' escape b",
        "a is b",
        "cast(a as blob) = 1",
        "raise(ignore)",
        "count(*) > 1",
        "max(*) > 1",
        "a = 1 {t '12'}",
        "lower() = 1",
        "a b",
        "a = = b",
        "и(1)",
    ] {
        assert!(check(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(check(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(check(&nested(MAX_DEPTH)).unwrap_err().contains("nested"));
    // Sequences that do not nest must not use the stack.
    for text in ["not ".repeat(4000), "(".repeat(16000)] {
        let _ = check(&format!("{text} a = 1"));
    }
    let mut deep = "lower(".repeat(2700);
    deep.push('a');
    assert!(check(&deep).is_err());
    let long = format!("a = '{}'", "x".repeat(MAX_LENGTH));
    assert!(check(&long).unwrap_err().contains("bytes"));
    assert!(check(&long[..MAX_LENGTH - 1]).unwrap_err().contains("no end"));
}

/// Everything that looks like a call in a condition: a word or name before a parenthesis.
fn calls(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut in_text = None;
    for c in text.chars() {
        match (in_text, c) {
            (Some(quote), c) if c == quote => in_text = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => {
                in_text = Some(c);
                word = "quoted".to_owned();
            }
            (None, '(') => found.push(std::mem::take(&mut word)),
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() && !word.ends_with(' ') {
                    word.push(' ');
                }
            }
            (None, c) if c.is_alphanumeric() || c == '_' => {
                if word.ends_with(' ') || word == "quoted" {
                    word.clear();
                }
                word.push(c.to_ascii_lowercase());
            }
            (None, _) => word.clear(),
        }
    }
    found.iter().map(|call| call.trim().to_owned()).filter(|call| !call.is_empty()).collect()
}

/// Fragments from which conditions and attacks are built.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "a",
            "이름",
            "\"b c\"",
            "'x'",
            "''",
            "1",
            "2.5e3",
            "(",
            ")",
            ",",
            "=",
            "<>",
            "<",
            "||",
            "+",
            "-",
            "and",
            "or",
            "not",
            "is",
            "null",
            "in",
            "like",
            "between",
            "lower(",
            "coalesce(",
            "cast(",
            "as",
            "integer",
            "ogr_geocode(",
            "load_extension(",
            "select",
            "from",
            ";",
            "--",
            "/*",
            "*",
            ".",
            "\"",
            "'",
            "[",
            "`",
            "\\",
            "\"ogr_geocode\"",
            "max",
            "t.",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
    ];
    proptest::collection::vec((piece, proptest::sample::select(vec!["", " ", "\n"])), 0..14)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, blank)| piece + blank).collect())
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,60}") {
        let _ = check(&text);
    }

    /// An accepted condition calls only listed functions, and outside quoted text it contains no
    /// `SELECT`, no statement terminator and no comment.
    #[test]
    fn what_is_accepted_calls_only_what_is_listed(text in pieces()) {
        if check(&text).is_ok() {
            for call in calls(&text) {
                let allowed = FUNCTIONS.contains(&call.as_str())
                    || ["and", "or", "not", "in", "cast", "like", "ilike", "between", "integer"].contains(&call.as_str());
                prop_assert!(allowed, "{} calls {}", text, call);
            }
            let bare: String = text.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
            let bare: String = bare.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            for forbidden in ["select", ";", "--", "/*", "ogr_geocode(", "load_extension"] {
                prop_assert!(!bare.to_ascii_lowercase().split(|c: char| c.is_whitespace() || "(),".contains(c)).any(|word| word == forbidden), "{}", text);
            }
        }
    }
}

#[test]
fn names_in_other_scripts_are_quoted() {
    for (text, quoted) in [
        ("이름='서울'", "\"이름\"='서울'"),
        ("a = 1 AND 도로.폭 > 2", "a = 1 AND \"도로\".\"폭\" > 2"),
        ("\"이름\" LIKE 'é''한'", "\"이름\" LIKE 'é''한'"),
        ("naïve2 IS NOT NULL", "\"naïve2\" IS NOT NULL"),
        ("a = 'x'", "a = 'x'"),
    ] {
        assert_eq!(super::quoted_names(text), quoted);
        assert_eq!(super::check(quoted), Ok(()));
    }
}
