//! Extended data.

use super::document::Record;
use super::findings::{Findings, Rule};
use super::tables::Tables;
use std::collections::HashSet;

/// Bytes that an entity's extended data may take.
const LONGEST: usize = 16_383;

pub(super) fn check(entity: &Record<'_>, tables: &Tables<'_>, findings: &mut Findings) {
    let line = entity.line();
    let Some(begin) = entity.tags.iter().position(|tag| tag.code >= 1000) else { return };
    let data = &entity.tags[begin..];
    let only = data.iter().all(|tag| tag.code >= 1000);
    findings.expect(only, Rule::DataPosition, line, "groups follow extended data");
    let starts = data[0].code == 1001;
    findings.expect(starts, Rule::DataApplication, line, "extended data without an application");
    let mut seen = HashSet::new();
    let (mut depth, mut size) = (0i32, 0);
    for tag in data.iter().filter(|tag| tag.code >= 1000) {
        size += match tag.code {
            1000 | 1003 => 3 + tag.value.len(),
            1001 => {
                let known = tables.get("APPID", tag.value).is_some();
                findings.expect(known, Rule::DataApplication, tag.line, tag.value);
                let first = seen.insert(tag.value.to_lowercase());
                findings.expect(first, Rule::DataApplication, tag.line, "an application twice");
                findings.expect(depth == 0, Rule::DataBraces, tag.line, "an application within braces");
                3
            }
            1002 => {
                depth += match tag.value {
                    "{" => 1,
                    "}" => -1,
                    _ => {
                        findings.add(Rule::DataBraces, tag.line, tag.value);
                        0
                    }
                };
                findings.expect(depth >= 0, Rule::DataBraces, tag.line, "a brace without another");
                2
            }
            1004 => 2 + tag.value.len() / 2,
            1005 => 9,
            1010..=1033 => 8,
            1040..=1042 => 9,
            1070 => 3,
            1071 => 5,
            _ => {
                findings.add(Rule::DataSize, tag.line, format!("group {}", tag.code));
                0
            }
        };
    }
    findings.expect(depth == 0, Rule::DataBraces, line, "braces are not balanced");
    findings.expect(size <= LONGEST, Rule::DataSize, line, &format!("{size} bytes of extended data"));
}
