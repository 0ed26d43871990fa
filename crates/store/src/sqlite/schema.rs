//! The tables in SQLite, and how they came to be.

use rusqlite::{Connection, TransactionBehavior};

use super::error::failed;
use crate::Error;

/// `PRAGMA application_id` of our files: the letters `LARN`.
pub(super) const APPLICATION_ID: i64 = 0x4c41_524e;

/// One step for each format, oldest first; `PRAGMA user_version` counts those that were taken. A step that has been released
/// never changes: a new format is a new step. Opening takes the steps that a file lacks, so every older format can be read.
pub(super) const STEPS: &[&str] = &[FIRST, PLANS];

/// `log_state.epoch` is NULL in a new file and empty in a backup. Documents are JSON as text. Times are milliseconds, but for
/// the log's `time`, which is given back as it came.
const FIRST: &str = "
CREATE TABLE log_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT,
    last INTEGER NOT NULL
) STRICT;
INSERT INTO log_state VALUES (1, NULL, 0);
CREATE TABLE log (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    time INTEGER NOT NULL,
    received INTEGER NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE TABLE cursors (
    consumer TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT,
    number INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE components (
    id TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX components_last_seen ON components (last_seen);
CREATE TABLE topology (
    source TEXT NOT NULL,
    said_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (source, said_by)
) STRICT;
CREATE TABLE anomalies (
    id TEXT PRIMARY KEY,
    component TEXT NOT NULL,
    onset INTEGER NOT NULL,
    closed INTEGER,
    sequence INTEGER NOT NULL,
    agent TEXT NOT NULL,
    document TEXT NOT NULL,
    component_document TEXT NOT NULL,
    evidence TEXT
) STRICT;
CREATE INDEX anomalies_onset ON anomalies (onset, id);
CREATE INDEX anomalies_component ON anomalies (component, onset, id);
CREATE INDEX anomalies_open ON anomalies (onset, id) WHERE closed IS NULL;
CREATE INDEX anomalies_closed ON anomalies (closed) WHERE closed IS NOT NULL;
CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    opened INTEGER NOT NULL,
    closed INTEGER,
    sequence INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_opened ON incidents (opened, id);
CREATE INDEX incidents_open ON incidents (opened, id) WHERE closed IS NULL;
CREATE INDEX incidents_closed ON incidents (closed) WHERE closed IS NOT NULL;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject, number);
CREATE INDEX audit_time ON audit (time);
";

/// What is done about incidents, and what was learnt from that.
const PLANS: &str = "
CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    incident TEXT NOT NULL,
    made INTEGER NOT NULL,
    ended INTEGER,
    sequence INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX plans_made ON plans (made, id);
CREATE INDEX plans_incident ON plans (incident, made, id);
CREATE INDEX plans_open ON plans (made, id) WHERE ended IS NULL;
CREATE INDEX plans_ended ON plans (ended) WHERE ended IS NOT NULL;
CREATE TABLE knowledge (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
";

/// Takes the steps that the file lacks, each in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, place: &str, steps: &[&str]) -> Result<(), Error> {
    let known = steps.len() as i64;
    loop {
        // Its own transaction sees the version that holds while it writes.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(place))?;
        let found = version(&transaction, place, known)?;
        let Some(step) = usize::try_from(found).ok().and_then(|found| steps.get(found)) else {
            return Ok(());
        };
        transaction.execute_batch(step).map_err(failed(place))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(place))?;
        transaction.pragma_update(None, "user_version", found + 1).map_err(failed(place))?;
        transaction.commit().map_err(failed(place))?;
    }
}

/// The format of the file; an error where it is another program's or a newer one.
pub(super) fn version(connection: &Connection, place: &str, known: i64) -> Result<i64, Error> {
    let number = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed(place))
    };
    let (application, found) = (number("application_id")?, number("user_version")?);
    let is_new = application == 0 && found == 0 && number("schema_version")? == 0;
    if application != APPLICATION_ID && !is_new {
        return Err(Error::Foreign { place: place.to_owned() });
    }
    if found > known {
        return Err(Error::Newer { place: place.to_owned(), found, known });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(connection: &Connection, table: &str) -> Vec<String> {
        let mut names =
            connection.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let names = names.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    #[test]
    fn a_file_of_the_format_before_gets_the_steps_it_lacks_and_keeps_what_it_has() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, "here", STEPS).unwrap();
        connection.execute("INSERT INTO cursors VALUES ('incidents', 7)", []).unwrap();
        let next: Vec<&str> =
            [STEPS, &["ALTER TABLE cursors ADD COLUMN note TEXT", "CREATE TABLE later (id TEXT)"]].concat();
        migrate(&mut connection, "here", &next).unwrap();
        assert_eq!(columns(&connection, "cursors"), ["consumer", "sequence", "note"]);
        assert_eq!(columns(&connection, "later"), ["id"]);
        let kept: i64 = connection.query_row("SELECT sequence FROM cursors", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 7);
        migrate(&mut connection, "here", &next).unwrap();
    }

    #[test]
    fn a_file_of_any_format_before_gets_all_tables_of_today() {
        let tables = |connection: &Connection| {
            let mut names = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
            let rows = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect::<Vec<(String, Option<String>)>>()
        };
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new, "here", STEPS).unwrap();
        for format in 1..STEPS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            migrate(&mut old, "here", &STEPS[..format]).unwrap();
            assert!(tables(&old).len() < tables(&new).len());
            migrate(&mut old, "here", STEPS).unwrap();
            assert_eq!(tables(&old), tables(&new));
        }
    }

    #[test]
    fn a_step_that_fails_changes_nothing_and_those_before_it_stay() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps: Vec<&str> = [
            STEPS,
            &["CREATE TABLE later (id TEXT)", "CREATE TABLE half (id TEXT); CREATE TABLE half (id TEXT)"],
        ]
        .concat();
        assert!(migrate(&mut connection, "here", &steps).is_err());
        assert_eq!(version(&connection, "here", 9).unwrap(), STEPS.len() as i64 + 1);
        assert!(columns(&connection, "half").is_empty());
        assert_eq!(columns(&connection, "later"), ["id"]);
    }
}
