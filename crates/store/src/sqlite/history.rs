//! Components, topology, anomalies, incidents.

use larnax_core::{Anomaly, AnomalyId, Event, Incident, IncidentId, Timestamp, TopologyDelta};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};
use serde::de::DeserializeOwned;

use super::db::Db;
use crate::history::{check_name, latest_events, latest_sightings, rows};
use crate::{AnomalyQuery, AnomalyRecord, Error, IncidentQuery, Sighting, document};

/// Notes what was seen.
pub(super) fn upsert_components(db: &Db, seen: &[Sighting]) -> Result<(), Error> {
    for sighting in latest_sightings(seen) {
        db.execute(
            "INSERT INTO components (id, agent, last_seen, document) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) \
             DO UPDATE SET agent = excluded.agent, last_seen = excluded.last_seen, document = excluded.document \
             WHERE excluded.last_seen >= last_seen",
            params![
                sighting.component.id.as_str(),
                sighting.agent,
                sighting.last_seen.millis(),
                document::encode(&sighting.component)?
            ],
        )?;
    }
    Ok(())
}

/// All that was seen, by id.
pub(super) fn components(db: &Db) -> Result<Vec<Sighting>, Error> {
    let found = db.rows("SELECT agent, last_seen, document FROM components ORDER BY id", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
    })?;
    found
        .into_iter()
        .map(|(agent, last_seen, component)| {
            let component = document::decode(&db.place, "a component", &component)?;
            Ok(Sighting { component, agent, last_seen: Timestamp::from_millis(last_seen) })
        })
        .collect()
}

/// Replaces what a source said.
pub(super) fn upsert_topology(db: &Db, at: Timestamp, delta: &TopologyDelta) -> Result<bool, Error> {
    check_name("the source of the topology", &delta.by)?;
    let changed = db.execute(
        "INSERT INTO topology (source, said_by, at, document) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (source, said_by) DO UPDATE SET at = excluded.at, document = excluded.document \
         WHERE excluded.at >= at",
        params![document::word(&delta.source)?, delta.by, at.millis(), document::encode_checked(delta)?],
    )?;
    Ok(changed == 1)
}

/// What each source said.
pub(super) fn topology(db: &Db) -> Result<Vec<(Timestamp, TopologyDelta)>, Error> {
    let found = db.rows("SELECT at, document FROM topology ORDER BY source, said_by", [], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?))
    })?;
    found
        .into_iter()
        .map(|(at, delta)| {
            Ok((Timestamp::from_millis(at), document::decode(&db.place, "the topology", &delta)?))
        })
        .collect()
}

/// Brings anomalies up to what events say.
pub(super) fn upsert_anomalies(db: &Db, events: &[Event]) -> Result<usize, Error> {
    let mut changed = 0;
    for (event, evidence) in latest_events(events) {
        let anomaly = &event.data.anomaly;
        changed += db.execute(
            "INSERT INTO anomalies \
             (id, component, onset, closed, sequence, agent, document, component_document, evidence) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET \
             onset = excluded.onset, closed = excluded.closed, sequence = excluded.sequence, \
             agent = excluded.agent, document = excluded.document, \
             component_document = excluded.component_document, \
             evidence = coalesce(excluded.evidence, evidence) WHERE excluded.sequence > sequence",
            params![
                anomaly.id.to_string(),
                anomaly.component.as_str(),
                anomaly.onset.millis(),
                anomaly.closed.map(Timestamp::millis),
                event.data.sequence,
                event.source,
                document::encode(anomaly)?,
                document::encode(&event.data.component)?,
                evidence.map(document::encode).transpose()?
            ],
        )?;
    }
    Ok(changed)
}

/// One anomaly.
pub(super) fn anomaly(db: &Db, id: AnomalyId) -> Result<Option<AnomalyRecord>, Error> {
    let found = db.row(
        "SELECT document, component_document, agent, sequence, evidence FROM anomalies WHERE id = ?1",
        [id.to_string()],
        |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get::<_, Option<String>>(4)?,
            ))
        },
    )?;
    let Some((anomaly, component, agent, sequence, evidence)) = found else { return Ok(None) };
    let decode = |evidence: String| document::decode(&db.place, "the evidence of an anomaly", &evidence);
    Ok(Some(AnomalyRecord {
        anomaly: document::decode(&db.place, "an anomaly", &anomaly)?,
        component: document::decode(&db.place, "the component of an anomaly", &component)?,
        agent,
        sequence,
        evidence: evidence.map(decode).transpose()?,
    }))
}

/// Anomalies, the latest onset first.
pub(super) fn anomalies(db: &Db, query: &AnomalyQuery) -> Result<Vec<Anomaly>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add("closed IS NULL", []);
    }
    if let Some(component) = &query.component {
        asked.add("component = ?", [Value::from(component.to_string())]);
    }
    if let Some(from) = query.from {
        asked.add("onset >= ?", [from.millis().into()]);
    }
    if let Some(until) = query.until {
        asked.add("onset < ?", [until.millis().into()]);
    }
    if let Some((onset, id)) = query.after {
        asked.add("(onset, id) < (?, ?)", [onset.millis().into(), id.to_string().into()]);
    }
    asked.documents(db, "anomalies", "onset", query.limit)
}

/// Writes incidents as they stand.
pub(super) fn upsert_incidents(db: &Db, incidents: &[Incident]) -> Result<usize, Error> {
    let mut changed = 0;
    for incident in incidents {
        changed += db.execute(
            "INSERT INTO incidents (id, opened, closed, sequence, document) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, closed = excluded.closed, \
             sequence = excluded.sequence, document = excluded.document WHERE excluded.sequence > sequence",
            params![
                incident.id.to_string(),
                incident.opened.millis(),
                incident.closed.map(Timestamp::millis),
                incident.sequence,
                document::encode_checked(incident)?
            ],
        )?;
    }
    Ok(changed)
}

/// One incident.
pub(super) fn incident(db: &Db, id: IncidentId) -> Result<Option<Incident>, Error> {
    let sql = "SELECT document FROM incidents WHERE id = ?1";
    let found = db.row(sql, [id.to_string()], |row| row.get::<_, String>(0))?;
    found.map(|text| document::decode(&db.place, "an incident", &text)).transpose()
}

/// Incidents, the latest opened first.
pub(super) fn incidents(db: &Db, query: &IncidentQuery) -> Result<Vec<Incident>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add("closed IS NULL", []);
    }
    if let Some((opened, id)) = query.after {
        asked.add("(opened, id) < (?, ?)", [opened.millis().into(), id.to_string().into()]);
    }
    asked.documents(db, "incidents", "opened", query.limit)
}

/// The conditions of a question. Put together, because `? IS NULL OR …` would keep SQLite from using its indexes.
#[derive(Default)]
pub(super) struct Asked {
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Asked {
    pub(super) fn add<const N: usize>(&mut self, condition: &'static str, values: [Value; N]) {
        self.conditions.push(condition);
        self.values.extend(values);
    }

    pub(super) fn documents<T: DeserializeOwned>(
        mut self,
        db: &Db,
        table: &str,
        time: &str,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        self.conditions.push("TRUE");
        self.values.push(rows(limit).into());
        let conditions = self.conditions.join(" AND ");
        let sql =
            format!("SELECT document FROM {table} WHERE {conditions} ORDER BY {time} DESC, id DESC LIMIT ?");
        let found = db.rows(&sql, params_from_iter(self.values), |row| row.get::<_, String>(0))?;
        found.iter().map(|text| document::decode(&db.place, table, text)).collect()
    }
}
