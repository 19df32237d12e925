//! The budget of requests and write units of a job: the tables of docs/PIPELINE.md, which
//! `pipeline::budget` compares with the programs themselves.

use crate::bill::{Action, Bill};
use crate::client::Size;
use std::collections::BTreeMap;

/// What may come on top: attempts that are made again, duplicates, lost replies, uploads that come late.
const MARGIN: f64 = 1.05;

const PART: u64 = 16 << 20;
const RANGE: u64 = 8 << 20;

/// Rows of the table below this heading: their cells without the marks of code.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PIPELINE.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).expect("the heading");
    let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

/// The mean of a formula of the table, such as `2 + down`, over the mix of sizes.
fn mean(formula: &str) -> f64 {
    let term = |term: &str| -> f64 {
        let each = |size: Size| -> f64 {
            let down = if size.result_bytes() >= 1 << 30 { 32 << 20 } else { RANGE };
            match term.trim() {
                "up" => size.bytes().div_ceil(PART) as f64,
                "ranges" => size.bytes().div_ceil(RANGE) as f64,
                "down" => size.result_bytes().div_ceil(down) as f64,
                // One each ten seconds, and the stages.
                "renewals" => (size.seconds() / 10) as f64,
                number => number.parse().expect("a term"),
            }
        };
        Size::ALL.iter().map(|&size| size.share() * each(size)).sum()
    };
    formula.split('+').map(term).sum()
}

/// The write units of a job by the table.
pub(crate) fn write_units() -> f64 {
    let rows = table("### Writes to the table");
    rows.iter().map(|row| mean(&row[1]) * row[2].parse::<f64>().expect("units")).sum()
}

/// What was made more often than the tables say.
pub(crate) fn exceeded(bill: &Bill, jobs: u64) -> Vec<String> {
    let mut exceeded = Vec::new();
    let mut compare = |what: String, counted: u64, budget: f64| {
        let each = counted as f64 / jobs as f64;
        if each > budget * MARGIN {
            exceeded.push(format!("{what}: {each:.2} for a job, the budget is {budget:.2}"));
        }
    };
    // By action: whether the API or the cleanup deletes first is left to the client.
    let mut budgets: BTreeMap<&str, f64> = BTreeMap::new();
    let rows = table("### Requests to S3 and SQS");
    for row in &rows {
        *budgets.entry(&row[1]).or_default() += mean(&row[2]);
    }
    for (name, budget) in budgets {
        let action = Action::ALL.into_iter().find(|action| action.as_str() == name);
        let action = action.unwrap_or_else(|| panic!("{name} is not counted"));
        compare(name.to_owned(), bill.all(&[action]), budget);
    }
    compare("write units".to_owned(), bill.write_units(), write_units());
    exceeded
}
