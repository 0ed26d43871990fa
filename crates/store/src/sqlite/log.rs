//! The log of events, and how far its consumers are.

use larnax_core::{Appended, Logged, RawEvent, Timestamp};
use rusqlite::{TransactionBehavior, params};

use super::db::Db;
use super::error::failed;
use crate::Error;
use crate::history::{check_name, rows};
use crate::log::EPOCH_GAP;

/// Gives a new file its epoch, and one that came from a backup a new one. There, sequences and lease numbers go on far above
/// those that were given out after the backup was made and are forgotten now.
pub(super) fn begin_epoch(db: &mut Db) -> Result<(), Error> {
    let place = db.place.clone();
    let failed = failed(&place);
    let begin = || {
        let transaction = db.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let epoch: Option<String> =
            transaction.query_row("SELECT epoch FROM log_state", [], |row| row.get(0))?;
        if epoch.as_deref().is_some_and(|epoch| !epoch.is_empty()) {
            return Ok(());
        }
        if epoch.is_some() {
            transaction.execute("UPDATE log_state SET last = last + ?1", [EPOCH_GAP])?;
            transaction.execute("UPDATE leases SET number = number + ?1, holder = NULL", [EPOCH_GAP])?;
        }
        transaction.execute("UPDATE log_state SET epoch = lower(hex(randomblob(8)))", [])?;
        transaction.commit()
    };
    let mut begin = begin;
    begin().map_err(failed)
}

/// Appends the events whose ids are new. One writer at a time, so the sequences rise in the order of the commits.
pub(super) fn append(db: &Db, events: &[RawEvent]) -> Result<Appended, Error> {
    let before = last(db)?;
    let mut sequence = before;
    for event in events {
        // The clock of the machine, in whole seconds: it only serves retention.
        let changed = db.execute(
            "INSERT INTO log (sequence, id, type, subject, time, received, json) \
             VALUES (?1, ?2, ?3, ?4, ?5, unixepoch() * 1000, ?6) ON CONFLICT (id) DO NOTHING",
            params![sequence + 1, event.id, event.r#type, event.subject, event.time.nanos(), event.json],
        )?;
        sequence += changed as i64;
    }
    if sequence > before {
        db.execute("UPDATE log_state SET last = ?1", [sequence])?;
    }
    Ok(Appended { new: (sequence - before) as usize, last: sequence as u64 })
}

fn last(db: &Db) -> Result<i64, Error> {
    let last = db.row("SELECT last FROM log_state", [], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

/// Events after a sequence, oldest first.
pub(super) fn read_after(db: &Db, sequence: u64, limit: usize) -> Result<Vec<Logged>, Error> {
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    db.rows(
        "SELECT sequence, id, type, subject, time, json FROM log WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        [after, rows(limit)],
        |row| {
            Ok(Logged {
                sequence: row.get::<_, i64>(0)? as u64,
                event: RawEvent {
                    id: row.get(1)?,
                    r#type: row.get(2)?,
                    subject: row.get(3)?,
                    time: Timestamp::from_nanos(row.get(4)?),
                    json: row.get(5)?,
                },
            })
        },
    )
}

/// The oldest and the newest sequence.
pub(super) fn bounds(db: &Db) -> Result<(u64, u64), Error> {
    let last = last(db)? as u64;
    let oldest =
        db.row("SELECT sequence FROM log ORDER BY sequence LIMIT 1", [], |row| row.get::<_, i64>(0))?;
    Ok(crate::log::bounds(oldest, last))
}

/// The epoch.
pub(super) fn epoch(db: &Db) -> Result<String, Error> {
    let epoch = db.row("SELECT epoch FROM log_state", [], |row| row.get(0))?;
    Ok(epoch.unwrap_or_default())
}

/// How far a consumer is.
pub(super) fn cursor(db: &Db, consumer: &str) -> Result<Option<u64>, Error> {
    let sequence =
        db.row("SELECT sequence FROM cursors WHERE consumer = ?1", [consumer], |row| row.get(0))?;
    Ok(sequence.map(|sequence: i64| sequence as u64))
}

/// Moves a consumer forward.
pub(super) fn advance_cursor(db: &Db, consumer: &str, sequence: u64) -> Result<(), Error> {
    check_name("the consumer", consumer)?;
    db.execute(
        "INSERT INTO cursors VALUES (?1, ?2) ON CONFLICT (consumer) \
         DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        params![consumer, i64::try_from(sequence).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

/// Forgets a consumer.
pub(super) fn remove_cursor(db: &Db, consumer: &str) -> Result<(), Error> {
    db.execute("DELETE FROM cursors WHERE consumer = ?1", [consumer]).map(drop)
}
