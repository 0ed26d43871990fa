//! Retention: the oldest go first, a few at a time.

use larnax_core::Timestamp;

use super::session::Session;
use crate::{Error, Keep, Retention, Swept};

/// One small batch of each table, in the transaction of the caller.
pub(super) fn sweep(session: &mut Session, retention: &Retention, now: Timestamp) -> Result<Swept, Error> {
    let batch = retention.batch.max(1);
    let limit = batch as i64;
    let seen = now.minus(retention.seen).millis();
    let counts = [
        log(session, retention, now, limit)?,
        ended(session, ("anomalies", "closed"), &retention.history, now, limit)?,
        ended(session, ("incidents", "closed"), &retention.history, now, limit)?,
        ended(session, ("plans", "ended"), &retention.history, now, limit)?,
        audit(session, &retention.audit, now, limit)?,
        session.execute(
            "DELETE FROM larnax.components WHERE id IN \
             (SELECT id FROM larnax.components WHERE last_seen < $1 LIMIT $2)",
            &[&seen, &limit],
        )?,
        session.execute(
            "DELETE FROM larnax.topology WHERE (source, said_by) IN \
             (SELECT source, said_by FROM larnax.topology WHERE at < $1 LIMIT $2)",
            &[&seen, &limit],
        )?,
    ];
    Ok(Swept::from_counts(counts, batch))
}

/// Entries that all consumers have read and that are too old or too many, and those that nobody may keep any longer.
fn log(session: &mut Session, retention: &Retention, now: Timestamp, limit: i64) -> Result<u64, Error> {
    let (keep, unread) = (&retention.log, &retention.unread);
    // Sequences have holes, so the entries are counted.
    session.execute(
        "DELETE FROM larnax.log USING \
         (SELECT (SELECT coalesce(min(sequence), 9223372036854775807) FROM larnax.cursors) AS read, \
             (SELECT sequence FROM larnax.log ORDER BY sequence DESC LIMIT 1 OFFSET $3) AS beyond, \
             (SELECT sequence FROM larnax.log ORDER BY sequence DESC LIMIT 1 OFFSET $5) AS far_beyond) AS edge \
         WHERE sequence IN (SELECT sequence FROM larnax.log ORDER BY sequence LIMIT $1) AND \
         ((sequence <= read AND (received < to_timestamp($2::float8 / 1000) OR sequence <= beyond)) \
         OR received < to_timestamp($4::float8 / 1000) OR sequence <= far_beyond)",
        &[&limit, &(keep.cutoff(now) as f64), &keep.most(), &(unread.cutoff(now) as f64), &unread.most()],
    )
}

/// What has ended long ago, or is one of too many that have ended.
fn ended(
    session: &mut Session,
    (table, end): (&str, &str),
    keep: &Keep,
    now: Timestamp,
    limit: i64,
) -> Result<u64, Error> {
    let sql = format!(
        "DELETE FROM larnax.{table} WHERE id IN (SELECT id FROM larnax.{table} WHERE {end} IS NOT NULL AND \
         ({end} < $1 OR {end} <= (SELECT {end} FROM larnax.{table} WHERE {end} IS NOT NULL \
         ORDER BY {end} DESC LIMIT 1 OFFSET $2)) ORDER BY {end} LIMIT $3)"
    );
    session.execute(&sql, &[&keep.cutoff(now), &keep.most(), &limit])
}

/// Entries that are too old or too many.
fn audit(session: &mut Session, keep: &Keep, now: Timestamp, limit: i64) -> Result<u64, Error> {
    session.execute(
        "DELETE FROM larnax.audit WHERE number IN (SELECT number FROM larnax.audit WHERE time < $1 OR number <= \
         (SELECT number FROM larnax.audit ORDER BY number DESC LIMIT 1 OFFSET $2) ORDER BY number LIMIT $3)",
        &[&keep.cutoff(now), &keep.most(), &limit],
    )
}
