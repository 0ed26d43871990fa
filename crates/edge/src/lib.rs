//! The edge role: wires collect, pipeline, detect and alert, keeps what is learnt, and serves what it knows.
//!
//! [`Edge::create`] checks and opens everything; [`Edge::run`] watches until it is told to stop. Everything runs on one
//! thread: call it on a runtime that takes local tasks.

pub mod discover;
pub mod models;
pub mod server;
pub mod walk;

mod agent;
mod history;
pub mod hub;
mod journal;
mod keeper;
mod plan;
mod report;
mod sight;
mod targets;
mod tasks;
mod timer;
mod watched;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use larnax_act::Executor;
use larnax_alert::{Outbox, OutboxOptions};
use larnax_core::Clock;
use larnax_notify::{Identity, Sinks, Speaker};
use larnax_serve::{Door, Handler, LocalFuture};
use larnax_session::SessionError;
use larnax_spec::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use agent::{Agent, AgentParts};
use hub::{HubAt, HubHere, Way};
use journal::Journal;
use plan::Plan;
use server::{Answers, Pages};
use targets::{Finds, Found, Search};
use tasks::Collectors;

/// The most connections at once; one more is closed at once.
const MAX_CONNECTIONS: usize = 64;

/// What the edge role needs.
pub struct Deps {
    /// A checked config.
    pub config: Config,
    /// Reads the config again; the error is a sentence for the log.
    pub reload: Box<dyn Fn() -> Result<Config, String>>,
    /// Where it keeps what it learns.
    pub state: PathBuf,
    /// Time.
    pub clock: Rc<dyn Clock>,
    /// The page, where the program has one.
    pub pages: Option<Pages>,
    /// Whether the last hour is kept for the page.
    pub keep_history: bool,
    /// Local listeners, for a person to choose from.
    pub listeners: Vec<server::api::ListenerReport>,
    /// The hub, where there is one.
    pub hub: Option<HubAt>,
}

/// Why the agent can't start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Somebody else listens there, or the address isn't this machine's.
    #[error(
        "can't listen on {address}: {reason}; give another address with --listen, or --listen :0 for any free port"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The token can't be read.
    #[error("the token of the API can't be read: {0}")]
    Token(std::io::Error),
    /// What the config asks for can't be.
    #[error("{0}")]
    Plan(String),
    /// The outbox or a sink can't be made.
    #[error(transparent)]
    Alert(#[from] larnax_alert::AlertError),
    /// What may be done can't be done as the config says, or what was done can't be written down.
    #[error("actions: {0}")]
    Act(#[from] larnax_act::ActError),
    /// The hub can't be spoken to as the config says.
    #[error("the hub: {0}")]
    Hub(#[from] SessionError),
    /// The hub of this process can't start.
    #[error("{0}")]
    HubHere(String),
    /// The system gives no signals.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

/// The hub of this process, without the way to it.
struct Here {
    handler: Rc<dyn Handler>,
    run: LocalFuture<'static, ()>,
    stop: LocalFuture<'static, ()>,
}

/// The edge role, ready to run.
pub struct Edge {
    listener: TcpListener,
    address: SocketAddr,
    identity: Identity,
    door: Door,
    pages: Option<Pages>,
    way: Option<Way>,
    here: Option<Here>,
    speaker: Speaker,
    agent: Rc<RefCell<Agent>>,
    /// None where it can't be written down what is done: then nothing is.
    executor: Option<Rc<Executor>>,
    outbox: Rc<Outbox>,
    sinks: Sinks,
    plan: Plan,
    found: Found,
    config: Config,
    reload: Box<dyn Fn() -> Result<Config, String>>,
    reload_wanted: Rc<Notify>,
    clock: Rc<dyn Clock>,
}

impl Edge {
    /// Opens everything: listener, outbox, models, evidence.
    pub async fn create(deps: Deps) -> Result<Self, EdgeError> {
        let Deps { config, reload, state, clock, pages, keep_history, listeners, hub } = deps;
        let named = config.watched_host().and_then(|host| host.name);
        let hostname = named.map_or_else(larnax_serve::process::hostname, String::from);
        let (mut found, damaged) = Found::load(&state);
        let notices: Vec<String> = damaged.into_iter().chain(found.begin(&config)).collect();
        let plan = Plan::of(&config, &found, &hostname).map_err(EdgeError::Plan)?;
        let token = config.api.token().map(|token| token.read()).transpose().map_err(EdgeError::Token)?;
        let wanted = config.listen.0;
        let refused = |reason| EdgeError::Listen { address: wanted, reason };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;

        let source = format!("/larnax/edge/{hostname}");
        let identity = Identity {
            page: larnax_serve::url_of("http", address, &hostname)
                + if pages.is_some() { "" } else { "api/v1/anomalies" },
            source: source.clone(),
            hostname,
        };
        let speaker = match &hub {
            Some(HubAt::Here(_)) => Speaker::AgentBesideHub,
            _ => Speaker::Agent,
        };
        let (way, here) = match hub {
            None => (None, None),
            Some(HubAt::Url(options)) => (Some(Way::Url(options)), None),
            Some(HubAt::Here(make)) => {
                let made = make(config.clone(), identity.clone()).await.map_err(EdgeError::HubHere)?;
                let HubHere { connect, handler, run, stop } = made;
                (Some(Way::Here(connect)), Some(Here { handler, run, stop }))
            }
        };
        let sinks = Sinks::of(&config, speaker, &identity, &clock)?;
        let max_bytes = config.alerts.spool.max_bytes.0;
        let options = OutboxOptions { max_bytes, sinks: told(&sinks, way.is_some()) };
        let (outbox, recovered) = Outbox::open(Some(&state.join("outbox")), options)?;
        let outbox = Rc::new(outbox);
        let reload_wanted = Rc::new(Notify::new());
        let offered = larnax_act::catalogue(&config.actions)?;
        let executor = Executor::open(&state.join("actions"), offered, Rc::clone(&clock));
        let mut agent = Agent::new(AgentParts {
            hostname: identity.hostname.clone(),
            clock: Rc::clone(&clock),
            state: Some(state),
            journal: Journal::new(source, Rc::clone(&outbox), recovered.open),
            reload: Rc::clone(&reload_wanted),
            keep_history,
            listeners,
        });
        agent.notices(notices.into_iter().chain(recovered.damaged));
        let executor = match executor {
            Ok(executor) => {
                agent.notices(executor.take_notices());
                Some(Rc::new(executor))
            }
            Err(error) => {
                agent.notices([format!("nothing can be done to what is watched: {error}")]);
                None
            }
        };
        agent.apply(&plan);
        Ok(Self {
            listener,
            address,
            identity,
            door: Door {
                listen: address,
                token: token.map(|token| larnax_http::Secret::new(token.expose())),
                callers: None,
                max_connections: MAX_CONNECTIONS,
                certificate: None,
                content_types: &[],
            },
            pages,
            way,
            here,
            speaker,
            agent: Rc::new(RefCell::new(agent)),
            executor,
            outbox,
            sinks,
            plan,
            found,
            config,
            reload,
            reload_wanted,
            clock,
        })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many components are watched.
    pub fn components(&self) -> usize {
        self.plan.components.len()
    }

    /// Watches until SIGTERM or SIGINT; then sends what is pending, saves everything and returns. SIGHUP reloads.
    pub async fn run(self) -> Result<(), EdgeError> {
        let Self {
            listener,
            door,
            pages,
            way,
            here,
            speaker,
            agent,
            executor,
            outbox,
            sinks,
            plan,
            found,
            mut config,
            reload,
            reload_wanted,
            clock,
            identity,
            ..
        } = self;
        let mut terminate = signal(SignalKind::terminate()).map_err(EdgeError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(EdgeError::Signals)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(EdgeError::Signals)?;

        agent.borrow_mut().sinks = sinks.start(&outbox, &clock);
        let told_hub = way.is_some();
        let name = config.hub.as_ref().and_then(|hub| hub.name.clone());
        let name = name.unwrap_or_else(|| identity.hostname.clone());
        if let Some(interrupted) = executor.clone() {
            // The hub asks for what it has not heard.
            tokio::task::spawn_local(async move { drop(interrupted.finish_interrupted().await) });
        }
        let link =
            way.map(|way| hub::Link::start(way, name, &agent, &executor, &outbox, &clock)).transpose()?;
        agent.borrow_mut().link = link;
        let others = here.as_ref().map(|here| Rc::clone(&here.handler));
        let answers = Rc::new(Answers { agent: Rc::clone(&agent), pages, others });
        let (working, stop_hub) =
            here.map_or((None, None), |here| (Some(tokio::task::spawn_local(here.run)), Some(here.stop)));
        let serving = tokio::task::spawn_local(larnax_serve::serve(listener, door, answers));
        let mut collectors = Collectors::default();
        collectors.follow(&plan, &agent, &clock);
        let finds = Finds {
            found: Rc::new(RefCell::new(found)),
            changed: Rc::new(Notify::new()),
            agent: Rc::clone(&agent),
        };
        let mut search = Search::start(&config, &finds);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {}
                () = reload_wanted.notified() => {}
                () = finds.changed.notified() => {
                    // What is found was checked, and the config was.
                    if let Ok(plan) = Plan::of(&config, &finds.found.borrow(), &identity.hostname) {
                        agent.borrow_mut().apply(&plan);
                        collectors.follow(&plan, &agent, &clock);
                        tracing::info!(components = plan.components.len(), "other targets were found");
                    }
                    continue;
                }
            }
            let read = || -> Result<_, String> {
                let fresh = reload()?;
                let mut found = finds.found.borrow().clone();
                let notices = found.begin(&fresh);
                let plan = Plan::of(&fresh, &found, &identity.hostname)?;
                let sinks =
                    Sinks::of(&fresh, speaker, &identity, &clock).map_err(|error| error.to_string())?;
                let offered = larnax_act::catalogue(&fresh.actions).map_err(|error| error.to_string())?;
                Ok((fresh, found, plan, sinks, offered, notices))
            };
            match read() {
                Ok((fresh, found, plan, sinks, offered, notices)) => {
                    if let Some(executor) = &executor {
                        executor.set_offered(offered);
                    }
                    finds.found.replace(found);
                    // Ended before the agent changes: their places are those of the old plan.
                    drop(collectors);
                    let mut agent_now = agent.borrow_mut();
                    agent_now.notices(notices.into_iter().chain(needs_restart(&config, &fresh)));
                    agent_now.apply(&plan);
                    if config.alerts != fresh.alerts || config.external_labels != fresh.external_labels {
                        outbox.set_sinks(&told(&sinks, told_hub));
                        // What the old ones are sending may be sent again: every receiver knows events by their names.
                        agent_now.sinks = sinks.start(&outbox, &clock);
                    }
                    drop(agent_now);
                    collectors = Collectors::default();
                    collectors.follow(&plan, &agent, &clock);
                    search = Search::start(&fresh, &finds);
                    config = fresh;
                    tracing::info!(components = plan.components.len(), "reloaded");
                }
                Err(error) => {
                    agent
                        .borrow_mut()
                        .notices([format!("the config was not reloaded, the old one goes on: {error}")]);
                }
            }
        }
        tracing::info!("stopping");
        drop((collectors, search));
        serving.abort();
        if let Some(working) = working {
            working.abort();
        }
        agent.borrow_mut().save_all();
        let sinks = std::mem::take(&mut agent.borrow_mut().sinks);
        sinks.stop().await;
        if let Some(stop) = stop_hub {
            stop.await;
        }
        Ok(())
    }
}

/// Who must get every event.
fn told(sinks: &Sinks, hub: bool) -> Vec<String> {
    sinks.names().into_iter().chain(hub.then(|| hub::SINK.to_owned())).collect()
}

/// What a reload can't change.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let changed = [
        ("listen", old.listen != new.listen),
        ("api", old.api != new.api),
        ("state", old.state != new.state),
        ("alerts.spool", old.alerts.spool != new.alerts.spool),
        ("evidence", old.evidence != new.evidence),
        ("policies", old.policies != new.policies),
    ];
    let sentence = |name| format!("`{name}` has changed in the config: that takes effect at the next start");
    changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| sentence(name)).collect()
}
