//! What the parts of a hub share, and what edges tell it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larnax_alert::Outbox;
use larnax_alert::sinks::{SinkReport, SinkStatus};
use larnax_bus::{Bus, BusError, LocalBus, cloudevents};
use larnax_core::event::{ANOMALY_CLOSED, ANOMALY_OPENED, ANOMALY_UPDATED, IncidentEvent};
use larnax_core::{
    Clock, Component, Event, EventLog, RawEvent, Report, Timestamp, TopologyDelta, TopologySource,
};
use larnax_decide::Plans;
use larnax_diagnose::topology::Applied;
use larnax_diagnose::{Incidents, Topology};
use larnax_serve::{Caller, LocalFuture, Pages};
use larnax_spec::Policy;
use larnax_store::{Error, Fence, Retention, Sighting, Store};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_blocking;

use crate::addresses::Addresses;
use crate::changes::Changes;
use crate::load::Load;
use crate::others::Others;
use crate::region::Regions;
use crate::report::Counters;
use crate::sessions::{self, Sessions};

/// How often a hub looks into a store that it shares with others.
const LOOK: Duration = Duration::from_millis(500);
/// How much a stream within the process holds.
const LOCAL_BUFFER: usize = 256 << 10;

/// How a hub works.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Its name among the hubs of one store.
    pub name: String,
    /// How often edges are to be heard.
    pub heartbeat: Duration,
    /// How long anomalies are gathered before the cause is asked for.
    pub settle: Duration,
    /// So long after it was first heard of, in rising order, an open incident is diagnosed again: more has been seen by then.
    pub again: Vec<Duration>,
    /// How much of the time before an incident is pulled.
    pub past: Duration,
    /// How much evidence is pulled for one diagnosis, in bytes on the wire.
    pub evidence_bytes: usize,
    /// Of how many components.
    pub evidence_components: usize,
    /// How long edges may take to answer.
    pub answer_within: Duration,
    /// What is kept for how long.
    pub retention: Retention,
    /// What is allowed to be done about incidents; without any, nothing.
    pub policies: Vec<Policy>,
    /// The page, where the program has one and no agent beside the hub shows it.
    pub pages: Option<Pages>,
}

impl HubOptions {
    /// The defaults of a hub with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            heartbeat: sessions::HEARTBEAT,
            settle: Duration::from_secs(5),
            again: [15, 30, 120].map(Duration::from_secs).to_vec(),
            past: Duration::from_secs(600),
            evidence_bytes: 4 << 20,
            evidence_components: 64,
            answer_within: Duration::from_secs(10),
            retention: Retention::default(),
            policies: Vec::new(),
            pages: None,
        }
    }
}

/// Why a hub can't do something.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
    /// The log of events.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The program is ending.
    #[error("stopping")]
    Stopping,
}

impl HubError {
    /// Whether it may work later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Store(error) => error.is_temporary(),
            Self::Bus(error) => error.is_temporary(),
            Self::Stopping => false,
        }
    }
}

/// A hub.
pub struct Hub {
    pub(crate) options: HubOptions,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) sessions: Sessions,
    pub(crate) others: Others,
    pub(crate) load: Load,
    pub(crate) known: RefCell<Known>,
    /// Told when the topology has changed.
    pub(crate) topology_changed: Notify,
    /// What only the hub that acts does.
    pub(crate) duties: RefCell<Vec<Duty>>,
    /// Where incidents that people are to be told of wait for their receivers.
    pub(crate) people: RefCell<Option<People>>,
    /// Who waits for what an action would do, by the key of the command.
    pub(crate) trials: RefCell<HashMap<String, oneshot::Sender<Report>>>,
    pub(crate) counters: Cell<Counters>,
    pub(crate) started: Timestamp,
    clock: Rc<dyn Clock>,
    shared: bool,
}

/// Where incidents that people are to be told of wait for their receivers.
pub(crate) struct People {
    outbox: Rc<Outbox<IncidentEvent>>,
    sinks: Vec<(String, Rc<SinkStatus>)>,
}

impl People {
    pub(crate) fn reports(&self) -> Vec<SinkReport> {
        let report = |(name, status): &(String, Rc<SinkStatus>)| {
            SinkReport::of(name, self.outbox.pending_count(name), status.health())
        };
        self.sinks.iter().map(report).collect()
    }
}
/// Begins something that goes on until it is dropped.
pub type Duty = Box<dyn Fn() -> LocalFuture<'static, ()>>;

/// What a hub has in memory.
#[derive(Default)]
pub(crate) struct Known {
    pub topology: Topology,
    pub addresses: Addresses,
    pub incidents: Incidents,
    pub plans: Plans,
    pub changes: Changes,
    pub regions: Regions,
    /// What edges have learnt, for those that come after.
    pub learnt: crate::learnt::Repository,
    /// The right to act, where it is this hub that does.
    pub acting: Option<Fence>,
}

impl Known {
    /// Takes what a source said of the topology.
    fn hear_topology(&mut self, at: Timestamp, delta: &TopologyDelta) -> Applied {
        let mut all = Applied::default();
        for (at, delta) in self.addresses.hear(at, delta) {
            let applied = self.topology.apply(&delta, at);
            all.changed |= applied.changed;
            all.refused += applied.refused;
        }
        all
    }
}

impl Hub {
    /// A hub on a store. `shared`: other hubs use the same store.
    pub fn new(
        options: HubOptions,
        store: Arc<dyn Store>,
        log: Arc<dyn EventLog>,
        shared: bool,
        clock: Rc<dyn Clock>,
    ) -> Rc<Self> {
        let bus = if shared { LocalBus::shared(log, LOOK) } else { LocalBus::new(log) };
        Rc::new(Self {
            options,
            store,
            bus: Arc::new(bus),
            sessions: Sessions::default(),
            others: Others::default(),
            load: Load::default(),
            known: RefCell::default(),
            topology_changed: Notify::new(),
            duties: RefCell::default(),
            people: RefCell::default(),
            trials: RefCell::default(),
            counters: Cell::default(),
            started: clock.now(),
            clock,
            shared,
        })
    }

    /// People are to be told of incidents through this outbox, by these sinks.
    pub fn tell_people(&self, outbox: Rc<Outbox<IncidentEvent>>, sinks: Vec<(String, Rc<SinkStatus>)>) {
        *self.people.borrow_mut() = Some(People { outbox, sinks });
    }

    /// Where incidents wait for those who are to be told of them.
    pub(crate) fn outbox(&self) -> Option<Rc<Outbox<IncidentEvent>>> {
        self.people.borrow().as_ref().map(|people| Rc::clone(&people.outbox))
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    /// What of the hubs that share a store only the one that acts is to do: it is begun when this one does, and dropped when it
    /// no longer does.
    pub fn while_acting(&self, duty: Duty) {
        self.duties.borrow_mut().push(duty);
    }

    /// The way to its log of events.
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    /// Works until it is dropped.
    pub async fn run(self: Rc<Self>) {
        tokio::join!(self.act(), self.keep_topology(), self.sweep(), self.correspond(), self.teach());
    }

    /// A session with an edge in this process.
    pub fn connect(self: &Rc<Self>) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(LOCAL_BUFFER);
        let hub = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let config = Some(larnax_session::wire::config());
            match tokio_tungstenite::accept_async_with_config(ours, config).await {
                Ok(socket) => {
                    let (sender, receiver) = larnax_session::split(socket);
                    sessions::serve(&hub, sender, receiver, None).await;
                }
                Err(error) => tracing::debug!(%error, "a session was not opened"),
            }
        });
        theirs
    }

    /// Serves a session over a connection that was upgraded to one. A `caller` who has no token of this hub speaks for itself alone.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Rc<Self>, stream: S, caller: Option<Caller>) {
        let (sender, receiver) = larnax_session::wire::server_side(stream).await;
        sessions::serve(&self, sender, receiver, caller.as_ref()).await;
    }

    /// The source of its events.
    pub(crate) fn source(&self) -> String {
        format!("/larnax/hub/{}", self.options.name)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does something with the store on a thread that may block.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, HubError> {
        let store = Arc::clone(&self.store);
        Ok(spawn_blocking(move || work(store.as_ref())).await.map_err(|_| HubError::Stopping)??)
    }

    /// Takes events of an edge. They are durable when this returns. Gives back which of them will never be taken, and why.
    pub(crate) async fn take(
        &self,
        events: &[Box<RawValue>],
        caller: Option<&Caller>,
    ) -> Result<Vec<(usize, String)>, String> {
        let now = self.now();
        let (mut taken, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for (place, event) in events.iter().enumerate() {
            match checked(event.get(), now, caller) {
                Ok(event) => taken.push(event),
                Err(reason) => refused.push((place, reason)),
            }
        }
        self.load.bearable().await;
        let appended = self.bus.publish(&taken).await.map_err(|error| error.to_string())?;
        self.load.taken(appended.last);
        Ok(refused)
    }

    /// Notes that an edge was heard, and what it watches where that is told.
    pub(crate) async fn heard_of(&self, agent: &str, components: Option<&[Component]>) {
        let Some(components) = components else { return };
        let now = self.now();
        let sighting = |component: &Component| Sighting {
            component: component.clone(),
            agent: agent.to_owned(),
            last_seen: now,
        };
        let seen: Vec<Sighting> = components.iter().map(sighting).collect();
        if let Err(error) = self.with_store(move |store| store.upsert_components(&seen)).await {
            tracing::warn!(%error, "what an edge watches was not kept");
        }
    }

    /// Takes what an edge sees of the topology, or what a person wrote into its config. It speaks for itself, whatever name it
    /// gives.
    pub(crate) async fn learn_topology(&self, agent: &str, mut delta: TopologyDelta) {
        agent.clone_into(&mut delta.by);
        if delta.source != TopologySource::Config {
            delta.source = TopologySource::Agent;
        }
        self.tell_topology(delta).await;
    }

    /// Takes what somebody says of the topology: all that still holds of this source. How many components and edges were refused.
    pub async fn tell_topology(&self, delta: TopologyDelta) -> usize {
        let now = self.now();
        let applied = self.known.borrow_mut().hear_topology(now, &delta);
        if applied.refused > 0 {
            tracing::warn!(by = delta.by, refused = applied.refused, "parts of a topology were refused");
        }
        if applied.changed {
            self.topology_changed.notify_one();
        }
        if let Err(error) = self.with_store(move |store| store.upsert_topology(now, &delta)).await {
            tracing::warn!(%error, "what is known of the topology was not kept");
        }
        applied.refused
    }

    /// Forgets what was not repeated in time, and hears what other hubs were told.
    async fn keep_topology(&self) {
        // By source, since hubs' clocks differ.
        let mut heard: BTreeMap<(TopologySource, String), Timestamp> = BTreeMap::new();
        let mut first = true;
        loop {
            if self.shared || first {
                match self.with_store(|store| store.topology()).await {
                    Ok(all) => {
                        first = false;
                        let mut changed = false;
                        for (at, delta) in &all {
                            if heard.insert((delta.source, delta.by.clone()), *at) != Some(*at) {
                                changed |= self.known.borrow_mut().hear_topology(*at, delta).changed;
                            }
                        }
                        if changed {
                            self.topology_changed.notify_one();
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the topology can't be read now"),
                }
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            let now = self.now();
            if self.known.borrow_mut().topology.expire(now) {
                self.topology_changed.notify_one();
            }
        }
    }

    /// Removes what need not be kept any more.
    async fn sweep(&self) {
        loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
            loop {
                let (retention, now) = (self.options.retention, self.now());
                match self.with_store(move |store| store.sweep(&retention, now)).await {
                    Ok(swept) if swept.more => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::debug!(%error, "nothing was swept");
                        break;
                    }
                }
            }
        }
    }
}

/// An event as the log takes it; the error says what is wrong with it.
fn checked(json: &str, now: Timestamp, caller: Option<&Caller>) -> Result<RawEvent, String> {
    let raw = cloudevents::parse_foreign(json, now).map_err(|error| error.to_string())?;
    if is_anomaly(&raw.r#type) {
        let event = serde_json::from_str::<Event>(&raw.json);
        let event = event.map_err(|error| format!("{}: {error}", raw.r#type))?;
        sessions::speaks_for(caller, &event.data.anomaly.component)?;
    } else if let Some(caller) = caller {
        return Err(format!("{} tells of anomalies only, not of {}", caller.name, raw.r#type));
    }
    Ok(raw)
}

/// Whether events of this type are about anomalies.
pub(crate) fn is_anomaly(r#type: &str) -> bool {
    [ANOMALY_OPENED, ANOMALY_UPDATED, ANOMALY_CLOSED].contains(&r#type)
}
