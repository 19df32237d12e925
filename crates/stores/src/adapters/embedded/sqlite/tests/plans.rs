//! What the statements of the cleanup cost beside many records: rows of one index that are due, and no
//! others.

use super::super::jobs::{DUE, RECORD};
use super::open;
use rusqlite::{Connection, StatementStatus, params};

/// How SQLite makes a statement.
fn plan(connection: &Connection, sql: &str, arguments: impl rusqlite::Params) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let lines = statement.query_map(arguments, |row| row.get::<_, String>(3)).unwrap();
    lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
}

/// Steps of SQLite's machine for the jobs of a part that are due at a time, and their number.
fn steps(connection: &Connection, now: i64) -> (i32, usize) {
    let mut statement = connection.prepare(DUE).unwrap();
    let found = statement.query_map(params!["d07", 0, now], |row| row.get::<_, i64>(2)).unwrap().count();
    for none in [StatementStatus::FullscanStep, StatementStatus::Sort, StatementStatus::AutoIndex] {
        assert_eq!(statement.get_status(none), 0, "neither scanned nor sorted");
    }
    (statement.get_status(StatementStatus::VmStep), found)
}

/// Rows with these ids, spread over the parts.
fn insert(connection: &mut Connection, ids: std::ops::Range<i64>, due: i64) {
    let transaction = connection.transaction().unwrap();
    for id in ids {
        let sql = "INSERT INTO jobs(id, owner, created, state, version, due, record, part)
                   VALUES(?1, 'x', 1, 'CANCELLED', 1, ?2, '{}', ?3)";
        transaction.execute(sql, params![id.to_string(), due, format!("d{:02}", id % 64)]).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn what_is_due_is_found_by_the_index_whatever_is_stored_beside() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory, 5));
    let mut connection = Connection::open(directory.path().join("state/jobs.sqlite")).unwrap();
    assert_eq!(
        plan(&connection, DUE, params!["d07", 0, 1]),
        "SEARCH jobs USING INDEX jobs_by_part (part=? AND due>? AND due<?)"
    );
    assert_eq!(plan(&connection, RECORD, ["x"]), "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)");
    insert(&mut connection, 0..640, 10);
    insert(&mut connection, 640..1_280, 1_000);
    let few = steps(&connection, 10);
    insert(&mut connection, 1_280..51_200, 1_000);
    let beside_many = steps(&connection, 10);
    assert_eq!((few.1, beside_many), (10, few), "the same steps for the same jobs");
    // Each job that is due costs the same, so that the count is one of rows.
    let (all, found) = steps(&connection, 1_000);
    assert_eq!(found, 800);
    assert!(all > few.0 * 40, "{all} steps for 800 jobs, {} for 10", few.0);
}
