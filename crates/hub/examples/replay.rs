//! Replays incidents whose cause is known through a hub: `cargo xtask bench diagnose` asks what ranking is worth where evidence has
//! to be pulled. Reads one [`Replay`] as JSON from each line of the standard input, and prints a [`Played`] for each.
//!
//! The hub, its sessions, its store and the evidence rings are those of the program. The edges are only their side of the session:
//! they tell the anomalies that they are given instead of detecting any, and answer pulls from a ring, into which the samples are
//! pushed beforehand. The hub's clock goes on from the end of the replayed time.

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{StreamExt, stream};
use larnax_alert::{Ring, RingOptions};
use larnax_core::event::AnomalyEvent;
use larnax_core::{
    Anomaly, AnomalyId, AnomalyKind, Clock, Component, ComponentId, Diagnosis, Edge, Event, EventLog, Metric,
    MetricKind, Row, Schema, Score, Timestamp, TopologyDelta, TopologySource, Transition, Window,
};
use larnax_hub::{Hub, HubOptions};
use larnax_session::wire::{Encoded, Heard, Receiver, Sender};
use larnax_session::{Delivery, EvidencePart, FromEdge, FromHub, Heartbeat, Hello, PROTOCOL, Pull};
use larnax_store::{IncidentQuery, Location, OnDamage, Store};
use serde::{Deserialize, Serialize};
use tokio::io::DuplexStream;
use tokio::task::LocalSet;
use tokio::time::{interval, sleep, timeout};

/// Replayed side by side.
const AT_ONCE: usize = 4;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How often edges say that they are there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Where files are in memory: how fast a disk is, is not measured here.
const IN_MEMORY: &str = "/dev/shm";
/// How much time a block of a ring spans.
const BLOCK: Duration = Duration::from_secs(3_600);
/// Names the hub of this process.
const URL: &str = "http://127.0.0.1/";

/// An incident to replay.
#[derive(Deserialize)]
struct Replay {
    id: String,
    /// What the rings hold.
    components: Vec<Watched>,
    /// What the hub knows of the topology.
    edges: Vec<Edge>,
    /// Who alerts, and since when.
    alerts: Vec<(ComponentId, Timestamp)>,
    /// When the hub asks.
    until: Timestamp,
    /// Whether one edge watches all components, as on one machine; else each has its own.
    together: bool,
}

#[derive(Deserialize)]
struct Watched {
    component: ComponentId,
    samples: Window,
}

/// What came of it.
#[derive(Serialize)]
struct Played {
    id: String,
    /// Incidents that were built; there should be one.
    incidents: usize,
    /// Of the one with the most anomalies.
    diagnosis: Diagnosis,
    /// What one diagnosis may pull, in bytes.
    budget: usize,
}

/// The replayed time.
struct Replayed {
    from: Timestamp,
    since: Instant,
}

impl Clock for Replayed {
    fn now(&self) -> Timestamp {
        self.from.plus(self.since.elapsed())
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = std::io::stdin().lock().lines();
    LocalSet::new().block_on(&runtime, async {
        let mut played =
            stream::iter(lines).map(|line| async move { play(serde_json::from_str(&line?)?).await });
        let mut played = played.by_ref().buffered(AT_ONCE);
        while let Some(played) = played.next().await {
            println!("{}", serde_json::to_string(&played?)?);
        }
        Ok(())
    })
}

async fn play(replay: Replay) -> Result<Played> {
    let id = replay.id.clone();
    let late = |_| Err(anyhow!("no diagnosis within {} s", LIMIT.as_secs()));
    timeout(LIMIT, through_hub(replay)).await.unwrap_or_else(late).with_context(|| id)
}

async fn through_hub(replay: Replay) -> Result<Played> {
    let folder = tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir())?;
    let store: Arc<dyn Store> =
        larnax_store::open(&Location::File(folder.path().join("hub.db")), OnDamage::default())?;
    let log: Arc<dyn EventLog> = store.clone();
    // Everything has happened before the first question: nothing new will be seen later.
    let options =
        HubOptions { settle: Duration::from_millis(100), again: Vec::new(), ..HubOptions::new("replay") };
    let budget = options.evidence_bytes;
    let clock: Rc<dyn Clock> = Rc::new(Replayed { from: replay.until, since: Instant::now() });
    let hub = Hub::new(options, Arc::clone(&store), log, false, Rc::clone(&clock));
    let running = tokio::task::spawn_local(Rc::clone(&hub).run());
    hub.tell_topology(TopologyDelta {
        source: TopologySource::Config,
        by: "replay".to_owned(),
        ttl_seconds: None,
        components: Vec::new(),
        edges: replay.edges,
        removed_components: Vec::new(),
        removed_edges: Vec::new(),
    })
    .await;
    let mut edges: BTreeMap<String, Vec<Watched>> = BTreeMap::new();
    for watched in replay.components {
        let agent = if replay.together { "all".to_owned() } else { watched.component.to_string() };
        edges.entry(agent).or_default().push(watched);
    }
    let mut answering = Vec::new();
    for (agent, watched) in edges {
        let of = |id: &ComponentId| watched.iter().any(|watched| watched.component == *id);
        let alerts: Vec<_> = replay.alerts.iter().filter(|(id, _)| of(id)).cloned().collect();
        let edge = FakeEdge::connect(&hub, agent, &watched).await?;
        answering.push((edge, alerts));
    }
    let told = replay.alerts.len();
    let mut tasks = vec![running];
    for (edge, alerts) in answering {
        let clock = Rc::clone(&clock);
        tasks.push(tokio::task::spawn_local(async move {
            if let Err(error) = edge.work(&alerts, clock.as_ref()).await {
                eprintln!("an edge ended: {error}");
            }
        }));
    }
    let incidents = loop {
        let mut incidents = store.incidents(&IncidentQuery::default())?;
        incidents.retain(|incident| incident.merged_into.is_none());
        let heard: usize = incidents.iter().map(|incident| incident.anomalies.len()).sum();
        if heard >= told && incidents.iter().all(|incident| incident.diagnosis.is_some()) {
            break incidents;
        }
        sleep(Duration::from_millis(20)).await;
    };
    tasks.iter().for_each(|task| task.abort());
    let count = incidents.len();
    let largest = incidents.into_iter().max_by_key(|incident| incident.anomalies.len());
    let diagnosis = largest.and_then(|incident| incident.diagnosis).unwrap_or_default();
    Ok(Played { id: replay.id, incidents: count, diagnosis, budget })
}

/// The edge's side of a session.
struct FakeEdge {
    agent: String,
    rings: BTreeMap<ComponentId, Ring>,
    sender: Sender<DuplexStream>,
    receiver: Receiver<DuplexStream>,
}

impl FakeEdge {
    async fn connect(hub: &Rc<Hub>, agent: String, watched: &[Watched]) -> Result<Self> {
        let rings = watched.iter().map(|watched| Ok((watched.component.clone(), filled(&watched.samples)?)));
        let rings: BTreeMap<ComponentId, Ring> = rings.collect::<Result<_>>()?;
        let (mut sender, mut receiver) =
            larnax_session::open::over(hub.connect(), &larnax_http::Url::parse(URL)?, None).await?;
        let hello = Hello {
            protocol: PROTOCOL,
            agent: agent.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: rings.keys().map(component).collect(),
            offers: Vec::new(),
            learning: None,
        };
        sender.send(&FromEdge::Hello(hello)).await?;
        let greeted = receiver.next::<FromHub>().await?;
        ensure!(matches!(greeted, Heard::Message(FromHub::Welcome(_))), "the hub did not greet");
        Ok(Self { agent, rings, sender, receiver })
    }

    /// Tells the anomalies and answers questions.
    async fn work(mut self, alerts: &[(ComponentId, Timestamp)], clock: &dyn Clock) -> Result<()> {
        let source = format!("/larnax/edge/{}", self.agent.replace('/', "_"));
        let events = alerts
            .iter()
            .map(|(id, onset)| Ok(serde_json::value::to_raw_value(&opened(&source, id, *onset))?))
            .collect::<Result<Vec<_>>>()?;
        if !events.is_empty() {
            self.sender.send(&FromEdge::Events(Delivery { number: 1, events })).await?;
        }
        let mut heartbeat = interval(HEARTBEAT);
        loop {
            let heard = tokio::select! {
                heard = self.receiver.next::<FromHub>() => heard?,
                _ = heartbeat.tick() => {
                    let beat = Heartbeat { time: clock.now(), components: None, offers: None, learning: Vec::new() };
                    self.sender.send(&FromEdge::Heartbeat(beat)).await?;
                    continue;
                }
            };
            match heard {
                Heard::Message(FromHub::Pull(pull)) => {
                    let answer = self.answer(&pull)?;
                    self.sender.send_encoded(answer).await?;
                }
                Heard::Message(FromHub::Acknowledged(done)) => {
                    ensure!(done.refused.is_empty(), "refused: {:?}", done.refused);
                }
                _ => {}
            }
        }
    }

    /// As an edge does: fewer rows until they fit.
    fn answer(&self, pull: &Pull) -> Result<Encoded> {
        let ring = self.rings.get(&pull.component).context("it is not watched here")?;
        let read = |max_rows| ring.read(pull.from, pull.until, max_rows, |_| true);
        let mut window = read(usize::MAX);
        let rows = window.times.len();
        if pull.max_rows < rows {
            window = read(pull.max_rows);
        }
        loop {
            let kept = window.times.len();
            let problem = (kept < rows).then(|| format!("{kept} of {rows} rows"));
            let part = EvidencePart { id: pull.id, window, rows, problem, ..EvidencePart::default() };
            let encoded = Encoded::of(&FromEdge::Evidence(part))?;
            if encoded.bytes() <= pull.max_bytes || kept == 0 {
                return Ok(encoded);
            }
            window = read(kept * 9 / 10 * pull.max_bytes / encoded.bytes());
        }
    }
}

/// A ring with these samples, in memory, as large as it is on disk.
fn filled(samples: &Window) -> Result<Ring> {
    let most = RingOptions::default().max_bytes;
    // Rows of minutes would be a block each.
    let options = RingOptions { held_bytes: most as usize, block: BLOCK, ..RingOptions::default() };
    let mut ring = Ring::open(None, options)?;
    let metrics = samples.metrics.iter().map(|name| Metric::new(name.clone(), MetricKind::Gauge));
    let schema = Schema::new(metrics.collect())?;
    for (time, row) in samples.times.iter().zip(&samples.rows) {
        let values: Vec<f64> = row.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        ring.push(&schema, Row { time: *time, values: &values, learnable: true });
    }
    Ok(ring)
}

fn component(id: &ComponentId) -> Component {
    Component { id: id.clone(), group: "replay".to_owned(), labels: BTreeMap::new() }
}

fn opened(source: &str, id: &ComponentId, onset: Timestamp) -> Event {
    let anomaly = Anomaly {
        id: AnomalyId::of(id, AnomalyKind::Deviation, onset),
        component: id.clone(),
        kind: AnomalyKind::Deviation,
        onset,
        opened: onset,
        last_seen: onset,
        closed: None,
        close_reason: None,
        score: Score::new(3.0),
        peak: Score::new(3.0),
        alerted: true,
        metrics: Vec::new(),
    };
    let data = AnomalyEvent {
        transition: Transition::Opened,
        sequence: 0,
        anomaly,
        component: component(id),
        evidence: None,
    };
    Event::new(source, onset, data)
}
