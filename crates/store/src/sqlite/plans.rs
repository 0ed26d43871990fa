//! Plans, and what was learnt from them.

use larnax_core::{Plan, PlanId, Timestamp};
use rusqlite::params;
use rusqlite::types::Value;

use super::db::Db;
use super::history::Asked;
use crate::{Document, Error, PlanQuery, document};

/// Writes plans as they stand.
pub(super) fn upsert_plans(db: &Db, plans: &[Plan]) -> Result<usize, Error> {
    let mut changed = 0;
    for plan in plans {
        changed += db.execute(
            "INSERT INTO plans (id, incident, made, ended, sequence, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (id) DO UPDATE SET incident = excluded.incident, made = excluded.made, \
             ended = excluded.ended, sequence = excluded.sequence, document = excluded.document \
             WHERE excluded.sequence > sequence",
            params![
                plan.id.to_string(),
                plan.incident.to_string(),
                plan.made.millis(),
                plan.ended.map(Timestamp::millis),
                plan.sequence,
                document::encode_checked(plan)?
            ],
        )?;
    }
    Ok(changed)
}

/// One plan.
pub(super) fn plan(db: &Db, id: PlanId) -> Result<Option<Plan>, Error> {
    let sql = "SELECT document FROM plans WHERE id = ?1";
    let found = db.row(sql, [id.to_string()], |row| row.get::<_, String>(0))?;
    found.map(|text| document::decode(&db.place, "a plan", &text)).transpose()
}

/// Plans, the latest made first.
pub(super) fn plans(db: &Db, query: &PlanQuery) -> Result<Vec<Plan>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add("ended IS NULL", []);
    }
    if let Some(incident) = query.incident {
        asked.add("incident = ?", [Value::from(incident.to_string())]);
    }
    if let Some((made, id)) = query.after {
        asked.add("(made, id) < (?, ?)", [made.millis().into(), id.to_string().into()]);
    }
    asked.documents(db, "plans", "made", query.limit)
}

/// Writes what was learnt.
pub(super) fn upsert_knowledge(db: &Db, documents: &[Document]) -> Result<(), Error> {
    for document in documents {
        db.execute(
            "INSERT INTO knowledge (name, version, document) VALUES (?1, ?2, ?3) ON CONFLICT (name) \
             DO UPDATE SET version = excluded.version, document = excluded.document \
             WHERE excluded.version > version",
            params![document.name, document.version as i64, document.json],
        )?;
    }
    Ok(())
}

/// What was learnt under a name.
pub(super) fn knowledge(db: &Db, name: &str) -> Result<Option<Document>, Error> {
    db.row("SELECT version, document FROM knowledge WHERE name = ?1", [name], |row| {
        Ok(Document { name: name.to_owned(), version: row.get::<_, i64>(0)? as u64, json: row.get(1)? })
    })
}
