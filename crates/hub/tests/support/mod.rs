//! Edges that are only their side of the session.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larnax_alert::{Outbox, OutboxOptions};
use larnax_core::event::{AnomalyEvent, IncidentEvent};
use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, Command, Component, ComponentId, Edge, EdgeKind, Event, EventLog,
    Incident, MetricName, Offer, Report, Score, SystemClock, Timestamp, TopologyDelta, TopologySource,
    Transition, Window,
};
use larnax_hub::{Hub, HubOptions};
use larnax_session::wire::{Heard, Receiver, Sender};
use larnax_session::{Delivery, EvidencePart, FromEdge, FromHub, Hello, Learnt, PROTOCOL, Pull};
use larnax_store::{IncidentQuery, Location, OnDamage, Store};
use serde_json::value::to_raw_value;
use tokio::io::DuplexStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

pub(crate) const NAMES: [&str; 3] = ["web", "orders", "stock"];

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::from_parts("service", "shop", name)
}

pub(crate) fn component(name: &str) -> Component {
    Component { id: id(name), group: "shop".to_owned(), labels: BTreeMap::new() }
}

/// An anomaly of `name` that began at `onset`.
pub(crate) fn opened(name: &str, onset: Timestamp) -> Event {
    let anomaly = Anomaly {
        id: AnomalyId::of(&id(name), AnomalyKind::Deviation, onset),
        component: id(name),
        kind: AnomalyKind::Deviation,
        onset,
        opened: onset,
        last_seen: onset,
        closed: None,
        close_reason: None,
        score: Score::new(3.0),
        peak: Score::new(3.0),
        alerted: true,
        metrics: vec![],
    };
    let data = AnomalyEvent {
        transition: Transition::Opened,
        sequence: 0,
        anomaly,
        component: component(name),
        evidence: None,
    };
    Event::new("/larnax/edge/a", onset, data)
}

pub(crate) fn store(folder: &Path) -> Arc<dyn Store> {
    larnax_store::open(&Location::File(folder.join("hub.db")), OnDamage::default()).unwrap()
}

/// The tasks of a hub hold its store; another connection to the same file is another store.
pub(crate) fn copy(folder: &Path) -> Arc<dyn Store> {
    let copy = folder.join("copy");
    std::fs::create_dir(&copy).unwrap();
    let of = Location::File(folder.join("hub.db"));
    larnax_store::backup(&of, &copy.join("hub.db"), &mut |_, _| {}).unwrap();
    store(&copy)
}

/// People who are told by the hub; nobody delivers it.
pub(crate) fn people(hub: &Hub) -> Rc<Outbox<IncidentEvent>> {
    let options = OutboxOptions { sinks: vec!["people".to_owned()], ..OutboxOptions::default() };
    let outbox = Rc::new(Outbox::open(None, options).unwrap().0);
    hub.tell_people(Rc::clone(&outbox), Vec::new());
    outbox
}

/// What people are told, once it is as much as that.
pub(crate) async fn told(people: &Outbox<IncidentEvent>, count: usize) -> Vec<Transition> {
    let waiting = async {
        loop {
            let told = people.pending("people", 100).events;
            if told.len() >= count {
                return told.iter().map(|event| event.data.transition).collect();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.expect("people are told in time")
}

pub(crate) fn hub(store: &Arc<dyn Store>) -> Rc<Hub> {
    named_hub("test", store, vec![])
}

/// One that diagnoses again after such times.
pub(crate) fn named_hub(name: &str, store: &Arc<dyn Store>, again: Vec<Duration>) -> Rc<Hub> {
    let options = HubOptions {
        settle: Duration::from_millis(200),
        answer_within: Duration::from_secs(2),
        again,
        ..HubOptions::new(name)
    };
    let log: Arc<dyn EventLog> = store.clone();
    let hub = Hub::new(options, Arc::clone(store), log, false, Rc::new(SystemClock));
    tokio::task::spawn_local(Rc::clone(&hub).run());
    hub
}

/// An edge that watches all components.
pub(crate) struct Edges {
    sender: Sender<DuplexStream>,
    receiver: Receiver<DuplexStream>,
    number: u64,
}

impl Edges {
    pub(crate) async fn connect(hub: &Rc<Hub>) -> Self {
        Self::offering(hub, Vec::new()).await
    }

    /// With what it can do to them.
    pub(crate) async fn offering(hub: &Rc<Hub>, offers: Vec<Offer>) -> Self {
        let url = larnax_http::Url::parse("http://127.0.0.1/").unwrap();
        let (sender, receiver) = larnax_session::open::over(hub.connect(), &url, None).await.unwrap();
        let mut edges = Self { sender, receiver, number: 0 };
        let hello = Hello {
            protocol: PROTOCOL,
            agent: "a".to_owned(),
            version: "1".to_owned(),
            components: NAMES.map(component).to_vec(),
            offers,
            learning: None,
        };
        edges.sender.send(&FromEdge::Hello(hello)).await.unwrap();
        assert!(matches!(edges.receiver.next::<FromHub>().await, Ok(Heard::Message(FromHub::Welcome(_)))));
        edges
    }

    /// One that watches a component, and says whether it is still learning it.
    pub(crate) async fn watching(hub: &Rc<Hub>, agent: &str, id: &str, learning: bool) -> Self {
        let url = larnax_http::Url::parse("http://127.0.0.1/").unwrap();
        let (sender, receiver) = larnax_session::open::over(hub.connect(), &url, None).await.unwrap();
        let mut edge = Self { sender, receiver, number: 0 };
        let id: ComponentId = id.parse().unwrap();
        let hello = Hello {
            protocol: PROTOCOL,
            agent: agent.to_owned(),
            version: "1".to_owned(),
            learning: Some(learning.then(|| id.clone()).into_iter().collect()),
            components: vec![Component { id, group: String::new(), labels: BTreeMap::new() }],
            offers: Vec::new(),
        };
        edge.sender.send(&FromEdge::Hello(hello)).await.unwrap();
        edge
    }

    /// The next that it hears of what is learnt.
    pub(crate) async fn hears_of_models(&mut self) -> FromHub {
        let hearing = async {
            loop {
                let heard = self.receiver.next::<FromHub>().await.unwrap();
                if let Heard::Message(heard @ (FromHub::Learnt(_) | FromHub::BeginWith(_))) = heard {
                    return heard;
                }
            }
        };
        timeout(Duration::from_secs(30), hearing).await.expect("it is asked or told in time")
    }

    /// Says what it has learnt.
    pub(crate) async fn says_what_it_learnt(&mut self, learnt: Learnt) {
        self.sender.send(&FromEdge::Learnt(learnt)).await.unwrap();
    }

    /// Sends events and waits until they are safe; gives back what was refused.
    pub(crate) async fn tell(&mut self, events: &[Event]) -> Vec<(usize, String)> {
        self.number += 1;
        let events = events.iter().map(|event| to_raw_value(event).unwrap()).collect();
        self.tell_raw(events).await
    }

    pub(crate) async fn tell_raw(
        &mut self,
        events: Vec<Box<serde_json::value::RawValue>>,
    ) -> Vec<(usize, String)> {
        let delivery = Delivery { number: self.number, events };
        self.sender.send(&FromEdge::Events(delivery)).await.unwrap();
        loop {
            if let Heard::Message(FromHub::Acknowledged(done)) = self.receiver.next().await.unwrap() {
                return done.refused;
            }
        }
    }

    /// Hears what the hub says until something fits.
    pub(crate) async fn hears(&mut self, fits: impl Fn(&FromHub) -> bool) {
        let heard = async {
            loop {
                if let Heard::Message(message) = self.receiver.next::<FromHub>().await.unwrap()
                    && fits(&message)
                {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), heard).await.expect("the hub says so in time");
    }

    /// Answers questions, and orders with what `done` makes of them; none is silence.
    pub(crate) async fn obey(
        mut self,
        samples: impl Fn(&Pull) -> EvidencePart,
        done: impl Fn(&Command) -> Option<Report>,
    ) {
        while let Ok(heard) = self.receiver.next::<FromHub>().await {
            match heard {
                Heard::Message(FromHub::Pull(pull)) => {
                    self.sender.send(&FromEdge::Evidence(samples(&pull))).await.unwrap();
                }
                Heard::Message(FromHub::Command(command)) => {
                    if let Some(report) = done(&command) {
                        self.sender.send(&FromEdge::Report(report)).await.unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    /// Answers questions, with what `samples` makes of them.
    pub(crate) async fn answer(mut self, samples: impl Fn(&Pull) -> EvidencePart) {
        while let Ok(heard) = self.receiver.next::<FromHub>().await {
            if let Heard::Message(FromHub::Pull(pull)) = heard {
                self.sender.send(&FromEdge::Evidence(samples(&pull))).await.unwrap();
            }
        }
    }
}

/// Two metrics of each, a sample a second: noise, and since `onset` the busier the nearer to stock.
pub(crate) fn samples(pull: &Pull, onset: Timestamp) -> EvidencePart {
    let rise = match pull.component.name() {
        "stock" => 60.0,
        "orders" => 6.0,
        _ => 2.0,
    };
    let seconds = pull.until.since(pull.from) as usize;
    let times: Vec<Timestamp> = (0..seconds).map(|i| pull.from.plus(Duration::from_secs(i as u64))).collect();
    let value = |i: usize, time: &Timestamp| {
        let noise = ((i * 7_919) % 101) as f64 / 101.0;
        Some(10.0 + noise + if *time >= onset { rise } else { 0.0 })
    };
    let rows = times.iter().enumerate().map(|(i, time)| vec![value(i, time), value(i + 50, time)]);
    let metrics = ["cpu_seconds", "latency_seconds"].map(|name| MetricName::new(name).unwrap());
    let window = Window { rows: rows.collect(), metrics: metrics.to_vec(), times };
    EvidencePart { id: pull.id, rows: seconds, window, ..EvidencePart::default() }
}

pub(crate) fn shop() -> TopologyDelta {
    let calls = |from: &str, to: &str| Edge { from: id(from), to: id(to), kind: EdgeKind::Calls };
    TopologyDelta {
        source: TopologySource::Config,
        by: "test".to_owned(),
        ttl_seconds: None,
        components: vec![],
        edges: vec![calls("web", "orders"), calls("orders", "stock")],
        removed_components: vec![],
        removed_edges: vec![],
    }
}

pub(crate) async fn incident_that(store: &Arc<dyn Store>, fits: impl Fn(&Incident) -> bool) -> Incident {
    let found = async {
        loop {
            let all = store.incidents(&IncidentQuery::default()).unwrap();
            if let Some(incident) = all.into_iter().find(|incident| fits(incident)) {
                return incident;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), found).await.expect("an incident in time")
}

pub(crate) fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}
