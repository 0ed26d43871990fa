//! Letters between hubs.

use super::session::Session;
use crate::Error;
use crate::history::check_name;

/// The hubs but one that were there in the last ten seconds.
pub(super) fn others(session: &mut Session, hub: &str) -> Result<Vec<String>, Error> {
    session.rows(
        "SELECT name FROM larnax.hubs WHERE name <> $1 AND seen > clock_timestamp() - interval '10 s' ORDER BY name",
        &[&hub],
        |row| row.try_get(0),
    )
}

/// Leaves a letter, and throws away those that nobody came for.
pub(super) fn post(session: &mut Session, to: &str, letter: &str) -> Result<(), Error> {
    session.execute("DELETE FROM larnax.letters WHERE sent < clock_timestamp() - interval '1 min'", &[])?;
    session
        .execute("INSERT INTO larnax.letters (recipient, letter) VALUES ($1, $2)", &[&to, &letter])
        .map(drop)
}

/// Takes the letters for a hub. That it is there is written every other second only: a hub looks more often than that.
pub(super) fn collect(session: &mut Session, hub: &str) -> Result<Vec<String>, Error> {
    check_name("the hub", hub)?;
    let mut letters = session.rows(
        "WITH there AS ( \
             INSERT INTO larnax.hubs AS known (name, seen) SELECT $1, clock_timestamp() \
             WHERE NOT EXISTS (SELECT FROM larnax.hubs WHERE name = $1 AND seen > clock_timestamp() - interval '2 s') \
             ON CONFLICT (name) DO UPDATE SET seen = excluded.seen \
         ) \
         DELETE FROM larnax.letters WHERE recipient = $1 RETURNING number, letter",
        &[&hub],
        |row| Ok((row.try_get::<_, i64>(0)?, row.try_get::<_, String>(1)?)),
    )?;
    letters.sort_unstable_by_key(|(number, _)| *number);
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}
