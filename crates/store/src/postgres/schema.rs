//! The tables in PostgreSQL, and how they came to be.

use super::session::Session;
use crate::Error;
use crate::log::EPOCH_GAP;

/// One step for each format, oldest first; `larnax.format` counts those that were taken. A step that has been released never
/// changes: a new format is a new step.
const STEPS: &[&str] = &[FIRST, LETTERS, PLANS];

/// The advisory lock under which steps are taken, since two hubs may start at the same time: the letters `larnax`.
const LOCK: i64 = 0x6c61_726e_6178;

/// `log_state.epoch` is NULL in a new database; `origin` says which copy of it it was given to. Documents are `json`, not
/// `jsonb`, which refuses some of what JSON allows (`\u0000`). Times are milliseconds, but for the log's `time`, which is given
/// back as it came.
const FIRST: &str = "
CREATE TABLE larnax.log_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text,
    origin text,
    last bigint NOT NULL
);
INSERT INTO larnax.log_state (last) VALUES (0);
CREATE TABLE larnax.log (
    sequence bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    type text NOT NULL,
    subject text NOT NULL,
    time bigint NOT NULL,
    received timestamptz NOT NULL DEFAULT clock_timestamp(),
    json text NOT NULL
);
CREATE TABLE larnax.cursors (
    consumer text PRIMARY KEY,
    sequence bigint NOT NULL
);
CREATE TABLE larnax.leases (
    name text PRIMARY KEY,
    holder text,
    number bigint NOT NULL,
    expires timestamptz NOT NULL
);
CREATE TABLE larnax.components (
    id text PRIMARY KEY,
    agent text NOT NULL,
    last_seen bigint NOT NULL,
    document json NOT NULL
);
CREATE INDEX ON larnax.components (last_seen);
CREATE TABLE larnax.topology (
    source text NOT NULL,
    said_by text NOT NULL,
    at bigint NOT NULL,
    document json NOT NULL,
    PRIMARY KEY (source, said_by)
);
CREATE TABLE larnax.anomalies (
    id text COLLATE \"C\" PRIMARY KEY,
    component text NOT NULL,
    onset bigint NOT NULL,
    closed bigint,
    sequence bigint NOT NULL,
    agent text NOT NULL,
    document json NOT NULL,
    component_document json NOT NULL,
    evidence json
);
CREATE INDEX ON larnax.anomalies (onset, id);
CREATE INDEX ON larnax.anomalies (component, onset, id);
CREATE INDEX ON larnax.anomalies (onset, id) WHERE closed IS NULL;
CREATE INDEX ON larnax.anomalies (closed) WHERE closed IS NOT NULL;
CREATE TABLE larnax.incidents (
    id text COLLATE \"C\" PRIMARY KEY,
    opened bigint NOT NULL,
    closed bigint,
    sequence bigint NOT NULL,
    document json NOT NULL
);
CREATE INDEX ON larnax.incidents (opened, id);
CREATE INDEX ON larnax.incidents (opened, id) WHERE closed IS NULL;
CREATE INDEX ON larnax.incidents (closed) WHERE closed IS NOT NULL;
CREATE TABLE larnax.audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    who text NOT NULL,
    what text NOT NULL,
    subject text NOT NULL,
    data json NOT NULL
);
CREATE INDEX ON larnax.audit (subject, number);
CREATE INDEX ON larnax.audit (time);
";

/// What hubs say to each other, which nobody needs after a crash: so it isn't written ahead.
const LETTERS: &str = "
CREATE UNLOGGED TABLE larnax.hubs (
    name text PRIMARY KEY,
    seen timestamptz NOT NULL
);
CREATE UNLOGGED TABLE larnax.letters (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient text NOT NULL,
    sent timestamptz NOT NULL DEFAULT clock_timestamp(),
    letter text NOT NULL
);
CREATE INDEX ON larnax.letters (recipient);
";

/// What is done about incidents, and what was learnt from that: given back as it came, so `text`.
const PLANS: &str = "
CREATE TABLE larnax.plans (
    id text COLLATE \"C\" PRIMARY KEY,
    incident text NOT NULL,
    made bigint NOT NULL,
    ended bigint,
    sequence bigint NOT NULL,
    document json NOT NULL
);
CREATE INDEX ON larnax.plans (made, id);
CREATE INDEX ON larnax.plans (incident, made, id);
CREATE INDEX ON larnax.plans (made, id) WHERE ended IS NULL;
CREATE INDEX ON larnax.plans (ended) WHERE ended IS NOT NULL;
CREATE TABLE larnax.knowledge (
    name text PRIMARY KEY,
    version bigint NOT NULL,
    document text NOT NULL
);
";

/// Which copy of which database this is: the server's cluster and its timeline (a new one begins with each fail-over and each
/// point-in-time recovery), the database, and the table (made anew when a dump is read in).
const ORIGIN: &str = "SELECT concat_ws('/', \
     (SELECT system_identifier FROM pg_control_system()), \
     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), \
     (SELECT oid FROM pg_database WHERE datname = current_database()), \
     'larnax.log'::regclass::oid)";
/// The same where a server doesn't tell everybody about itself.
const ORIGIN_WITHOUT_SERVER: &str = "SELECT concat_ws('/', \
     (SELECT oid FROM pg_database WHERE datname = current_database()), 'larnax.log'::regclass::oid)";

/// Brings a database that a session has just been opened to into order: takes the steps it lacks, and begins a new epoch where
/// it is another copy than the one that has its epoch.
pub(super) fn prepare(session: &mut Session) -> Result<(), Error> {
    migrate(session, STEPS)?;
    begin_epoch(session)
}

fn migrate(session: &mut Session, steps: &[&str]) -> Result<(), Error> {
    while version(session, steps.len() as i64)?.is_none_or(|found| found < steps.len() as i64) {
        session.transaction(|session| {
            session.rows("SELECT pg_advisory_xact_lock($1)", &[&LOCK], |_| Ok(()))?;
            let found = match version(session, steps.len() as i64)? {
                Some(found) => found,
                None => {
                    let there = "SELECT 1 FROM pg_namespace WHERE nspname = 'larnax'";
                    if session.row(there, &[], |_| Ok(()))?.is_none() {
                        session.batch("CREATE SCHEMA larnax")?;
                    }
                    session.batch(
                        "CREATE TABLE larnax.format (version bigint NOT NULL); INSERT INTO larnax.format VALUES (0)",
                    )?;
                    0
                }
            };
            let Some(step) = usize::try_from(found).ok().and_then(|found| steps.get(found)) else {
                // Another hub was faster.
                return Ok(());
            };
            session.batch(step)?;
            session.execute("UPDATE larnax.format SET version = $1", &[&(found + 1)]).map(drop)
        })?;
    }
    Ok(())
}

/// The format of the database; none where there is nothing of ours yet; an error where it is a newer one.
fn version(session: &mut Session, known: i64) -> Result<Option<i64>, Error> {
    // Not `to_regclass`: a session that has just waited for another one's step may not know yet what that one made.
    let there = "SELECT 1 FROM pg_tables WHERE schemaname = 'larnax' AND tablename = 'format'";
    if session.row(there, &[], |_| Ok(()))?.is_none() {
        return Ok(None);
    }
    let found: i64 =
        session.row("SELECT version FROM larnax.format", &[], |row| row.try_get(0))?.unwrap_or_default();
    if found > known {
        return Err(Error::Newer { place: session.place().to_owned(), found, known });
    }
    Ok(Some(found))
}

fn begin_epoch(session: &mut Session) -> Result<(), Error> {
    let origin = match session.row(ORIGIN, &[], |row| row.try_get::<_, String>(0)) {
        Err(Error::Refused { .. }) => session.row(ORIGIN_WITHOUT_SERVER, &[], |row| row.try_get(0))?,
        other => other?,
    };
    let known = |session: &mut Session, lock: &str| {
        let sql = format!("SELECT origin FROM larnax.log_state {lock}");
        session.row(&sql, &[], |row| row.try_get::<_, Option<String>>(0)).map(Option::flatten)
    };
    if known(session, "")? == origin {
        return Ok(());
    }
    session.transaction(|session| {
        let before = known(session, "FOR UPDATE")?;
        if before == origin {
            return Ok(());
        }
        if before.is_some() {
            session.execute("UPDATE larnax.log_state SET last = last + $1", &[&EPOCH_GAP])?;
            session.execute("UPDATE larnax.leases SET number = number + $1, holder = NULL", &[&EPOCH_GAP])?;
        }
        let begin = "UPDATE larnax.log_state SET origin = $1, epoch = left(md5(gen_random_uuid()::text), 16)";
        session.execute(begin, &[&origin]).map(drop)
    })
}
