//! The session with the hub: events, signs of life and what is seen of the topology go up, answers to its questions follow.
//!
//! The edge opens the session and keeps it open; whatever breaks it, it is opened again after a pause. Events wait in the
//! outbox until the hub has said that they are safe. One delivery is on its way at a time: a hub that is slow holds events
//! back where they are safe anyway.

mod answer;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use larnax_act::Executor;
use larnax_alert::Outbox;
use larnax_alert::sinks::pause;
use larnax_core::{Clock, Component, ComponentId, Offer, Timestamp, Wanted};
use larnax_notify::Identity;
use larnax_serve::{Handler, LocalFuture};
use larnax_session::open::{SILENT_HEARTBEATS, greet};
use larnax_session::wire::{Heard, Receiver, Sender};
use larnax_session::{
    Acknowledged, Delivery, FromEdge, FromHub, Heartbeat, Hello, Learnt, Model, OpenOptions, Opener,
    PROTOCOL, SessionError,
};
use larnax_spec::Config;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::agent::Agent;

/// Under this name the outbox remembers what the hub has.
pub(crate) const SINK: &str = "hub";
/// The most events of a delivery.
const DELIVERY: usize = 64;
/// The topology is not looked at more often.
const MIN_LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether something else is watched than the hub knows.
const COMPARE: Duration = Duration::from_secs(2);
/// A session that lasted so long was a good one: the next is opened at once.
const GOOD: Duration = Duration::from_secs(60);

/// Where the hub is.
pub enum HubAt {
    /// Elsewhere.
    Url(Box<OpenOptions>),
    /// In this process, where it is made once the agent knows how it is called.
    Here(MakeHub),
}

/// Makes the hub of this process; the error is a sentence.
pub type MakeHub = Box<dyn FnOnce(Config, Identity) -> LocalFuture<'static, Result<HubHere, String>>>;

/// A hub in this process.
pub struct HubHere {
    /// Gives a stream to it each time it is asked.
    pub connect: Connect,
    /// Answers at its paths.
    pub handler: Rc<dyn Handler>,
    /// Works until it is dropped.
    pub run: LocalFuture<'static, ()>,
    /// Ends what is to be ended well.
    pub stop: LocalFuture<'static, ()>,
}

/// Gives a stream to the hub of this process each time it is asked.
pub type Connect = Box<dyn Fn() -> Option<DuplexStream>>;

/// The way to a hub.
pub(crate) enum Way {
    Url(Box<OpenOptions>),
    Here(Connect),
}

/// How the session is doing, for reports.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkHealth {
    /// Whether there is one, and since when.
    pub since: Option<Timestamp>,
    /// Events that the hub has.
    pub delivered: u64,
    /// Events that the hub will never take.
    pub refused: u64,
    /// Bytes sent, without what TLS and frames add.
    pub sent_bytes: u64,
    /// Why there is none, or why the last one ended.
    pub error: Option<String>,
}

/// The running session; it ends when this is dropped.
pub(crate) struct Link {
    task: JoinHandle<()>,
    health: Rc<RefCell<LinkHealth>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Starts to open sessions.
    pub(crate) fn start(
        way: Way,
        name: String,
        agent: &Rc<RefCell<Agent>>,
        executor: &Option<Rc<Executor>>,
        outbox: &Rc<Outbox>,
        clock: &Rc<dyn Clock>,
    ) -> Result<Self, SessionError> {
        let health = Rc::<RefCell<LinkHealth>>::default();
        let worker = Worker {
            name,
            agent: Rc::clone(agent),
            executor: executor.clone(),
            outbox: Rc::clone(outbox),
            clock: Rc::clone(clock),
            health: Rc::clone(&health),
        };
        let task = match way {
            Way::Url(options) => tokio::task::spawn_local(worker.with_url(Opener::new(*options)?)),
            Way::Here(connect) => tokio::task::spawn_local(worker.with_here(connect)),
        };
        Ok(Self { task, health })
    }

    /// How it is doing.
    pub(crate) fn health(&self) -> LinkHealth {
        self.health.borrow().clone()
    }
}

/// What the task of a session has.
struct Worker {
    name: String,
    agent: Rc<RefCell<Agent>>,
    executor: Option<Rc<Executor>>,
    outbox: Rc<Outbox>,
    clock: Rc<dyn Clock>,
    health: Rc<RefCell<LinkHealth>>,
}

impl Worker {
    async fn with_url(self, mut opener: Opener) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let ended = match opener.open().await {
                Ok((sender, receiver)) => self.serve(sender, receiver).await,
                Err(error) => Err(error),
            };
            failures = if began.elapsed() >= GOOD { 0 } else { failures + 1 };
            self.lost(opener.url().to_string(), ended);
            sleep(pause(failures)).await;
        }
    }

    async fn with_here(self, connect: Connect) {
        let Ok(url) = larnax_http::Url::parse("http://127.0.0.1/") else { return };
        // None when the hub of this process has ended, and the process with it.
        while let Some(stream) = connect() {
            let ended = match larnax_session::open::over(stream, &url, None).await {
                Ok((sender, receiver)) => self.serve(sender, receiver).await,
                Err(error) => Err(error),
            };
            self.lost("the hub of this process".to_owned(), ended);
            sleep(pause(1)).await;
        }
    }

    /// Notes that there is no session, and logs it once per outage.
    fn lost(&self, hub: String, ended: Result<(), SessionError>) {
        let message = ended.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
        let mut health = self.health.borrow_mut();
        let had_one = health.since.take().is_some();
        if had_one || health.error.as_ref() != Some(&message) {
            tracing::warn!(hub, "no session with the hub: {message}");
        }
        health.error = Some(message);
    }

    /// Serves one session until it ends, which is always for a reason.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut sender: Sender<S>,
        mut receiver: Receiver<S>,
    ) -> Result<(), SessionError> {
        let hello = Hello {
            protocol: PROTOCOL,
            agent: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            components: self.agent.borrow().watched_components(),
            offers: self.offers(),
            learning: Some(self.agent.borrow().learning()),
        };
        let every = greet(&mut sender, &mut receiver, hello).await?;
        {
            let mut health = self.health.borrow_mut();
            health.since = Some(self.clock.now());
            if health.error.take().is_some() {
                tracing::info!("a session with the hub again");
            }
        }
        let mut heard = Instant::now();
        let (mut heartbeat_at, mut look_at) = (Instant::now(), Instant::now());
        let mut compare_at = Instant::now() + COMPARE;
        self.agent.borrow_mut().sight.begin();
        let mut known: Vec<Component> = self.agent.borrow().watched_components();
        let mut offered = self.offers();
        let mut learnt: BTreeSet<ComponentId> = self.agent.borrow().learning().into_iter().collect();
        // What is said here and not heard by the hub, because the session ends, is asked for again in the next one.
        let (reported, mut reports) = mpsc::unbounded_channel();
        let mut doing: BTreeSet<String> = BTreeSet::new();
        let mut number = 0;
        // The sequences of the delivery that is on its way.
        let mut on_its_way: Vec<u64> = Vec::new();
        loop {
            let mut changed = pin!(self.outbox.changed());
            changed.as_mut().enable();
            if on_its_way.is_empty() {
                let batch = self.outbox.pending(SINK, DELIVERY);
                if !batch.events.is_empty() {
                    number += 1;
                    let events = batch.events.iter().map(raw).collect::<Result<_, _>>()?;
                    sender.send(&FromEdge::Events(Delivery { number, events })).await?;
                    on_its_way = batch.sequences;
                }
            }
            let deadline = heard + SILENT_HEARTBEATS * every;
            tokio::select! {
                message = timeout_at(deadline, receiver.next::<FromHub>()) => {
                    let message = message.map_err(|_| {
                        SessionError::Broken(format!("nothing was heard for {} s", deadline.duration_since(heard).as_secs()))
                    })??;
                    heard = Instant::now();
                    match message {
                        Heard::Message(FromHub::Acknowledged(done)) if done.number == number => {
                            self.acknowledge(&std::mem::take(&mut on_its_way), &done);
                        }
                        Heard::Message(FromHub::Pull(pull)) => {
                            let answer = answer::answer(&self.agent.borrow(), &pull, self.clock.now())?;
                            sender.send_encoded(answer).await?;
                        }
                        // It was said again; its report is on its way.
                        Heard::Message(FromHub::Command(command)) if doing.contains(&command.key) => {}
                        Heard::Message(FromHub::Command(command)) => {
                            // Nothing was offered.
                            let Some(executor) = self.executor.clone() else { continue };
                            if command.wanted != Wanted::DryRun {
                                doing.insert(command.key.clone());
                            }
                            // Not within the session, whose end must not be the end of what was begun.
                            let reported = reported.clone();
                            tokio::task::spawn_local(async move {
                                let report = executor.handle(command).await;
                                let _ = reported.send(report);
                            });
                        }
                        Heard::Message(FromHub::Normal(anomaly)) => {
                            self.agent.borrow_mut().declare_normal(anomaly);
                        }
                        Heard::Message(FromHub::Learnt(component)) => {
                            let model = self.agent.borrow().learnt(&component).map(Model);
                            sender.send(&FromEdge::Learnt(Learnt { component, model })).await?;
                        }
                        Heard::Message(FromHub::BeginWith(Learnt { component, model: Some(model) })) => {
                            self.agent.borrow_mut().begin_with(&component, &model.0);
                        }
                        Heard::Message(_) | Heard::Time(_) | Heard::Sign => {}
                    }
                    self.health.borrow_mut().sent_bytes += sender.take_sent();
                }
                Some(report) = reports.recv() => {
                    doing.remove(&report.key);
                    tracing::info!(key = report.key, effect = ?report.effect, message = report.message, "an order of the hub");
                    sender.send(&FromEdge::Report(report)).await?;
                    self.health.borrow_mut().sent_bytes += sender.take_sent();
                }
                () = sleep_until(heartbeat_at) => {
                    heartbeat_at = Instant::now() + every;
                    sender.ping(self.clock.now()).await?;
                    self.health.borrow_mut().sent_bytes += sender.take_sent();
                }
                () = sleep_until(compare_at) => {
                    compare_at = Instant::now() + COMPARE;
                    let now_known = self.agent.borrow().watched_components();
                    let components = (now_known != known).then(|| now_known.clone());
                    known = now_known;
                    let now_offered = self.offers();
                    let offers = (now_offered != offered).then(|| now_offered.clone());
                    offered = now_offered;
                    let mut learning = self.agent.borrow().learning();
                    let all = learning.iter().cloned().collect();
                    learning.retain(|id| !learnt.contains(id));
                    learnt = all;
                    if components.is_some() || offers.is_some() || !learning.is_empty() {
                        let time = self.clock.now();
                        let heartbeat = Heartbeat { time, components, offers, learning };
                        sender.send(&FromEdge::Heartbeat(heartbeat)).await?;
                        self.health.borrow_mut().sent_bytes += sender.take_sent();
                    }
                }
                () = sleep_until(look_at) => {
                    let (deltas, next) = {
                        let sight = &mut self.agent.borrow_mut().sight;
                        (sight.look(self.clock.now()), sight.next_look())
                    };
                    for delta in deltas {
                        sender.send(&FromEdge::Topology(delta)).await?;
                    }
                    look_at = Instant::now() + next.max(MIN_LOOK);
                }
                () = changed, if on_its_way.is_empty() => {}
            }
        }
    }

    fn offers(&self) -> Vec<Offer> {
        self.executor.as_ref().map_or_else(Vec::new, |executor| executor.offers())
    }

    fn acknowledge(&self, sequences: &[u64], done: &Acknowledged) {
        for (place, reason) in &done.refused {
            tracing::error!(place, reason, "the hub refuses an event: it is given up there");
        }
        let mut health = self.health.borrow_mut();
        health.refused += done.refused.len() as u64;
        health.delivered += sequences.len().saturating_sub(done.refused.len()) as u64;
        if let Some(last) = sequences.last() {
            self.outbox.ack(SINK, *last);
        }
    }
}

fn raw(event: &larnax_core::Event) -> Result<Box<RawValue>, SessionError> {
    serde_json::value::to_raw_value(event).map_err(|error| SessionError::Message(error.to_string()))
}
