//! The command line of the edge role, shared by the small program `larnax-edge` and by `larnax up` and `larnax edge`.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use larnax_core::{Clock, SystemClock};
use larnax_edge_role::hub::{HubAt, HubHere};
use larnax_edge_role::server::Pages;
use larnax_edge_role::server::api::ListenerReport;
use larnax_edge_role::{Deps, Edge, discover};
use larnax_http::Auth;
use larnax_notify::{Identity, client};
use larnax_serve::LocalFuture;
use larnax_session::OpenOptions;
use larnax_spec::{Config, Environment, Host, HostConfig, Listen, Period, Receiver, ScrapeConfig, Url};

/// How long opening a session with a hub may take.
const HUB_TIMEOUT: Duration = Duration::from_secs(15);

/// What an agent is told on the command line; it goes before the config file and the environment.
#[derive(Clone, Debug, Default, Args)]
pub struct AgentArgs {
    /// A config file; without it, useful defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A Prometheus or OpenMetrics endpoint to watch, as http://127.0.0.1:9100/metrics or 127.0.0.1:9100
    #[arg(long, value_name = "URL")]
    pub scrape: Vec<String>,
    /// Watch this machine
    #[arg(long)]
    pub host: bool,
    /// How often metrics are collected
    #[arg(long, value_name = "DURATION")]
    pub interval: Option<Period>,
    /// An Alertmanager to tell, as http://127.0.0.1:9093
    #[arg(long, value_name = "URL")]
    pub alertmanager: Vec<Url>,
    /// The folder for what is learnt, evidence, and alerts that wait
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Where the API and /metrics are served [default: 127.0.0.1:7676]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<Listen>,
}

/// What a program adds to the plain agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// The page.
    pub pages: Option<Pages>,
    /// Whether the last hour is kept for the page.
    pub keep_history: bool,
    /// Whether this machine is watched even when there is something to scrape.
    pub watch_host: bool,
    /// Whether local listeners are listed.
    pub look: bool,
    /// Whether they are asked for metrics, and watched if they have any.
    pub discover: bool,
    /// Called once the server listens.
    pub started: Option<fn(&Started)>,
    /// Makes the hub of this process, where the config names none.
    pub hub: Option<MakeHub>,
}

/// Makes a hub with its state below a folder.
pub type MakeHub =
    fn(Config, Identity, PathBuf, Rc<dyn Clock>) -> LocalFuture<'static, Result<HubHere, String>>;

/// What is known once the agent runs.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where the server listens.
    pub listen: std::net::SocketAddr,
    /// How many components are watched.
    pub components: usize,
    /// Where it keeps what it learns.
    pub state: PathBuf,
    /// Local listeners that are not watched, with their processes.
    pub unwatched: Vec<String>,
}

/// Runs an agent until it is told to stop.
///
/// # Errors
/// When the config has errors or something can't be opened.
pub fn run(args: AgentArgs, extras: Extras) -> anyhow::Result<()> {
    start_log()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(watch(args, extras))
}

async fn watch(args: AgentArgs, extras: Extras) -> anyhow::Result<()> {
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let mut listeners = if extras.look { discover::look() } else { Vec::new() };
    let discovered = if extras.discover { discover::ask(&listeners, &clock).await } else { Vec::new() };
    let load = move || load(&args, extras.watch_host, &discovered);
    let config = load()?;
    let watched: Vec<&str> =
        config.scrape_configs.iter().flat_map(|job| job.targets()).map(|target| target.instance).collect();
    for listener in &mut listeners {
        listener.watched = watched.contains(&listener.address.as_str());
    }
    let named = |l: &ListenerReport| format!("{} ({})", l.address, l.process.as_deref().unwrap_or("unknown"));
    let unwatched = listeners.iter().filter(|listener| !listener.watched).map(named).collect();
    let state = config.state.clone().unwrap_or_else(|| Environment::of_process().state_dir());
    let (elsewhere, here) = (hub_of(&config)?, extras.hub);
    let edge = Edge::create(Deps {
        config,
        reload: Box::new(move || load().map_err(|error| format!("{error:#}"))),
        state: state.clone(),
        pages: extras.pages,
        keep_history: extras.keep_history,
        listeners,
        hub: elsewhere.or_else(|| {
            let make = here?;
            let (state, clock) = (state.clone(), Rc::clone(&clock));
            Some(HubAt::Here(Box::new(move |config, identity| make(config, identity, state, clock))))
        }),
        clock,
    })
    .await?;
    if let Some(started) = extras.started {
        started(&Started { listen: edge.address(), components: edge.components(), state, unwatched });
    }
    tracing::info!(listen = %edge.address(), components = edge.components(), "watching");
    Ok(edge.run().await?)
}

/// The hub that a config names.
fn hub_of(config: &Config) -> anyhow::Result<Option<HubAt>> {
    Ok(config.hub.as_ref().map(way_to).transpose()?.flatten().map(|options| HubAt::Url(Box::new(options))))
}

/// How a session with a hub is opened; none where the config has no URL.
pub fn way_to(hub: &larnax_spec::Hub) -> anyhow::Result<Option<OpenOptions>> {
    let Some(url) = &hub.url else { return Ok(None) };
    Ok(Some(OpenOptions {
        url: larnax_http::Url::parse(url.as_str())?,
        auth: hub.token().map_or(Auth::None, |token| Auth::bearer(client::secret(token))),
        tls: client::tls(hub.tls_config.as_ref()),
        proxy: hub.proxy_url.as_ref().map(|proxy| larnax_http::Url::parse(proxy.as_str())).transpose()?,
        timeout: HUB_TIMEOUT,
    }))
}

/// File, environment, command line: what comes later wins.
fn load(args: &AgentArgs, watch_host: bool, discovered: &[String]) -> anyhow::Result<Config> {
    let environment = Environment::of_process();
    let file = args.config.clone().or_else(|| environment.get(larnax_spec::env::CONFIG).map(PathBuf::from));
    let (mut config, mut warnings) = match &file {
        Some(path) => Config::load(path, &environment)?,
        None => Config::from_environment(&environment)?,
    };
    let scraped = args.scrape.iter().chain(discovered);
    if args.host || (watch_host && config.host.is_none()) {
        config.host.get_or_insert(Host::On(HostConfig::default()));
    }
    for url in scraped {
        config.scrape_configs.push(ScrapeConfig::from_url(url).with_context(|| format!("--scrape {url}"))?);
    }
    if let Some(interval) = args.interval {
        config.interval = interval;
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(state) = &args.state {
        config.state = Some(state.clone());
    }
    config.alerts.alertmanagers.extend(args.alertmanager.iter().cloned().map(Receiver::at));
    // Its warnings are those of the file again: no flag can cause one.
    config.validate("command line")?;
    warnings.extend(config.check_files()?);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// Logs to standard error at the level that `LARNAX_LOG` names; without it, what a person should know.
pub fn start_log() -> anyhow::Result<()> {
    let level = match std::env::var(larnax_spec::env::LOG) {
        Ok(text) if !text.is_empty() => text
            .parse::<tracing::Level>()
            .map_err(|_| anyhow::anyhow!("LARNAX_LOG={text}: expected error, warn, info or debug"))?,
        _ => tracing::Level::INFO,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would panic, and end the agent, where whoever reads the log is gone.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// A duration of the command line, such as `5s` or `100ms`.
///
/// # Errors
/// What was found and what was expected.
pub fn duration(text: &str) -> Result<Duration, larnax_spec::ValueError> {
    text.parse::<Period>().map(Duration::from)
}
