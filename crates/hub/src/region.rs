//! A hub of a region hands up to another hub: anomalies and changes, its topology, where its incidents began, and evidence when
//! it is asked for. To that one it is an edge that watches all that its own edges watch. What happens across regions is put
//! together there, and diagnosed with the evidence of all.

use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use larnax_alert::sinks::pause;
use larnax_bus::{BusError, Cursor, Subscription};
use larnax_core::event::{CHANGE, INCIDENT_CLOSED, INCIDENT_UPDATED, IncidentEvent};
use larnax_core::{
    AnomalyId, CloudEvent, Incident, IncidentId, Logged, RawEvent, TopologyDelta, TopologySource,
};
use larnax_session::open::{SILENT_HEARTBEATS, greet};
use larnax_session::wire::{Heard, Receiver, Sender};
use larnax_session::{
    Delivery, EvidencePart, FromEdge, FromHub, Heartbeat, Hello, Opener, PROTOCOL, Pull, SessionError,
};
use larnax_store::Error;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::evidence::{Evidence, by_hub};
use crate::hub::{Hub, HubError, is_anomaly};

/// Under this name the store remembers what the other hub has.
const CURSOR: &str = "region";
/// The most events of a delivery.
const DELIVERY: usize = 256;
/// How often the topology is looked at,
const LOOK: Duration = Duration::from_secs(5);
/// and told though nothing has changed; it holds for three times that.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// A session that lasted so long was a good one: the next is opened at once.
const GOOD: Duration = Duration::from_secs(60);
/// What a hub of a region says of one of its incidents.
const REGION_INCIDENT: &str = "io.larnax.region.incident.v1";
/// So many of other hubs' incidents are remembered.
const REMEMBERED: usize = 1_000;

impl Hub {
    /// Hands up until it is dropped; only the hub that acts is to do it.
    pub async fn hand_up(self: Rc<Self>, mut opener: Opener) {
        let (mut failures, mut said) = (0, String::new());
        loop {
            let began = Instant::now();
            let ended = match opener.open().await {
                Ok((sender, receiver)) => Rc::clone(&self).hand_up_over(sender, receiver).await,
                Err(error) => Err(error),
            };
            let message = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
            if began.elapsed() >= GOOD || message != said {
                tracing::warn!(hub = %opener.url(), "no session with the hub above: {message}");
            }
            said = message;
            failures = if began.elapsed() >= GOOD { 0 } else { failures + 1 };
            sleep(pause(failures)).await;
        }
    }

    /// One session with the hub above, until it ends, which is always for a reason.
    pub async fn hand_up_over<S: AsyncRead + AsyncWrite + Unpin>(
        self: Rc<Self>,
        mut sender: Sender<S>,
        mut receiver: Receiver<S>,
    ) -> Result<(), SessionError> {
        let broken = |error: HubError| SessionError::Broken(error.to_string());
        let hello = Hello {
            protocol: PROTOCOL,
            agent: format!("hub/{}", self.options.name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: self.sessions.components(),
            offers: Vec::new(),
            learning: None,
        };
        let mut watched = hello.components.clone();
        let every = greet(&mut sender, &mut receiver, hello).await?;
        tracing::info!("a session with the hub above");
        let cursor = self.with_store(|store| {
            let epoch = store.epoch().map_err(|error| Error::Invalid(error.to_string()))?;
            Ok(Cursor { epoch, sequence: store.cursor(CURSOR)?.unwrap_or(0) })
        });
        let events = Subscription::new(self.bus(), cursor.await.map_err(broken)?).with_limit(DELIVERY);
        let mut reading = pin!(next_batch(events));
        // The delivery that is on its way, and the subscription that goes on when it has arrived.
        let (mut number, mut on_its_way) = (0, None);
        let (answers, mut answered) = mpsc::unbounded_channel::<EvidencePart>();
        let (mut heard, mut heartbeat_at, mut look_at) = (Instant::now(), Instant::now(), Instant::now());
        let (mut told, mut told_at) = (None, Instant::now());
        loop {
            tokio::select! {
                message = timeout_at(heard + SILENT_HEARTBEATS * every, receiver.next::<FromHub>()) => {
                    let silent = |_| SessionError::Broken("nothing was heard for too long".to_owned());
                    let message = message.map_err(silent)??;
                    heard = Instant::now();
                    match message {
                        Heard::Message(FromHub::Acknowledged(done)) if done.number == number => {
                            for (place, reason) in &done.refused {
                                tracing::error!(place, reason, "the hub above refuses an event: it is given up there");
                            }
                            if let Some(events) = on_its_way.take() {
                                reading.set(next_batch(self.dealt_with(events).await.map_err(broken)?));
                            }
                        }
                        Heard::Message(FromHub::Pull(pull)) => {
                            let (hub, answers) = (Rc::clone(&self), answers.clone());
                            tokio::task::spawn_local(async move {
                                // Nobody waits for it when the session has ended.
                                let _ = answers.send(hub.answer_above(pull).await);
                            });
                        }
                        Heard::Message(_) | Heard::Time(_) | Heard::Sign => {}
                    }
                }
                (batch, events) = &mut reading, if on_its_way.is_none() => {
                    let batch = batch.map_err(|error| broken(error.into()))?;
                    let handed: Vec<Box<RawValue>> =
                        batch.iter().filter_map(|logged| handed_up(&logged.event, &self.source())).collect();
                    if handed.is_empty() {
                        reading.set(next_batch(self.dealt_with(events).await.map_err(broken)?));
                    } else {
                        number += 1;
                        sender.send(&FromEdge::Events(Delivery { number, events: handed })).await?;
                        on_its_way = Some(events);
                    }
                }
                Some(part) = answered.recv() => sender.send(&FromEdge::Evidence(part)).await?,
                () = sleep_until(heartbeat_at) => {
                    heartbeat_at = Instant::now() + every;
                    sender.ping(self.now()).await?;
                }
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK;
                    let now_watched = self.sessions.components();
                    if now_watched != watched {
                        let components = Some(now_watched.clone());
                        watched = now_watched;
                        let heartbeat = Heartbeat { time: self.now(), components, offers: None, learning: Vec::new() };
                        sender.send(&FromEdge::Heartbeat(heartbeat)).await?;
                    }
                    let known = Some(self.topology_above());
                    if known != told || told_at.elapsed() >= TOLD_AGAIN {
                        if let Some(delta) = &known {
                            sender.send(&FromEdge::Topology(delta.clone())).await?;
                        }
                        (told, told_at) = (known, Instant::now());
                    }
                }
            }
        }
    }

    /// Moves on in the log.
    async fn dealt_with(&self, mut events: Subscription) -> Result<Subscription, HubError> {
        let sequence = events.acknowledge().sequence;
        self.with_store(move |store| store.advance_cursor(CURSOR, sequence)).await?;
        Ok(events)
    }

    /// All that holds here, as one source of the hub above.
    fn topology_above(&self) -> TopologyDelta {
        let known = self.known.borrow();
        TopologyDelta {
            source: TopologySource::Agent,
            by: self.options.name.clone(),
            ttl_seconds: Some(3.0 * TOLD_AGAIN.as_secs_f64()),
            components: known.topology.components().collect(),
            edges: known.topology.edges().cloned().collect(),
            removed_components: Vec::new(),
            removed_edges: Vec::new(),
        }
    }

    /// Evidence for the hub above, by this hub's clock.
    async fn answer_above(&self, pull: Pull) -> EvidencePart {
        let (id, packed) = (pull.id, pull.packed);
        let evidence = match self.sessions.watcher(&pull.component) {
            Some(_) => self.ask_here(pull).await,
            None => {
                let elsewhere = self.evidence_elsewhere(vec![pull]).await.into_iter().next();
                elsewhere.map_or_else(|| Err("no connected edge watches it".to_owned()), |(_, answer)| answer)
            }
        };
        match evidence {
            Ok(Evidence { part, clock_ahead, .. }) => {
                let part = EvidencePart { id, ..by_hub(part, clock_ahead) };
                if packed { part.packed() } else { part }
            }
            Err(reason) => EvidencePart { id, problem: Some(reason), ..EvidencePart::default() },
        }
    }
}

async fn next_batch(mut events: Subscription) -> (Result<Vec<Logged>, BusError>, Subscription) {
    (events.next_batch().await, events)
}

/// An event as the hub above is to have it; none for what is not its affair.
fn handed_up(event: &RawEvent, source: &str) -> Option<Box<RawValue>> {
    if is_anomaly(&event.r#type) || event.r#type == CHANGE {
        return RawValue::from_string(event.json.clone()).ok();
    }
    if ![INCIDENT_UPDATED, INCIDENT_CLOSED].contains(&event.r#type.as_str()) {
        return None;
    }
    let mut value: Value = serde_json::from_str(&event.json).ok()?;
    // Of several hubs on one store each tells of its own only.
    if value["source"] != json!(source) {
        return None;
    }
    // The hub above makes incidents of its own, with the same ids where they begin with the same anomaly.
    value["id"] = json!(format!("{source} {}", event.id));
    value["type"] = json!(REGION_INCIDENT);
    to_raw_value(&value).ok()
}

/// What hubs of regions said of their incidents, the latest of each.
#[derive(Default)]
pub(crate) struct Regions(BTreeMap<(String, IncidentId), Incident>);

impl Regions {
    /// Takes in what of these events is about an incident of a region.
    pub(crate) fn hear(&mut self, batch: &[Logged]) {
        for logged in batch.iter().filter(|logged| logged.event.r#type == REGION_INCIDENT) {
            let told = serde_json::from_str::<CloudEvent<IncidentEvent>>(&logged.event.json);
            let Ok(CloudEvent { source, data, .. }) = told
                .inspect_err(|error| tracing::warn!(%error, "an incident of a region can't be understood"))
            else {
                continue;
            };
            self.0.insert((source, data.incident.id), data.incident);
            if self.0.len() > REMEMBERED {
                let oldest = self.0.iter().min_by_key(|(_, incident)| incident.last_seen);
                if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                    self.0.remove(&key);
                }
            }
        }
    }

    /// What they found of the anomalies of an incident, in sentences.
    pub(crate) fn notes(&self, incident: &Incident) -> Vec<String> {
        let ours = |id: AnomalyId| incident.anomalies.iter().any(|anomaly| anomaly.id == id);
        let about = self.0.iter().filter(|(_, theirs)| theirs.anomalies.iter().any(|theirs| ours(theirs.id)));
        let sentence = |((source, _), theirs): (&(String, IncidentId), &Incident)| {
            let hub = source.rsplit('/').next().unwrap_or_default();
            let diagnosis = theirs.diagnosis.as_ref()?;
            let cause = diagnosis.candidates.first().filter(|_| diagnosis.known);
            Some(match cause {
                Some(cause) => {
                    let sure = 100.0 * diagnosis.confidence;
                    format!(
                        "hub {hub} found that its part began in {}, about {sure:.0}% sure",
                        cause.component
                    )
                }
                None => format!("hub {hub} does not know where its part began"),
            })
        };
        about.filter_map(sentence).collect()
    }
}
