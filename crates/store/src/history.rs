//! What the history holds, and what can be asked of it.

use std::collections::BTreeMap;

use larnax_core::{
    Anomaly, AnomalyId, Component, ComponentId, Event, Evidence, IncidentId, PlanId, RawEvent, Timestamp,
};
use serde_json::Value;

use crate::Error;

/// The most rows that one question gets.
pub(crate) const MAX_ROWS: usize = 10_000;
/// The longest name of an event, type, subject, lease, holder or consumer, in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// The longest document, in bytes. Whoever takes events from outside has stricter limits.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// That a component was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// What was seen.
    pub component: Component,
    /// Who saw it: the source of its events, `/larnax/edge/HOSTNAME`.
    pub agent: String,
    /// When.
    pub last_seen: Timestamp,
}

/// What is known of an anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalyRecord {
    /// As of its latest event.
    pub anomaly: Anomaly,
    /// Whose it is.
    pub component: Component,
    /// Who said so.
    pub agent: String,
    /// The number of its latest event.
    pub sequence: u32,
    /// The latest evidence that came with one of its events.
    pub evidence: Option<Evidence>,
}

/// Which anomalies. The default is all, as many as one answer holds.
#[derive(Clone, Debug, Default)]
pub struct AnomalyQuery {
    /// Only those that have not ended.
    pub open: bool,
    /// Only those of this component.
    pub component: Option<ComponentId>,
    /// Only those whose onset is not before this.
    pub from: Option<Timestamp>,
    /// Only those whose onset is before this.
    pub until: Option<Timestamp>,
    /// The next page: only those after this one, the last of the page before.
    pub after: Option<(Timestamp, AnomalyId)>,
    /// At most so many; 0, and anything above 10,000, is 10,000.
    pub limit: usize,
}

/// Which incidents. The default is all, as many as one answer holds.
#[derive(Clone, Debug, Default)]
pub struct IncidentQuery {
    /// Only those that have not ended.
    pub open: bool,
    /// The next page: only those after this one (`opened` and `id`), the last of the page before.
    pub after: Option<(Timestamp, IncidentId)>,
    /// At most so many; 0, and anything above 10,000, is 10,000.
    pub limit: usize,
}

/// Which plans. The default is all, as many as one answer holds.
#[derive(Clone, Debug, Default)]
pub struct PlanQuery {
    /// Only those that have not ended.
    pub open: bool,
    /// Only those about this incident.
    pub incident: Option<IncidentId>,
    /// The next page: only those after this one (`made` and `id`), the last of the page before.
    pub after: Option<(Timestamp, PlanId)>,
    /// At most so many; 0, and anything above 10,000, is 10,000.
    pub limit: usize,
}

/// Something that was learnt, as a whole: whoever learns more writes it anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which, such as `patterns`; 1 to 1,024 bytes.
    pub name: String,
    /// Rises with each change. What is not newer than what is known changes nothing.
    pub version: u64,
    /// What was learnt: JSON of at most 16 MiB, given back as it came.
    pub json: String,
}

/// One entry of the audit: who did what to what, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// When.
    pub time: Timestamp,
    /// A person, or a part of Larnax.
    pub who: String,
    /// Such as `incident.note`.
    pub what: String,
    /// To what: an id.
    pub subject: String,
    /// Anything else.
    pub data: Value,
}

/// Which entries of the audit. The default is all, as many as one answer holds.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only about this.
    pub subject: Option<String>,
    /// The next page: only those with a smaller number.
    pub before: Option<u64>,
    /// At most so many; 0, and anything above 10,000, is 10,000.
    pub limit: usize,
}

/// How many rows an answer may have.
pub(crate) fn rows(limit: usize) -> i64 {
    if limit == 0 { MAX_ROWS as i64 } else { limit.min(MAX_ROWS) as i64 }
}

/// The latest of several sightings of each component, by id: two hubs that write the same ones at the same time lock them in
/// the same order.
pub(crate) fn latest_sightings(seen: &[Sighting]) -> impl Iterator<Item = &Sighting> {
    let mut latest: BTreeMap<&str, &Sighting> = BTreeMap::new();
    for sighting in seen {
        let known = latest.entry(sighting.component.id.as_str()).or_insert(sighting);
        if sighting.last_seen >= known.last_seen {
            *known = sighting;
        }
    }
    latest.into_values()
}

/// The latest of several events of each anomaly, with the latest evidence, by id.
pub(crate) fn latest_events(events: &[Event]) -> impl Iterator<Item = (&Event, Option<&Evidence>)> {
    let mut latest: BTreeMap<AnomalyId, (&Event, Option<&Evidence>)> = BTreeMap::new();
    for event in events {
        let evidence = event.data.evidence.as_ref();
        let known = latest.entry(event.data.anomaly.id).or_insert((event, evidence));
        if event.data.sequence > known.0.data.sequence {
            *known = (event, evidence.or(known.1));
        } else if known.1.is_none() {
            known.1 = evidence;
        }
    }
    latest.into_values()
}

/// Refuses names that a database can't hold or that nobody means.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
        return Err(Error::Invalid(format!(
            "{what} `{}` has {} bytes: expected 1 to {MAX_NAME_BYTES}, none of them zero",
            name.chars().take(40).filter(|c| !c.is_control()).collect::<String>(),
            name.len()
        )));
    }
    Ok(())
}

/// Refuses entries of the audit that a database can't hold.
pub(crate) fn check_entry(entry: &AuditEntry) -> Result<(), Error> {
    check_name("who it was", &entry.who)?;
    check_name("what was done", &entry.what)?;
    check_name("the subject of the audit", &entry.subject)
}

/// Refuses events that a database can't hold.
pub(crate) fn check_events(events: &[RawEvent]) -> Result<(), Error> {
    for event in events {
        check_name("the event", &event.id)?;
        check_name("the event type", &event.r#type)?;
        check_name("the event subject", &event.subject)?;
        if event.json.len() > MAX_DOCUMENT_BYTES || event.json.contains('\0') {
            return Err(Error::Invalid(format!(
                "the event `{}` has {} bytes: expected JSON of at most {MAX_DOCUMENT_BYTES}",
                event.id,
                event.json.len()
            )));
        }
    }
    Ok(())
}

/// Refuses documents that a database can't hold, or that nobody could read back.
pub(crate) fn check_documents(documents: &[Document]) -> Result<(), Error> {
    for document in documents {
        check_name("the document", &document.name)?;
        let invalid =
            |reason: String| Err(Error::Invalid(format!("the document `{}` {reason}", document.name)));
        if document.json.len() > MAX_DOCUMENT_BYTES {
            let bytes = document.json.len();
            return invalid(format!("has {bytes} bytes: expected JSON of at most {MAX_DOCUMENT_BYTES}"));
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&document.json) {
            return invalid(format!("can't be read back once stored: {error}"));
        }
        if i64::try_from(document.version).is_err() {
            return invalid(format!("has the version {}: expected at most {}", document.version, i64::MAX));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_sightings_the_latest_stays() {
        let seen = |name: &str, second: f64| Sighting {
            component: Component {
                id: ComponentId::from_parts("service", "shop", name),
                group: "shop".to_owned(),
                labels: BTreeMap::new(),
            },
            agent: "a".to_owned(),
            last_seen: Timestamp::from_seconds(second),
        };
        let all = [seen("b", 1.0), seen("a", 5.0), seen("b", 3.0), seen("b", 2.0)];
        let latest: Vec<_> = latest_sightings(&all).collect();
        assert_eq!(latest, [&all[1], &all[2]]);
    }

    #[test]
    fn names_that_no_database_can_hold_are_refused() {
        assert!(check_name("the lease", "act").is_ok());
        for bad in ["", "a\0b", &"x".repeat(2000)] {
            assert!(check_name("the lease", bad).is_err());
        }
    }
}
