//! Which incidents people are told of. The audit keeps it: whoever takes over goes on from there, and nobody hears twice that
//! an incident has begun.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use larnax_alert::Outbox;
use larnax_alert::outbox::Accepted;
use larnax_core::event::IncidentEvent;
use larnax_core::{CloudEvent, Incident, IncidentId, Timestamp, Transition};
use larnax_diagnose::incidents::Change;
use larnax_store::{AuditEntry, AuditQuery, Fence};

use crate::hub::{Hub, HubError};

/// People are told of an incident after so long even if nothing is known of its cause.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(20);
/// What the audit calls it.
const TOLD: &str = "incident.told";
/// Entries of one incident that are looked through for it, the latest first.
const LOOKED_THROUGH: usize = 100;

/// Incidents that people were told of and not yet that they ended.
#[derive(Default)]
pub(crate) struct Announced(BTreeSet<IncidentId>);

impl Announced {
    /// What people are to hear of a change: once something is known of the cause, or that will take too long.
    pub(crate) fn news(&mut self, change: &Change, told: Transition, now: Timestamp) -> Option<Transition> {
        let incident = &change.incident;
        let waited = now.since(incident.opened) >= ANNOUNCED_AFTER.as_secs_f64();
        if incident.diagnosis.is_none() && incident.closed.is_none() && !waited {
            return None;
        }
        // What is learnt of one that has ended is no news: it would be told as one that begins.
        if told != Transition::Closed && incident.closed.is_some() {
            return None;
        }
        if told == Transition::Closed {
            self.0.remove(&incident.id);
        } else if self.0.insert(incident.id) {
            return Some(Transition::Opened);
        }
        Some(told)
    }
}

impl Hub {
    /// Tells people, and notes it for who takes over.
    pub(crate) async fn tell_people_of(
        &self,
        news: Vec<(Transition, Incident)>,
        fence: &Fence,
    ) -> Result<(), HubError> {
        let Some(people) = self.outbox() else { return Ok(()) };
        let now = self.now();
        for (transition, incident) in news {
            let id = incident.id;
            self.accept(&people, transition, incident, now);
            if transition == Transition::Updated {
                continue;
            }
            let entry = AuditEntry {
                time: now,
                who: self.source(),
                what: TOLD.to_owned(),
                subject: id.to_string(),
                data: serde_json::json!({ "transition": transition }),
            };
            let fence = fence.clone();
            self.with_store(move |store| store.append_audit(&entry, Some(&fence))).await?;
        }
        Ok(())
    }

    /// What people have heard before this hub took over. `since`: incidents that closed before are over.
    pub(crate) async fn announced_before(
        &self,
        stored: &[Incident],
        since: Timestamp,
        fence: &Fence,
    ) -> Result<Announced, HubError> {
        let mut announced = Announced::default();
        let Some(people) = self.outbox() else { return Ok(announced) };
        for incident in stored.iter().filter(|one| one.closed.is_none_or(|closed| closed >= since)) {
            let about = AuditQuery {
                subject: Some(incident.id.to_string()),
                limit: LOOKED_THROUGH,
                ..AuditQuery::default()
            };
            let entries = self.with_store(move |store| store.audit(&about)).await?;
            let told = entries.iter().find(|(_, entry)| entry.what == TOLD);
            let was_opened = told.is_some_and(|(_, entry)| entry.data["transition"] == "opened");
            if was_opened && incident.closed.is_some() {
                self.tell_people_of(vec![(Transition::Closed, incident.clone())], fence).await?;
            } else if was_opened {
                announced.0.insert(incident.id);
                // An Alertmanager is to be reminded, from now on by this hub.
                self.accept(&people, Transition::Updated, incident.clone(), self.now());
            }
        }
        Ok(announced)
    }

    fn accept(
        &self,
        people: &Rc<Outbox<IncidentEvent>>,
        transition: Transition,
        incident: Incident,
        now: Timestamp,
    ) {
        let data = IncidentEvent { transition, incident };
        let event = CloudEvent::<IncidentEvent>::new(&self.source(), now, data);
        match people.accept(&event) {
            Ok(Accepted::Durable) => {}
            // As it is to be in `larnax hub`, whose memory of what was told is the store.
            Ok(Accepted::Held { reason }) => tracing::debug!("an incident is held in memory only: {reason}"),
            Err(error) => tracing::error!(%error, "nobody is told of an incident"),
        }
    }
}
