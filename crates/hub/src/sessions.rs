//! Sessions: the edges that are connected, and what they are asked.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{AnomalyId, Command, Component, ComponentId, Timestamp};
use larnax_decide::Offered;
use larnax_serve::Caller;
use larnax_session::open::SILENT_HEARTBEATS;
use larnax_session::wire::{Heard, Receiver, Sender};
use larnax_session::{
    Acknowledged, EvidencePart, FromEdge, FromHub, Hello, Learnt, PROTOCOL, Pull, SessionError, Welcome,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::evidence::shifted;
use crate::hub::Hub;
use crate::report::AgentReport;

/// How often an edge must be heard of: one that is cut off is missed after twice that. Where nothing happens, this is all that it sends.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(40);
/// How long an edge may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);
/// Questions that wait for one edge.
const ASKED: usize = 64;
/// Actions that one edge may offer.
const MAX_OFFERS: usize = 1_000;
/// Components that one edge may watch.
const MAX_COMPONENTS: usize = 10_000;

/// Clocks are not seen to go apart by less, in seconds: what heartbeats take on their way differs by as much.
const APART: f64 = 0.5;

/// The edges that are connected.
#[derive(Default)]
pub(crate) struct Sessions {
    agents: RefCell<BTreeMap<String, Session>>,
    /// Which of them watch a component, the latest last.
    watchers: RefCell<HashMap<ComponentId, Vec<String>>>,
    numbers: Cell<u64>,
    /// Told when an edge has begun to learn components.
    pub(crate) begun: Notify,
}

/// Components of edges, with the edge of each.
#[derive(Default)]
pub(crate) struct Pupils {
    /// Those of which not enough is learnt yet.
    pub learning: Vec<(String, Component)>,
    /// The others.
    pub learnt: Vec<(String, Component)>,
}

/// One of them.
#[derive(Clone)]
struct Session {
    number: u64,
    ask: mpsc::Sender<Ask>,
    report: AgentReport,
    /// Components of which it has not learnt enough and was told nothing yet; none where it has never heard of that.
    learning: Option<BTreeSet<ComponentId>>,
}

/// What is on its way to an edge.
enum Ask {
    /// A question.
    Pull { pull: Pull, answer: oneshot::Sender<Answer> },
    /// An order. What comes of it is told by an event.
    Command(Command),
    /// What it does is normal.
    Normal(AnomalyId),
    /// What has it learnt of a component?
    Learnt(ComponentId),
    /// What others have learnt.
    BeginWith(Learnt),
}

/// What an edge answered, with its length on the wire.
pub(crate) struct Answer {
    pub part: EvidencePart,
    pub bytes: u64,
}

impl Sessions {
    /// One that was never given before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// The edges that are connected, by name.
    pub(crate) fn reports(&self) -> Vec<AgentReport> {
        self.agents.borrow().values().map(|session| session.report.clone()).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.agents.borrow().len()
    }

    /// Which edge watches a component, and how far its clock is ahead.
    pub(crate) fn watcher(&self, component: &ComponentId) -> Option<(String, f64)> {
        let agent = self.watchers.borrow().get(component)?.last()?.clone();
        let ahead = self.agents.borrow().get(&agent)?.report.clock_ahead_seconds;
        Some((agent, ahead))
    }

    /// How far the clock of an edge is ahead.
    fn clock_ahead(&self, agent: &str) -> f64 {
        self.agents.borrow().get(agent).map_or(0.0, |session| session.report.clock_ahead_seconds)
    }

    fn watch(&self, agent: &str, components: &[Component]) {
        let mut watchers = self.watchers.borrow_mut();
        for component in components {
            watchers.entry(component.id.clone()).or_default().push(agent.to_owned());
        }
    }

    fn unwatch(&self, agent: &str, components: &[Component]) {
        let mut watchers = self.watchers.borrow_mut();
        for component in components {
            if let Some(agents) = watchers.get_mut(&component.id) {
                agents.retain(|other| other != agent);
                if agents.is_empty() {
                    watchers.remove(&component.id);
                }
            }
        }
    }

    /// All that connected edges watch, each component once.
    pub(crate) fn components(&self) -> Vec<Component> {
        let agents = self.agents.borrow();
        let all = agents.values().flat_map(|session| &session.report.components);
        let each: BTreeMap<&ComponentId, &Component> =
            all.map(|component| (&component.id, component)).collect();
        each.into_values().cloned().collect()
    }

    /// What an edge watches.
    pub(crate) fn watched_by(&self, agent: &str) -> Vec<ComponentId> {
        let agents = self.agents.borrow();
        agents
            .get(agent)
            .map_or_else(Vec::new, |s| s.report.components.iter().map(|c| c.id.clone()).collect())
    }

    /// Asks an edge, within `limit`; the error says why there is no answer.
    pub(crate) async fn ask(&self, agent: &str, mut pull: Pull, limit: Duration) -> Result<Answer, String> {
        let ask = self.agents.borrow().get(agent).map(|session| session.ask.clone());
        let Some(ask) = ask else { return Err(format!("{agent} is not connected")) };
        pull.id = self.number();
        let (answer, answered) = oneshot::channel();
        let asking = async {
            ask.send(Ask::Pull { pull, answer })
                .await
                .map_err(|_| format!("the session with {agent} has ended"))?;
            answered.await.map_err(|_| format!("the session with {agent} ended before it answered"))
        };
        let late = |_| format!("{agent} did not answer within {} s", limit.as_secs_f64());
        timeout(limit, asking).await.map_err(late)?
    }

    /// What the edges that watch a component can do to it.
    pub(crate) fn offered(&self, component: &ComponentId) -> Vec<Offered> {
        let Some((agent, _)) = self.watcher(component) else { return Vec::new() };
        self.agents.borrow().get(&agent).map_or_else(Vec::new, |session| session.report.offered(component))
    }

    /// Sends an order to an edge, by its clock. False where it is not connected, or has too much to do.
    pub(crate) fn order(&self, agent: &str, command: Command) -> bool {
        let agents = self.agents.borrow();
        let Some(session) = agents.get(agent) else { return false };
        let expires = shifted(command.expires, session.report.clock_ahead_seconds);
        session.ask.try_send(Ask::Command(Command { expires, ..command })).is_ok()
    }

    /// Tells the edge that watches a component that an anomaly of it is normal. False where none is connected.
    pub(crate) fn is_normal(&self, component: &ComponentId, anomaly: AnomalyId) -> bool {
        let Some((agent, _)) = self.watcher(component) else { return false };
        let ask = self.agents.borrow().get(&agent).map(|session| session.ask.clone());
        ask.is_some_and(|ask| ask.try_send(Ask::Normal(anomaly)).is_ok())
    }

    /// Of which components edges have not learnt enough, by edge; and which those are that have learnt of a component.
    pub(crate) fn pupils(&self) -> Pupils {
        let mut pupils = Pupils::default();
        for (agent, session) in &*self.agents.borrow() {
            let Some(learning) = &session.learning else { continue };
            for component in &session.report.components {
                let list =
                    if learning.contains(&component.id) { &mut pupils.learning } else { &mut pupils.learnt };
                list.push((agent.clone(), component.clone()));
            }
        }
        pupils
    }

    /// Asks an edge what it has learnt of a component. False where it is not connected, or has too much to do.
    pub(crate) fn ask_learnt(&self, agent: &str, component: &ComponentId) -> bool {
        let agents = self.agents.borrow();
        agents.get(agent).is_some_and(|session| session.ask.try_send(Ask::Learnt(component.clone())).is_ok())
    }

    /// Tells an edge what others of a component's kind have learnt. False as above.
    pub(crate) fn begin_with(&self, agent: &str, learnt: Learnt) -> bool {
        let mut agents = self.agents.borrow_mut();
        let Some(session) = agents.get_mut(agent) else { return false };
        if let Some(learning) = &mut session.learning {
            learning.remove(&learnt.component);
        }
        session.ask.try_send(Ask::BeginWith(learnt)).is_ok()
    }

    /// An edge has begun to learn components.
    fn learns(&self, agent: &str, number: u64, learning: Vec<ComponentId>) {
        let mut agents = self.agents.borrow_mut();
        if let Some(session) = agents.get_mut(agent).filter(|session| session.number == number)
            && let Some(known) = &mut session.learning
            && !learning.is_empty()
        {
            known.extend(learning);
            self.begun.notify_one();
        }
    }

    /// A later session of the same name takes the place of the earlier one, which ends.
    fn enter(&self, number: u64, hello: Hello, hub: &str, now: Timestamp) -> mpsc::Receiver<Ask> {
        let (ask, asked) = mpsc::channel(ASKED);
        let report = AgentReport {
            agent: hello.agent.clone(),
            hub: hub.to_owned(),
            version: hello.version,
            since: now,
            last_heard: now,
            clock_ahead_seconds: 0.0,
            components: hello.components,
            offers: hello.offers,
        };
        let components = report.components.clone();
        let learning = hello.learning.map(|learning| learning.into_iter().collect());
        let session = Session { number, ask, report, learning };
        let before = self.agents.borrow_mut().insert(hello.agent.clone(), session);
        self.begun.notify_one();
        if let Some(before) = before {
            self.unwatch(&hello.agent, &before.report.components);
        }
        self.watch(&hello.agent, &components);
        asked
    }

    fn leave(&self, agent: &str, number: u64) {
        let mut agents = self.agents.borrow_mut();
        if agents.get(agent).is_some_and(|session| session.number == number)
            && let Some(session) = agents.remove(agent)
        {
            self.unwatch(agent, &session.report.components);
        }
    }

    fn update(&self, agent: &str, number: u64, change: impl FnOnce(&mut AgentReport)) {
        if let Some(session) =
            self.agents.borrow_mut().get_mut(agent).filter(|session| session.number == number)
        {
            change(&mut session.report);
        }
    }
}

/// Whether an edge may tell of a component. Who has no token of this hub, as an agent beside an application, speaks for its own pod, and
/// for what is neither a pod nor a machine.
///
/// # Errors
/// A sentence for a person where it may not.
pub(crate) fn speaks_for(caller: Option<&Caller>, component: &ComponentId) -> Result<(), String> {
    let Some(Caller { name }) = caller else { return Ok(()) };
    let may = match component.kind() {
        "node" => false,
        "pod" => name.split_once('/') == Some((component.scope(), component.name())),
        _ => true,
    };
    if may { Ok(()) } else { Err(format!("{name} may not tell of {component}: it speaks for pod/{name}")) }
}

/// Serves one session until it ends, which is always for a reason.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Rc<Hub>,
    mut sender: Sender<S>,
    mut receiver: Receiver<S>,
    caller: Option<&Caller>,
) {
    let reason = match greet(hub, &mut sender, &mut receiver, caller).await {
        Ok(hello) => {
            let agent = hello.agent.clone();
            let number = hub.sessions.number();
            tracing::info!(agent, components = hello.components.len(), "an edge has connected");
            hub.heard_of(&hello.agent, Some(&hello.components)).await;
            let asked = hub.sessions.enter(number, hello, &hub.options.name, hub.now());
            let ended = converse(hub, &agent, number, asked, &mut sender, &mut receiver, caller).await;
            hub.sessions.leave(&agent, number);
            let reason = ended.err().map_or_else(String::new, |error| error.to_string());
            tracing::info!(agent, reason, "an edge is gone");
            reason
        }
        Err(error) => error.to_string(),
    };
    sender.end(&reason).await;
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    sender: &mut Sender<S>,
    receiver: &mut Receiver<S>,
    caller: Option<&Caller>,
) -> Result<Hello, SessionError> {
    let late = |_| SessionError::Refused(format!("expected a hello within {} s", HELLO.as_secs()));
    let hello = match timeout(HELLO, receiver.next::<FromEdge>()).await.map_err(late)?? {
        Heard::Message(FromEdge::Hello(hello)) => hello,
        _ => return Err(SessionError::Refused("expected a hello first".to_owned())),
    };
    let welcome = Welcome {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat_seconds: hub.options.heartbeat.as_secs_f64(),
    };
    // Also to an edge of another version: it tells its reader so.
    sender.send(&FromHub::Welcome(welcome)).await?;
    let refuse = |reason: String| Err(SessionError::Refused(reason));
    if hello.protocol != PROTOCOL {
        return refuse(format!(
            "the edge speaks version {} of the session, this hub {PROTOCOL}: bring both to one version",
            hello.protocol
        ));
    }
    if hello.agent.is_empty() || hello.agent.len() > 253 || hello.agent.chars().any(char::is_control) {
        return refuse("expected an agent's name of 1 to 253 characters".to_owned());
    }
    if hello.offers.len() > MAX_OFFERS {
        let found = hello.offers.len();
        return refuse(format!("{found} actions: expected at most {MAX_OFFERS} of one edge"));
    }
    if hello.components.len() > MAX_COMPONENTS {
        let found = hello.components.len();
        return refuse(format!("{found} components: expected at most {MAX_COMPONENTS} of one edge"));
    }
    if let Some(Caller { name }) = caller.filter(|caller| caller.name != hello.agent) {
        return refuse(format!("{name} is called {}: expected its own name", hello.agent));
    }
    may_tell(caller, &hello.components)?;
    Ok(hello)
}

fn may_tell(caller: Option<&Caller>, components: &[Component]) -> Result<(), SessionError> {
    components.iter().try_for_each(|one| speaks_for(caller, &one.id)).map_err(SessionError::Refused)
}

/// Takes what an edge says and asks it what is to be asked.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Rc<Hub>,
    agent: &str,
    number: u64,
    mut asked: mpsc::Receiver<Ask>,
    sender: &mut Sender<S>,
    receiver: &mut Receiver<S>,
    caller: Option<&Caller>,
) -> Result<(), SessionError> {
    let mut waiting: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
    let mut heard = Instant::now();
    loop {
        let deadline = heard + SILENT_HEARTBEATS * hub.options.heartbeat;
        let message = tokio::select! {
            message = timeout_at(deadline, receiver.next::<FromEdge>()) => {
                message.map_err(|_| SessionError::Broken("nothing was heard for too long".to_owned()))??
            }
            ask = asked.recv() => {
                match ask {
                    Some(Ask::Pull { pull, answer }) => {
                        waiting.retain(|_, answer| !answer.is_closed());
                        waiting.insert(pull.id, answer);
                        sender.send(&FromHub::Pull(pull)).await?;
                    }
                    Some(Ask::Normal(anomaly)) => sender.send(&FromHub::Normal(anomaly)).await?,
                    Some(Ask::Command(command)) => sender.send(&FromHub::Command(command)).await?,
                    Some(Ask::Learnt(component)) => sender.send(&FromHub::Learnt(component)).await?,
                    Some(Ask::BeginWith(learnt)) => sender.send(&FromHub::BeginWith(learnt)).await?,
                    None => {
                        let reason = "another session of the same name took its place".to_owned();
                        return Err(SessionError::Refused(reason));
                    }
                }
                continue;
            }
        };
        heard = Instant::now();
        let now = hub.now();
        hub.sessions.update(agent, number, |report| report.last_heard = now);
        let message = match message {
            Heard::Message(message) => message,
            Heard::Time(time) => {
                set_clock(hub, agent, number, time.since(now));
                continue;
            }
            Heard::Sign => continue,
        };
        match message {
            FromEdge::Events(delivery) => {
                let refused = hub.take(&delivery.events, caller).await.map_err(SessionError::Refused)?;
                hub.count(|counters| {
                    counters.events_taken += (delivery.events.len() - refused.len()) as u64;
                    counters.events_refused += refused.len() as u64;
                });
                let done = Acknowledged { number: delivery.number, refused };
                sender.send(&FromHub::Acknowledged(done)).await?;
            }
            FromEdge::Evidence(part) => {
                if let Some(answer) = waiting.remove(&part.id) {
                    let part = part.unpacked().map_err(SessionError::Message)?;
                    // Whoever asked may have given up.
                    let _ = answer.send(Answer { part, bytes: receiver.last_bytes() });
                }
            }
            FromEdge::Learnt(learnt) => hub.take_learnt(agent, learnt).await,
            FromEdge::Topology(delta) => hub.learn_topology(agent, delta).await,
            FromEdge::Heartbeat(heartbeat) => {
                let components = heartbeat.components.filter(|all| all.len() <= MAX_COMPONENTS);
                may_tell(caller, components.as_deref().unwrap_or_default())?;
                let offers = heartbeat.offers.filter(|all| all.len() <= MAX_OFFERS);
                hub.heard_of(agent, components.as_deref()).await;
                set_clock(hub, agent, number, heartbeat.time.since(now));
                hub.sessions.learns(agent, number, heartbeat.learning);
                hub.sessions.update(agent, number, |report| {
                    if let Some(components) = components {
                        hub.sessions.unwatch(agent, &report.components);
                        hub.sessions.watch(agent, &components);
                        report.components = components;
                    }
                    if let Some(offers) = offers {
                        report.offers = offers;
                    }
                });
            }
            FromEdge::Report(report) => {
                let ahead = hub.sessions.clock_ahead(agent);
                hub.take_report(agent, report, ahead).await.map_err(SessionError::Refused)?;
            }
            FromEdge::Hello(_) => return Err(SessionError::Refused("a second hello".to_owned())),
        }
    }
}

fn set_clock(hub: &Hub, agent: &str, number: u64, ahead: f64) {
    hub.sessions.update(agent, number, |report| {
        report.clock_ahead_seconds = steady(report.clock_ahead_seconds, ahead);
    });
}

/// How far a clock is ahead by what was thought before and what is measured now. It stays the same until it is clearly another: the
/// onset that an edge told and the samples that it answers with must be moved by the same, or the first sample of an incident ends
/// up before its onset.
fn steady(before: f64, measured: f64) -> f64 {
    if (measured - before).abs() < APART { before } else { measured }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_token_of_the_hub_speaks_for_its_own_pod_and_for_no_other_pod_or_machine() {
        let caller = Caller { name: "shop/pay-x".to_owned() };
        let may = |id: &str, caller| speaks_for(caller, &id.parse().unwrap());
        for id in ["pod/shop/pay-x", "service/shop/orders", "process/pay-x/worker"] {
            assert_eq!(may(id, Some(&caller)), Ok(()), "{id}");
        }
        for id in ["pod/shop/web-y", "pod/other/pay-x", "node/local/n1"] {
            assert!(may(id, Some(&caller)).unwrap_err().contains("pod/shop/pay-x"), "{id}");
            assert_eq!(may(id, None), Ok(()), "{id}");
        }
    }

    #[test]
    fn what_a_heartbeat_takes_on_its_way_does_not_move_a_clock() {
        assert_eq!(steady(0.0, -0.02), 0.0);
        assert_eq!(steady(0.0, -90.02), -90.02);
        assert_eq!(steady(-90.02, -90.3), -90.02);
        assert_eq!(steady(-90.02, 0.01), 0.01);
    }
}
