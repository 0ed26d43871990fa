//! The edge role: wires collect, pipeline, detect and alert, keeps what is learnt, and serves what it knows.
//!
//! [`Edge::create`] checks and opens everything; [`Edge::run`] watches until it is told to stop. Everything runs on one
//! thread: call it on a runtime that takes local tasks.

pub mod discover;
pub mod models;
pub mod process;
pub mod server;
pub mod walk;

mod agent;
mod client;
mod history;
mod journal;
mod keeper;
mod plan;
mod report;
mod sinks;
mod tasks;
mod timer;
mod watched;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use larnax_alert::{Outbox, OutboxOptions};
use larnax_core::Clock;
use larnax_spec::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use agent::{Agent, AgentParts};
use journal::Journal;
use plan::Plan;
use server::{Pages, ServerOptions};
use sinks::{Identity, Sinks};
use tasks::Collectors;

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
    /// The system gives no signals.
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
}

/// The edge role, ready to run.
pub struct Edge {
    listener: TcpListener,
    address: SocketAddr,
    identity: Identity,
    server: ServerOptions,
    agent: Rc<RefCell<Agent>>,
    outbox: Rc<Outbox>,
    sinks: Sinks,
    plan: Plan,
    config: Config,
    reload: Box<dyn Fn() -> Result<Config, String>>,
    reload_wanted: Rc<Notify>,
    clock: Rc<dyn Clock>,
}

impl Edge {
    /// Opens everything: listener, outbox, models, evidence.
    pub async fn create(deps: Deps) -> Result<Self, EdgeError> {
        let Deps { config, reload, state, clock, pages, keep_history, listeners } = deps;
        let hostname = process::hostname();
        let plan = Plan::of(&config, &hostname).map_err(EdgeError::Plan)?;
        let token = config.api.token().map(|token| token.read()).transpose().map_err(EdgeError::Token)?;
        let wanted = config.listen.0;
        let refused = |reason| EdgeError::Listen { address: wanted, reason };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;

        let source = format!("/larnax/edge/{hostname}");
        let identity = Identity {
            page: page_url(address, &hostname, pages.is_some()),
            source: source.clone(),
            hostname,
        };
        let sinks = Sinks::of(&config, &identity, &clock)?;
        let options = OutboxOptions { max_bytes: config.alerts.spool.max_bytes.0, sinks: sinks.names() };
        let (outbox, recovered) = Outbox::open(Some(&state.join("outbox")), options)?;
        let outbox = Rc::new(outbox);
        let reload_wanted = Rc::new(Notify::new());
        let mut agent = Agent::new(AgentParts {
            clock: Rc::clone(&clock),
            state: Some(state),
            journal: Journal::new(source, Rc::clone(&outbox), recovered.open),
            reload: Rc::clone(&reload_wanted),
            keep_history,
            listeners,
        });
        agent.notices(recovered.damaged);
        agent.apply(&plan);
        Ok(Self {
            listener,
            address,
            identity,
            server: ServerOptions { listen: address, token, pages },
            agent: Rc::new(RefCell::new(agent)),
            outbox,
            sinks,
            plan,
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
            server,
            agent,
            outbox,
            sinks,
            plan,
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
        let serving = tokio::task::spawn_local(server::serve(listener, server, Rc::clone(&agent)));
        let mut collectors = Collectors::start(&plan, &agent, &clock);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {}
                () = reload_wanted.notified() => {}
            }
            let read = || -> Result<_, String> {
                let fresh = reload()?;
                let plan = Plan::of(&fresh, &identity.hostname)?;
                let sinks = Sinks::of(&fresh, &identity, &clock).map_err(|error| error.to_string())?;
                Ok((fresh, plan, sinks))
            };
            match read() {
                Ok((fresh, plan, sinks)) => {
                    // Ended before the agent changes: their places are those of the old plan.
                    drop(collectors);
                    let mut agent_now = agent.borrow_mut();
                    agent_now.notices(needs_restart(&config, &fresh));
                    agent_now.apply(&plan);
                    if config.alerts != fresh.alerts || config.external_labels != fresh.external_labels {
                        outbox.set_sinks(&sinks.names());
                        // What the old ones are sending may be sent again: every receiver knows events by their names.
                        agent_now.sinks = sinks.start(&outbox, &clock);
                    }
                    drop(agent_now);
                    collectors = Collectors::start(&plan, &agent, &clock);
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
        drop(collectors);
        serving.abort();
        agent.borrow_mut().save_all();
        let sinks = std::mem::take(&mut agent.borrow_mut().sinks);
        sinks.stop().await;
        Ok(())
    }
}

/// What alerts link to: the page, or the API where there is none. Nobody can follow a link to `0.0.0.0`.
fn page_url(address: SocketAddr, hostname: &str, has_page: bool) -> String {
    let path = if has_page { "/" } else { "/api/v1/anomalies" };
    match address.ip().is_unspecified() {
        true => format!("http://{hostname}:{}{path}", address.port()),
        false => format!("http://{address}{path}"),
    }
}

/// What a reload can't change.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let changed = [
        ("listen", old.listen != new.listen),
        ("api", old.api != new.api),
        ("state", old.state != new.state),
        ("alerts.spool", old.alerts.spool != new.alerts.spool),
        ("evidence", old.evidence != new.evidence),
    ];
    let sentence = |name| format!("`{name}` has changed in the config: that takes effect at the next start");
    changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| sentence(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_link_to_where_a_person_can_go() {
        let loopback = "127.0.0.1:7676".parse().unwrap();
        assert_eq!(page_url(loopback, "edge-1", true), "http://127.0.0.1:7676/");
        assert_eq!(page_url(loopback, "edge-1", false), "http://127.0.0.1:7676/api/v1/anomalies");
        assert_eq!(page_url("0.0.0.0:80".parse().unwrap(), "edge-1", true), "http://edge-1:80/");
        assert_eq!(page_url("[::]:80".parse().unwrap(), "edge-1", true), "http://edge-1:80/");
    }
}
