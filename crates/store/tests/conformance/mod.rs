//! What every store does. A new store is a new file that calls [`conformance!`].

mod acting;
mod history;
mod log;
mod plans;
mod retention;

pub(crate) use acting::*;
pub(crate) use history::*;
pub(crate) use log::*;
pub(crate) use plans::*;
pub(crate) use retention::*;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use larnax_core::event::AnomalyEvent;
use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, Component, ComponentId, Event, Incident, IncidentId, RawEvent, Score,
    Timestamp, Transition,
};
use larnax_store::{Location, OnDamage, Store};

/// Where a store is that nobody has used yet, with what has to live as long.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) _keep: Box<dyn Any + Send + Sync>,
}

impl Place {
    pub(crate) fn open(&self) -> Arc<dyn Store> {
        larnax_store::open(&self.location, OnDamage::Refuse).unwrap()
    }
}

/// One test for each sentence, on a place that `place()` of the calling file makes, or left out where it makes none.
macro_rules! conformance {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(place) = place() {
                    conformance::$name(&place);
                }
            }
        )*
    };
}

/// All of them.
macro_rules! every_store {
    () => {
        conformance! {
            a_new_store_is_empty
            events_come_back_as_they_were_in_their_order
            an_event_is_kept_once_however_often_it_is_sent
            of_events_that_cannot_all_be_kept_none_is
            many_append_at_once_and_a_reader_misses_nothing
            what_was_acknowledged_is_there_when_it_is_opened_again
            a_cursor_never_moves_back
            of_a_component_the_latest_sighting_stays
            of_a_source_of_topology_the_latest_delta_stays
            an_anomaly_follows_its_events_and_keeps_its_evidence
            anomalies_are_found_by_component_time_and_whether_they_are_open
            an_older_incident_never_overwrites_a_newer_one
            incidents_are_listed_newest_first_page_by_page
            what_could_not_be_read_back_is_refused
            an_older_plan_never_overwrites_a_newer_one
            plans_are_listed_latest_first_by_incident_and_whether_they_are_open
            what_was_learnt_stays_until_a_newer_version_comes
            plans_and_what_was_learnt_are_written_together_or_not_at_all
            a_hub_that_has_lost_its_lease_neither_plans_nor_learns
            the_audit_is_listed_newest_first_and_by_subject
            a_lease_has_one_holder_and_its_number_rises
            a_lease_whose_time_is_over_can_be_taken_and_its_former_holder_writes_nothing
            a_lease_that_was_released_protects_nobody_any_more
            read_events_go_and_unread_ones_stay_until_the_hard_limit
            of_too_many_events_the_oldest_go
            what_is_open_stays_and_what_closed_long_ago_goes
        }
    };
}

pub(crate) fn time(second: f64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000.0 + second)
}

pub(crate) fn component(name: &str) -> Component {
    let labels = BTreeMap::from([("job".to_owned(), "shop".to_owned())]);
    Component { id: ComponentId::from_parts("service", "shop", name), group: "shop".to_owned(), labels }
}

pub(crate) fn raw(id: &str) -> RawEvent {
    RawEvent {
        id: id.to_owned(),
        r#type: "io.larnax.anomaly.opened.v1".to_owned(),
        subject: "service/shop/orders".to_owned(),
        time: time(1.0),
        json: format!("{{\"id\":\"{id}\"}}"),
    }
}

pub(crate) fn anomaly(name: &str, onset: f64) -> Anomaly {
    let component = component(name).id;
    Anomaly {
        id: AnomalyId::of(&component, AnomalyKind::Deviation, time(onset)),
        component,
        kind: AnomalyKind::Deviation,
        onset: time(onset),
        opened: time(onset + 1.0),
        last_seen: time(onset + 2.0),
        closed: None,
        close_reason: None,
        score: Score::new(2.0),
        peak: Score::new(3.0),
        alerted: true,
        metrics: Vec::new(),
    }
}

pub(crate) fn event(anomaly: &Anomaly, sequence: u32) -> Event {
    let transition = match (sequence, anomaly.closed) {
        (0, _) => Transition::Opened,
        (_, None) => Transition::Updated,
        (_, Some(_)) => Transition::Closed,
    };
    let data = AnomalyEvent {
        transition,
        sequence,
        anomaly: anomaly.clone(),
        component: component(anomaly.component.name()),
        evidence: None,
    };
    Event::new("/larnax/edge/test", anomaly.last_seen, data)
}

pub(crate) fn incident(name: &str, opened: f64, sequence: u32) -> Incident {
    Incident {
        id: IncidentId::of(anomaly(name, opened).id),
        onset: time(opened),
        opened: time(opened),
        last_seen: time(opened),
        closed: None,
        alerted: true,
        anomalies: Vec::new(),
        left_out: 0,
        plan: None,
        merged_into: None,
        diagnosis: None,
        sequence,
    }
}
