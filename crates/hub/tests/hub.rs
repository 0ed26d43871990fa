//! A hub with edges that are only their side of the session: what is told becomes an incident, evidence is asked for, and the
//! cause is named.

#![allow(clippy::unwrap_used)]

mod support;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{
    Appended, Clock, EventLog, LogError, Logged, MetricName, RawEvent, SystemClock, Timestamp, Transition,
    Window,
};
use larnax_hub::{Hub, HubOptions};
use larnax_session::{EvidencePart, Pull};
use larnax_store::{AuditQuery, IncidentQuery, Store};
use serde_json::value::to_raw_value;
use tokio::time::sleep;

use support::*;

#[test]
fn what_edges_tell_becomes_one_incident_whose_cause_is_named_from_pulled_evidence() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = hub(&store);
        hub.tell_topology(shop()).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        let mut edges = Edges::connect(&hub).await;
        let later = onset.plus(Duration::from_secs(3));
        assert!(edges.tell(&[opened("stock", onset), opened("web", later)]).await.is_empty());
        // Twice is once.
        assert!(edges.tell(&[opened("stock", onset)]).await.is_empty());
        tokio::task::spawn_local(edges.answer(move |pull| samples(pull, onset)));
        let incident = incident_that(&store, |incident| incident.diagnosis.is_some()).await;
        assert_eq!(incident.anomalies.len(), 2);
        let diagnosis = incident.diagnosis.unwrap();
        assert_eq!(diagnosis.candidates[0].component, id("stock"), "{diagnosis:?}");
        assert_eq!(diagnosis.edges.len(), 2);
        assert!(diagnosis.evidence_bytes > 0);
        assert!(!diagnosis.candidates[0].metrics[0].points.is_empty());
        assert_eq!(store.incidents(&IncidentQuery::default()).unwrap().len(), 1);
    });
}

/// A shop whose stock failed the second time looked otherwise than the first time: its callers, which nobody had noticed, had had the
/// same errors before.
#[test]
fn what_an_earlier_incident_did_to_those_near_it_is_not_what_is_usual_for_them() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = hub(&store);
        hub.tell_topology(shop()).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        let before = move |seconds: u64| onset.minus(Duration::from_secs(seconds));
        let mut first = opened("stock", before(250));
        (first.data.anomaly.closed, first.data.anomaly.last_seen) = (Some(before(190)), before(190));
        first.data.transition = Transition::Closed;
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[first, opened("stock", onset)]).await;
        tokio::task::spawn_local(edges.answer(move |pull| {
            let mut part = samples(pull, onset);
            for (time, row) in part.window.times.iter().zip(&mut part.window.rows) {
                if (before(250)..before(190)).contains(time) {
                    row.iter_mut().flatten().for_each(|value| *value += 6.0);
                }
            }
            part
        }));
        let incident =
            incident_that(&store, |one| one.anomalies[0].closed.is_none() && one.diagnosis.is_some()).await;
        let candidates = incident.diagnosis.unwrap().candidates;
        let orders = candidates.iter().find(|candidate| candidate.component == id("orders")).unwrap();
        let usual = orders.metrics[0].before;
        assert!(usual < 10.6, "{usual}: 10 and as much as half of a noise of 1");
    });
}

/// Rows a minute apart, as many as are asked for.
fn slow_samples(pull: &Pull, onset: Timestamp) -> EvidencePart {
    let minutes = (pull.until.since(pull.from) / 60.0) as u64;
    let times: Vec<Timestamp> = (0..minutes).map(|i| pull.from.plus(Duration::from_secs(60 * i))).collect();
    let rise = if pull.component.name() == "stock" { 60.0 } else { 0.0 };
    let value = |i: usize, time: &Timestamp| {
        let noise = ((i * 7_919) % 101) as f64 / 101.0;
        vec![Some(10.0 + noise + if *time >= onset { rise } else { 0.0 })]
    };
    let rows = times.iter().enumerate().map(|(i, time)| value(i, time)).collect();
    let window = Window { rows, metrics: vec![MetricName::new("cpu_seconds").unwrap()], times };
    EvidencePart { id: pull.id, rows: window.times.len(), window, ..EvidencePart::default() }
}

#[test]
fn where_samples_are_far_apart_and_the_calls_unknown_more_of_the_past_and_of_the_place_is_asked_for() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = hub(&store);
        let onset = SystemClock.now().minus(Duration::from_secs(300));
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[opened("web", onset)]).await;
        let asked = Rc::new(std::cell::RefCell::new(Vec::new()));
        let told = Rc::clone(&asked);
        tokio::task::spawn_local(edges.answer(move |pull| {
            told.borrow_mut().push(pull.clone());
            slow_samples(pull, onset)
        }));
        let incident = incident_that(&store, |incident| incident.diagnosis.is_some()).await;
        let diagnosis = incident.diagnosis.unwrap();
        assert_eq!(diagnosis.candidates[0].component, id("stock"), "{diagnosis:?}");
        for name in NAMES {
            let asked = asked.borrow();
            let of: Vec<&Pull> = asked.iter().filter(|pull| pull.component == id(name)).collect();
            assert_eq!(of.len(), 2, "{name}");
            assert!(onset.since(of[1].from) >= 300.0 * 60.0, "{name}");
            assert!(of[1].max_bytes < of[0].max_bytes, "both within the same share of the budget");
        }
    });
}

#[test]
fn an_edge_that_does_not_answer_costs_evidence_and_not_the_incident() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = hub(&store);
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[opened("stock", SystemClock.now())]).await;
        let incident = incident_that(&store, |incident| incident.diagnosis.is_some()).await;
        let diagnosis = incident.diagnosis.unwrap();
        assert!(!diagnosis.known, "{diagnosis:?}");
        assert!(diagnosis.notes.iter().any(|note| note.contains("did not answer")), "{:?}", diagnosis.notes);
    });
}

#[test]
fn events_that_are_none_are_refused_by_their_place_and_the_others_are_taken() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = hub(&store);
        let mut edges = Edges::connect(&hub).await;
        let now = SystemClock.now();
        let mut broken = serde_json::to_value(opened("web", now)).unwrap();
        broken["data"]["anomaly"]["onset"] = "yesterday".into();
        let events = vec![
            to_raw_value(&opened("stock", now)).unwrap(),
            to_raw_value(&serde_json::json!({"specversion": "1.0"})).unwrap(),
            to_raw_value(&broken).unwrap(),
        ];
        let refused = edges.tell_raw(events).await;
        assert_eq!(refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2], "{refused:?}");
        assert_eq!(store.bounds().unwrap().1, 1);
    });
}

#[test]
fn a_hub_that_starts_again_goes_on_with_its_incidents() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let onset = SystemClock.now();
        let first = {
            let store = store(folder.path());
            let hub = hub(&store);
            let mut edges = Edges::connect(&hub).await;
            edges.tell(&[opened("stock", onset)]).await;
            let incident = incident_that(&store, |_| true).await;
            hub.leave().await;
            incident.id
        };
        let store = copy(folder.path());
        let hub = hub(&store);
        hub.tell_topology(shop()).await;
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[opened("orders", onset.plus(Duration::from_secs(2)))]).await;
        let incident = incident_that(&store, |incident| incident.anomalies.len() == 2).await;
        assert_eq!(incident.id, first);
    });
}

#[test]
fn people_hear_once_that_an_incident_has_begun_whichever_hub_acts() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let onset = SystemClock.now();
        {
            let store = store(folder.path());
            let hub = hub(&store);
            let people = people(&hub);
            let mut edges = Edges::connect(&hub).await;
            edges.tell(&[opened("stock", onset)]).await;
            assert_eq!(told(&people, 1).await, [Transition::Opened]);
            // Noted after it was told.
            while store.audit(&AuditQuery::default()).unwrap().is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
            hub.leave().await;
        }
        let store = copy(folder.path());
        let hub = hub(&store);
        let people = people(&hub);
        hub.tell_topology(shop()).await;
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[opened("orders", onset.plus(Duration::from_secs(2)))]).await;
        // That it goes on, from the hub that takes over, and that it has grown.
        assert!(told(&people, 2).await.iter().all(|transition| *transition == Transition::Updated));
        assert_eq!(store.audit(&AuditQuery::default()).unwrap().len(), 1);
    });
}

/// A log whose every reading takes so long.
struct Slow(Arc<dyn Store>, Duration);

impl EventLog for Slow {
    fn append(&self, events: &[RawEvent]) -> Result<Appended, LogError> {
        self.0.append(events)
    }
    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Logged>, LogError> {
        std::thread::sleep(self.1);
        self.0.read_after(sequence, limit)
    }
    fn epoch(&self) -> Result<String, LogError> {
        EventLog::epoch(&*self.0)
    }
    fn bounds(&self) -> Result<(u64, u64), LogError> {
        self.0.bounds()
    }
}

#[test]
fn a_log_that_is_read_slowly_is_read_all_the_same() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let log: Arc<dyn EventLog> = Arc::new(Slow(Arc::clone(&store), Duration::from_millis(1300)));
        let options =
            HubOptions { settle: Duration::from_millis(200), again: vec![], ..HubOptions::new("test") };
        let hub = Hub::new(options, Arc::clone(&store), log, false, Rc::new(SystemClock));
        tokio::task::spawn_local(Rc::clone(&hub).run());
        let mut edges = Edges::connect(&hub).await;
        edges.tell(&[opened("stock", SystemClock.now())]).await;
        incident_that(&store, |_| true).await;
    });
}
