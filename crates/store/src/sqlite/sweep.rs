//! Retention: the oldest go first, a few at a time.

use larnax_core::Timestamp;
use rusqlite::params;

use super::db::Db;
use crate::{Error, Keep, Retention, Swept};

/// One small batch of each table, in the transaction of the caller.
pub(super) fn sweep(db: &Db, retention: &Retention, now: Timestamp) -> Result<Swept, Error> {
    let batch = retention.batch.max(1);
    let limit = batch as i64;
    let seen = now.minus(retention.seen).millis();
    let counts = [
        log(db, retention, now, limit)?,
        ended(db, ("anomalies", "closed"), &retention.history, now, limit)?,
        ended(db, ("incidents", "closed"), &retention.history, now, limit)?,
        ended(db, ("plans", "ended"), &retention.history, now, limit)?,
        audit(db, &retention.audit, now, limit)?,
        db.execute(
            "DELETE FROM components WHERE id IN (SELECT id FROM components WHERE last_seen < ?1 LIMIT ?2)",
            [seen, limit],
        )?,
        db.execute(
            "DELETE FROM topology WHERE rowid IN (SELECT rowid FROM topology WHERE at < ?1 LIMIT ?2)",
            [seen, limit],
        )?,
    ];
    Ok(Swept::from_counts(counts.map(|count| count as u64), batch))
}

/// Entries that all consumers have read and that are too old or too many, and those that nobody may keep any longer.
fn log(db: &Db, retention: &Retention, now: Timestamp, limit: i64) -> Result<usize, Error> {
    let (keep, unread) = (&retention.log, &retention.unread);
    let read = db.row("SELECT coalesce(min(sequence), ?1) FROM cursors", [i64::MAX], |row| row.get(0))?;
    let read: i64 = read.unwrap_or(i64::MAX);
    let beyond = |most: i64| -> Result<i64, Error> {
        // Sequences have holes, so the entries are counted.
        let sql = "SELECT sequence FROM log ORDER BY sequence DESC LIMIT 1 OFFSET ?1";
        Ok(db.row(sql, [most], |row| row.get(0))?.unwrap_or(0))
    };
    db.execute(
        "DELETE FROM log WHERE sequence IN (SELECT sequence FROM log ORDER BY sequence LIMIT ?1) AND \
         ((sequence <= ?2 AND (received < ?3 OR sequence <= ?4)) OR received < ?5 OR sequence <= ?6)",
        params![
            limit,
            read,
            keep.cutoff(now),
            beyond(keep.most())?,
            unread.cutoff(now),
            beyond(unread.most())?
        ],
    )
}

/// What has ended long ago, or is one of too many that have ended.
fn ended(
    db: &Db,
    (table, end): (&str, &str),
    keep: &Keep,
    now: Timestamp,
    limit: i64,
) -> Result<usize, Error> {
    let sql =
        format!("SELECT {end} FROM {table} WHERE {end} IS NOT NULL ORDER BY {end} DESC LIMIT 1 OFFSET ?1");
    let beyond = db.row(&sql, [keep.most()], |row| row.get::<_, i64>(0))?;
    let before = beyond.map_or(i64::MIN, |ended| ended + 1).max(keep.cutoff(now));
    let sql = format!(
        "DELETE FROM {table} WHERE id IN \
         (SELECT id FROM {table} WHERE {end} IS NOT NULL AND {end} < ?1 ORDER BY {end} LIMIT ?2)"
    );
    db.execute(&sql, [before, limit])
}

/// Entries that are too old or too many.
fn audit(db: &Db, keep: &Keep, now: Timestamp, limit: i64) -> Result<usize, Error> {
    let sql = "SELECT number FROM audit ORDER BY number DESC LIMIT 1 OFFSET ?1";
    let beyond = db.row(sql, [keep.most()], |row| row.get::<_, i64>(0))?.unwrap_or(0);
    db.execute(
        "DELETE FROM audit WHERE number IN \
         (SELECT number FROM audit WHERE time < ?1 OR number <= ?2 ORDER BY number LIMIT ?3)",
        [keep.cutoff(now), beyond, limit],
    )
}
