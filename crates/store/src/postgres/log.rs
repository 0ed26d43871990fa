//! The log of events, and how far its consumers are.

use larnax_core::{Appended, Logged, RawEvent, Timestamp};

use super::session::Session;
use crate::Error;
use crate::history::{check_name, rows};

/// Appends the events whose ids are new, inside a transaction.
///
/// Sequences come from one row that stays locked until the commit. So of two hubs that append at the same time the second
/// waits, sequences become readable in their order, and a reader never passes one that is not committed yet. A sequence of
/// PostgreSQL's own would give numbers in one order and show them in another.
pub(super) fn append(session: &mut Session, events: &[RawEvent]) -> Result<Appended, Error> {
    let last = "SELECT last FROM larnax.log_state FOR UPDATE";
    let before: i64 = session.row(last, &[], |row| row.try_get(0))?.unwrap_or_default();
    let column = |get: fn(&RawEvent) -> &str| events.iter().map(get).collect::<Vec<_>>();
    let times: Vec<i64> = events.iter().map(|event| event.time.nanos()).collect();
    let new = session.execute(
        "WITH given AS ( \
             SELECT DISTINCT ON (id) * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) \
             WITH ORDINALITY AS event (id, type, subject, time, json, place) ORDER BY id, place \
         ), new AS ( \
             SELECT *, row_number() OVER (ORDER BY place) AS number FROM given \
             WHERE NOT EXISTS (SELECT FROM larnax.log WHERE log.id = given.id) \
         ) \
         INSERT INTO larnax.log (sequence, id, type, subject, time, json) \
         SELECT $1::bigint + number, id, type, subject, time, json FROM new",
        &[
            &before,
            &column(|event| &event.id),
            &column(|event| &event.r#type),
            &column(|event| &event.subject),
            &times,
            &column(|event| &event.json),
        ],
    )?;
    let last = before + new as i64;
    if new > 0 {
        session.execute("UPDATE larnax.log_state SET last = $1", &[&last])?;
    }
    Ok(Appended { new: new as usize, last: last as u64 })
}

/// Events after a sequence, oldest first.
pub(super) fn read_after(session: &mut Session, sequence: u64, limit: usize) -> Result<Vec<Logged>, Error> {
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    session.rows(
        "SELECT sequence, id, type, subject, time, json FROM larnax.log WHERE sequence > $1 \
         ORDER BY sequence LIMIT $2",
        &[&after, &rows(limit)],
        |row| {
            Ok(Logged {
                sequence: row.try_get::<_, i64>(0)? as u64,
                event: RawEvent {
                    id: row.try_get(1)?,
                    r#type: row.try_get(2)?,
                    subject: row.try_get(3)?,
                    time: Timestamp::from_nanos(row.try_get(4)?),
                    json: row.try_get(5)?,
                },
            })
        },
    )
}

/// The oldest and the newest sequence, of one moment.
pub(super) fn bounds(session: &mut Session) -> Result<(u64, u64), Error> {
    let found = session.row(
        "SELECT (SELECT min(sequence) FROM larnax.log), last FROM larnax.log_state",
        &[],
        |row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?)),
    )?;
    let (oldest, last) = found.unwrap_or_default();
    Ok(crate::log::bounds(oldest, last as u64))
}

/// The epoch.
pub(super) fn epoch(session: &mut Session) -> Result<String, Error> {
    let epoch = session.row("SELECT epoch FROM larnax.log_state", &[], |row| row.try_get(0))?;
    Ok(epoch.unwrap_or_default())
}

/// How far a consumer is.
pub(super) fn cursor(session: &mut Session, consumer: &str) -> Result<Option<u64>, Error> {
    let sql = "SELECT sequence FROM larnax.cursors WHERE consumer = $1";
    let sequence = session.row(sql, &[&consumer], |row| row.try_get::<_, i64>(0))?;
    Ok(sequence.map(|sequence| sequence as u64))
}

/// Moves a consumer forward.
pub(super) fn advance_cursor(session: &mut Session, consumer: &str, sequence: u64) -> Result<(), Error> {
    check_name("the consumer", consumer)?;
    session.execute(
        "INSERT INTO larnax.cursors AS known VALUES ($1, $2) ON CONFLICT (consumer) \
         DO UPDATE SET sequence = greatest(known.sequence, excluded.sequence)",
        &[&consumer, &i64::try_from(sequence).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

/// Forgets a consumer.
pub(super) fn remove_cursor(session: &mut Session, consumer: &str) -> Result<(), Error> {
    session.execute("DELETE FROM larnax.cursors WHERE consumer = $1", &[&consumer]).map(drop)
}
