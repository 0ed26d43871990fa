//! Plans, and what was learnt from them.

use larnax_core::{Plan, PlanId, Timestamp};

use super::history::Asked;
use super::session::Session;
use crate::{Document, Error, PlanQuery, document};

/// Writes plans as they stand.
pub(super) fn upsert_plans(session: &mut Session, plans: &[Plan]) -> Result<usize, Error> {
    let mut changed = 0;
    for plan in plans {
        changed += session.execute(
            "INSERT INTO larnax.plans AS known (id, incident, made, ended, sequence, document) \
             VALUES ($1, $2, $3, $4, $5, $6::text::json) \
             ON CONFLICT (id) DO UPDATE SET incident = excluded.incident, made = excluded.made, \
             ended = excluded.ended, sequence = excluded.sequence, document = excluded.document \
             WHERE excluded.sequence > known.sequence",
            &[
                &plan.id.to_string(),
                &plan.incident.to_string(),
                &plan.made.millis(),
                &plan.ended.map(Timestamp::millis),
                &i64::from(plan.sequence),
                &document::encode_checked(plan)?,
            ],
        )?;
    }
    Ok(changed as usize)
}

/// One plan.
pub(super) fn plan(session: &mut Session, id: PlanId) -> Result<Option<Plan>, Error> {
    let sql = "SELECT document::text FROM larnax.plans WHERE id = $1";
    let found = session.row(sql, &[&id.to_string()], |row| row.try_get::<_, String>(0))?;
    found.map(|text| document::decode(session.place(), "a plan", &text)).transpose()
}

/// Plans, the latest made first.
pub(super) fn plans(session: &mut Session, query: &PlanQuery) -> Result<Vec<Plan>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add_fixed("ended IS NULL");
    }
    if let Some(incident) = query.incident {
        asked.add("incident =", incident.to_string());
    }
    if let Some((made, id)) = query.after {
        asked.add_page("made", made, id.to_string());
    }
    asked.documents(session, "plans", "made", query.limit)
}

/// Writes what was learnt.
pub(super) fn upsert_knowledge(session: &mut Session, documents: &[Document]) -> Result<(), Error> {
    for document in documents {
        session.execute(
            "INSERT INTO larnax.knowledge AS known (name, version, document) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, document = excluded.document \
             WHERE excluded.version > known.version",
            &[&document.name, &(document.version as i64), &document.json],
        )?;
    }
    Ok(())
}

/// What was learnt under a name.
pub(super) fn knowledge(session: &mut Session, name: &str) -> Result<Option<Document>, Error> {
    let sql = "SELECT version, document FROM larnax.knowledge WHERE name = $1";
    session.row(sql, &[&name], |row| {
        Ok(Document {
            name: name.to_owned(),
            version: row.try_get::<_, i64>(0)? as u64,
            json: row.try_get(1)?,
        })
    })
}
