//! Who acts, and what was done. Leases go by the database's clock: it is the one clock that all hubs share.

use std::time::Duration;

use larnax_core::Timestamp;

use super::session::Session;
use crate::history::{check_entry, check_name, rows};
use crate::{AuditEntry, AuditQuery, Error, Fence, document};

/// Takes a lease that is free.
pub(super) fn acquire(
    session: &mut Session,
    lease: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Option<Fence>, Error> {
    check_name("the lease", lease)?;
    check_name("the lease's holder", holder)?;
    let number = session.row(
        "INSERT INTO larnax.leases AS known (name, holder, number, expires) \
         VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3)) ON CONFLICT (name) DO UPDATE \
         SET holder = excluded.holder, number = known.number + 1, expires = excluded.expires \
         WHERE known.holder IS NULL OR known.holder = excluded.holder OR known.expires <= clock_timestamp() \
         RETURNING number",
        &[&lease, &holder, &ttl.as_secs_f64()],
        |row| row.try_get::<_, i64>(0),
    )?;
    Ok(number.map(|number| Fence { lease: lease.to_owned(), number: number as u64 }))
}

/// Holds a lease for longer.
pub(super) fn renew(session: &mut Session, fence: &Fence, ttl: Duration) -> Result<bool, Error> {
    let changed = session.execute(
        "UPDATE larnax.leases SET expires = clock_timestamp() + make_interval(secs => $3) \
         WHERE name = $1 AND number = $2 AND holder IS NOT NULL",
        &[&fence.lease, &(fence.number as i64), &ttl.as_secs_f64()],
    )?;
    Ok(changed == 1)
}

/// Gives a lease back.
pub(super) fn release(session: &mut Session, fence: &Fence) -> Result<bool, Error> {
    let changed = session.execute(
        "UPDATE larnax.leases SET holder = NULL WHERE name = $1 AND number = $2 AND holder IS NOT NULL",
        &[&fence.lease, &(fence.number as i64)],
    )?;
    Ok(changed == 1)
}

/// Refuses a writer whose lease has moved on. The lease stays where it is until the writer's transaction ends: taken over in
/// between, it would let a former holder write after its successor.
pub(super) fn check_fence(session: &mut Session, fence: Option<&Fence>) -> Result<(), Error> {
    let Some(fence) = fence else { return Ok(()) };
    let holds = session.row(
        "SELECT FROM larnax.leases WHERE name = $1 AND number = $2 AND holder IS NOT NULL FOR SHARE",
        &[&fence.lease, &(fence.number as i64)],
        |_| Ok(()),
    )?;
    holds.ok_or_else(|| Error::Fenced { lease: fence.lease.clone(), number: fence.number })
}

/// Appends to the audit.
pub(super) fn append_audit(session: &mut Session, entry: &AuditEntry) -> Result<u64, Error> {
    check_entry(entry)?;
    let number = session.row(
        "INSERT INTO larnax.audit (time, who, what, subject, data) VALUES ($1, $2, $3, $4, $5::text::json) \
         RETURNING number",
        &[&entry.time.millis(), &entry.who, &entry.what, &entry.subject, &document::encode(&entry.data)?],
        |row| row.try_get::<_, i64>(0),
    )?;
    Ok(number.unwrap_or_default() as u64)
}

/// Entries of the audit, newest first.
pub(super) fn audit(session: &mut Session, query: &AuditQuery) -> Result<Vec<(u64, AuditEntry)>, Error> {
    let before = query.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let found = session.rows(
        "SELECT number, time, who, what, subject, data::text FROM larnax.audit \
         WHERE number < $1 AND ($3::text IS NULL OR subject = $3) ORDER BY number DESC LIMIT $2",
        &[&before, &rows(query.limit), &query.subject],
        |row| {
            let entry = AuditEntry {
                time: Timestamp::from_millis(row.try_get(1)?),
                who: row.try_get(2)?,
                what: row.try_get(3)?,
                subject: row.try_get(4)?,
                data: serde_json::Value::Null,
            };
            Ok((row.try_get::<_, i64>(0)? as u64, entry, row.try_get::<_, String>(5)?))
        },
    )?;
    let decode = |(number, entry, data): (u64, AuditEntry, String)| {
        let data = document::decode(session.place(), "the audit", &data)?;
        Ok((number, AuditEntry { data, ..entry }))
    };
    found.into_iter().map(decode).collect()
}
