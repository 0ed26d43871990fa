//! Components, topology, anomalies, incidents.

use larnax_core::{Anomaly, AnomalyId, Event, Incident, IncidentId, Timestamp, TopologyDelta};
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use super::session::Session;
use crate::history::{check_name, latest_events, latest_sightings, rows};
use crate::{AnomalyQuery, AnomalyRecord, Error, IncidentQuery, Sighting, document};

/// Notes what was seen, in one statement: a round trip for each would be slow on a server far away.
pub(super) fn upsert_components(session: &mut Session, seen: &[Sighting]) -> Result<(), Error> {
    let (mut ids, mut agents, mut times, mut documents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sighting in latest_sightings(seen) {
        ids.push(sighting.component.id.as_str());
        agents.push(sighting.agent.as_str());
        times.push(sighting.last_seen.millis());
        documents.push(document::encode(&sighting.component)?);
    }
    session.execute(
        "INSERT INTO larnax.components AS known (id, agent, last_seen, document) \
         SELECT id, agent, last_seen, document::json \
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS seen (id, agent, last_seen, document) \
         ON CONFLICT (id) \
         DO UPDATE SET agent = excluded.agent, last_seen = excluded.last_seen, document = excluded.document \
         WHERE excluded.last_seen >= known.last_seen",
        &[&ids, &agents, &times, &documents],
    )?;
    Ok(())
}

/// All that was seen, by id.
pub(super) fn components(session: &mut Session) -> Result<Vec<Sighting>, Error> {
    let sql = "SELECT agent, last_seen, document::text FROM larnax.components ORDER BY id COLLATE \"C\"";
    let found =
        session.rows(sql, &[], |row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<_, String>(2)?)))?;
    let decode = |(agent, last_seen, component): (String, i64, String)| {
        let component = document::decode(session.place(), "a component", &component)?;
        Ok(Sighting { component, agent, last_seen: Timestamp::from_millis(last_seen) })
    };
    found.into_iter().map(decode).collect()
}

/// Replaces what a source said.
pub(super) fn upsert_topology(
    session: &mut Session,
    at: Timestamp,
    delta: &TopologyDelta,
) -> Result<bool, Error> {
    check_name("the source of the topology", &delta.by)?;
    let changed = session.execute(
        "INSERT INTO larnax.topology AS known (source, said_by, at, document) \
         VALUES ($1, $2, $3, $4::text::json) \
         ON CONFLICT (source, said_by) DO UPDATE SET at = excluded.at, document = excluded.document \
         WHERE excluded.at >= known.at",
        &[&document::word(&delta.source)?, &delta.by, &at.millis(), &document::encode_checked(delta)?],
    )?;
    Ok(changed == 1)
}

/// What each source said.
pub(super) fn topology(session: &mut Session) -> Result<Vec<(Timestamp, TopologyDelta)>, Error> {
    let sql = "SELECT at, document::text FROM larnax.topology \
               ORDER BY source COLLATE \"C\", said_by COLLATE \"C\"";
    let found = session.rows(sql, &[], |row| Ok((row.try_get(0)?, row.try_get::<_, String>(1)?)))?;
    let decode = |(at, delta): (i64, String)| {
        Ok((Timestamp::from_millis(at), document::decode(session.place(), "the topology", &delta)?))
    };
    found.into_iter().map(decode).collect()
}

/// Brings anomalies up to what events say, in one statement.
pub(super) fn upsert_anomalies(session: &mut Session, events: &[Event]) -> Result<usize, Error> {
    let (mut ids, mut owners, mut onsets, mut ends) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut sequences, mut agents, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    let (mut components, mut evidences) = (Vec::new(), Vec::new());
    for (event, evidence) in latest_events(events) {
        let anomaly = &event.data.anomaly;
        ids.push(anomaly.id.to_string());
        owners.push(anomaly.component.as_str());
        onsets.push(anomaly.onset.millis());
        ends.push(anomaly.closed.map(Timestamp::millis));
        sequences.push(i64::from(event.data.sequence));
        agents.push(event.source.as_str());
        documents.push(document::encode(anomaly)?);
        components.push(document::encode(&event.data.component)?);
        evidences.push(evidence.map(document::encode).transpose()?);
    }
    let changed = session.execute(
        "INSERT INTO larnax.anomalies AS known \
         (id, component, onset, closed, sequence, agent, document, component_document, evidence) \
         SELECT id, component, onset, closed, sequence, agent, document::json, component_document::json, \
         evidence::json FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], \
         $6::text[], $7::text[], $8::text[], $9::text[]) AS event \
         (id, component, onset, closed, sequence, agent, document, component_document, evidence) \
         ON CONFLICT (id) DO UPDATE SET \
         onset = excluded.onset, closed = excluded.closed, sequence = excluded.sequence, \
         agent = excluded.agent, document = excluded.document, \
         component_document = excluded.component_document, \
         evidence = coalesce(excluded.evidence, known.evidence) WHERE excluded.sequence > known.sequence",
        &[&ids, &owners, &onsets, &ends, &sequences, &agents, &documents, &components, &evidences],
    )?;
    Ok(changed as usize)
}

/// One anomaly.
pub(super) fn anomaly(session: &mut Session, id: AnomalyId) -> Result<Option<AnomalyRecord>, Error> {
    let found = session.row(
        "SELECT document::text, component_document::text, agent, sequence, evidence::text \
         FROM larnax.anomalies WHERE id = $1",
        &[&id.to_string()],
        |row| {
            let documents = (row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
            Ok((documents, row.try_get(2)?, row.try_get::<_, i64>(3)?, row.try_get::<_, Option<String>>(4)?))
        },
    )?;
    let Some(((anomaly, component), agent, sequence, evidence)) = found else { return Ok(None) };
    let place = session.place();
    let decode = |evidence: String| document::decode(place, "the evidence of an anomaly", &evidence);
    Ok(Some(AnomalyRecord {
        anomaly: document::decode(place, "an anomaly", &anomaly)?,
        component: document::decode(place, "the component of an anomaly", &component)?,
        agent,
        sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
        evidence: evidence.map(decode).transpose()?,
    }))
}

/// Anomalies, the latest onset first.
pub(super) fn anomalies(session: &mut Session, query: &AnomalyQuery) -> Result<Vec<Anomaly>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add_fixed("closed IS NULL");
    }
    if let Some(component) = &query.component {
        asked.add("component =", component.to_string());
    }
    if let Some(from) = query.from {
        asked.add("onset >=", from.millis());
    }
    if let Some(until) = query.until {
        asked.add("onset <", until.millis());
    }
    if let Some((onset, id)) = query.after {
        asked.add_page("onset", onset, id.to_string());
    }
    asked.documents(session, "anomalies", "onset", query.limit)
}

/// Writes incidents as they stand.
pub(super) fn upsert_incidents(session: &mut Session, incidents: &[Incident]) -> Result<usize, Error> {
    let mut changed = 0;
    for incident in incidents {
        changed += session.execute(
            "INSERT INTO larnax.incidents AS known (id, opened, closed, sequence, document) \
             VALUES ($1, $2, $3, $4, $5::text::json) \
             ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, closed = excluded.closed, \
             sequence = excluded.sequence, document = excluded.document WHERE excluded.sequence > known.sequence",
            &[
                &incident.id.to_string(),
                &incident.opened.millis(),
                &incident.closed.map(Timestamp::millis),
                &i64::from(incident.sequence),
                &document::encode_checked(incident)?,
            ],
        )?;
    }
    Ok(changed as usize)
}

/// One incident.
pub(super) fn incident(session: &mut Session, id: IncidentId) -> Result<Option<Incident>, Error> {
    let sql = "SELECT document::text FROM larnax.incidents WHERE id = $1";
    let found = session.row(sql, &[&id.to_string()], |row| row.try_get::<_, String>(0))?;
    found.map(|text| document::decode(session.place(), "an incident", &text)).transpose()
}

/// Incidents, the latest opened first.
pub(super) fn incidents(session: &mut Session, query: &IncidentQuery) -> Result<Vec<Incident>, Error> {
    let mut asked = Asked::default();
    if query.open {
        asked.add_fixed("closed IS NULL");
    }
    if let Some((opened, id)) = query.after {
        asked.add_page("opened", opened, id.to_string());
    }
    asked.documents(session, "incidents", "opened", query.limit)
}

/// The conditions of a question.
#[derive(Default)]
pub(super) struct Asked {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Asked {
    pub(super) fn add_fixed(&mut self, condition: &'static str) {
        self.conditions.push(condition.to_owned());
    }

    fn value(&mut self, value: impl ToSql + Sync + 'static) -> usize {
        self.values.push(Box::new(value));
        self.values.len()
    }

    pub(super) fn add(&mut self, comparison: &str, value: impl ToSql + Sync + 'static) {
        let number = self.value(value);
        self.conditions.push(format!("{comparison} ${number}"));
    }

    pub(super) fn add_page(&mut self, column: &str, time: Timestamp, id: String) {
        let (time, id) = (self.value(time.millis()), self.value(id));
        self.conditions.push(format!("({column}, id) < (${time}, ${id})"));
    }

    pub(super) fn documents<T: DeserializeOwned>(
        mut self,
        session: &mut Session,
        table: &str,
        time: &str,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let limit = self.value(rows(limit));
        self.conditions.push("TRUE".to_owned());
        let sql = format!(
            "SELECT document::text FROM larnax.{table} WHERE {} ORDER BY {time} DESC, id DESC LIMIT ${limit}",
            self.conditions.join(" AND ")
        );
        let params: Vec<&(dyn ToSql + Sync)> = self.values.iter().map(|value| &**value).collect();
        let found = session.rows(&sql, &params, |row| row.try_get::<_, String>(0))?;
        found.iter().map(|text| document::decode(session.place(), table, text)).collect()
    }
}
