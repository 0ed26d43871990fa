//! Who acts, and what was done.

use std::time::Duration;

use larnax_core::Timestamp;
use rusqlite::params;

use super::db::Db;
use crate::history::{check_entry, check_name, rows};
use crate::{AuditEntry, AuditQuery, Error, Fence, document};

/// Takes a lease that is free.
pub(super) fn acquire(
    db: &Db,
    lease: &str,
    holder: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Option<Fence>, Error> {
    check_name("the lease", lease)?;
    check_name("the lease's holder", holder)?;
    let number = db.row(
        "INSERT INTO leases (name, holder, number, expires) VALUES (?1, ?2, 1, ?3) ON CONFLICT (name) DO UPDATE \
         SET holder = excluded.holder, number = number + 1, expires = excluded.expires \
         WHERE holder IS NULL OR holder = excluded.holder OR expires <= ?4 RETURNING number",
        params![lease, holder, now.plus(ttl).millis(), now.millis()],
        |row| row.get::<_, i64>(0),
    )?;
    Ok(number.map(|number| Fence { lease: lease.to_owned(), number: number as u64 }))
}

/// Holds a lease for longer.
pub(super) fn renew(db: &Db, fence: &Fence, ttl: Duration, now: Timestamp) -> Result<bool, Error> {
    let changed = db.execute(
        "UPDATE leases SET expires = ?3 WHERE name = ?1 AND number = ?2 AND holder IS NOT NULL",
        params![fence.lease, fence.number as i64, now.plus(ttl).millis()],
    )?;
    Ok(changed == 1)
}

/// Gives a lease back.
pub(super) fn release(db: &Db, fence: &Fence) -> Result<bool, Error> {
    let changed = db.execute(
        "UPDATE leases SET holder = NULL WHERE name = ?1 AND number = ?2 AND holder IS NOT NULL",
        params![fence.lease, fence.number as i64],
    )?;
    Ok(changed == 1)
}

/// Refuses a writer whose lease has moved on.
pub(super) fn check_fence(db: &Db, fence: Option<&Fence>) -> Result<(), Error> {
    let Some(fence) = fence else { return Ok(()) };
    let holds = db.row(
        "SELECT 1 FROM leases WHERE name = ?1 AND number = ?2 AND holder IS NOT NULL",
        params![fence.lease, fence.number as i64],
        |_| Ok(()),
    )?;
    holds.ok_or_else(|| Error::Fenced { lease: fence.lease.clone(), number: fence.number })
}

/// Appends to the audit.
pub(super) fn append_audit(db: &Db, entry: &AuditEntry) -> Result<u64, Error> {
    check_entry(entry)?;
    let number = db.row(
        "INSERT INTO audit (time, who, what, subject, data) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING number",
        params![entry.time.millis(), entry.who, entry.what, entry.subject, document::encode(&entry.data)?],
        |row| row.get::<_, i64>(0),
    )?;
    Ok(number.unwrap_or_default() as u64)
}

/// Entries of the audit, newest first.
pub(super) fn audit(db: &Db, query: &AuditQuery) -> Result<Vec<(u64, AuditEntry)>, Error> {
    let about = if query.subject.is_some() { "subject = ?3 AND" } else { "?3 IS NULL AND" };
    let before = query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let sql = format!(
        "SELECT number, time, who, what, subject, data FROM audit WHERE {about} number < ?1 \
         ORDER BY number DESC LIMIT ?2"
    );
    let found = db.rows(&sql, params![before, rows(query.limit), query.subject], |row| {
        let entry = AuditEntry {
            time: Timestamp::from_millis(row.get(1)?),
            who: row.get(2)?,
            what: row.get(3)?,
            subject: row.get(4)?,
            data: serde_json::Value::Null,
        };
        Ok((row.get::<_, i64>(0)? as u64, entry, row.get::<_, String>(5)?))
    })?;
    found
        .into_iter()
        .map(|(number, entry, data)| {
            let data = document::decode(&db.place, "the audit", &data)?;
            Ok((number, AuditEntry { data, ..entry }))
        })
        .collect()
}
