//! The hub: `larnax hub` by itself, and beside the agent of `larnax up`.

pub(crate) mod args;
mod history;
mod people;
mod rabbitmq;

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail};
use larnax_alert::{Outbox, OutboxOptions};
use larnax_core::event::IncidentEvent;
use larnax_core::{Clock, EventLog, SystemClock};
use larnax_edge_role::hub::HubHere;
use larnax_hub::{Hub, HubOptions};
use larnax_notify::{Identity, Running, Sinks, Speaker};
use larnax_serve::guard::Callers;
use larnax_serve::{Certificate, Door, Handler, process};
use larnax_session::{OpenOptions, Opener};
use larnax_spec::{Config, Environment, Receiver, Secret};
use larnax_store::{Location, OnDamage, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::pages;
use args::HubArgs;

/// The most edges and people at once.
const MAX_CONNECTIONS: usize = 20_000;
/// What incidents that wait for a receiver may take on disk.
const OUTBOX_BYTES: u64 = 8 << 20;

/// `larnax hub`: runs until it is told to stop.
pub(crate) fn hub(mut args: HubArgs) -> anyhow::Result<ExitCode> {
    let location = args.place.location()?;
    if let Some(command) = args.command.take() {
        return history::run(command, &location);
    }
    larnax_edge::start_log()?;
    // Before there is a runtime: the store's calls block.
    let store = open(&location)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(serve(args, &location, store))?;
    Ok(ExitCode::SUCCESS)
}

/// Who may open a session without the hub's token.
#[cfg(feature = "kubernetes")]
async fn callers(args: &HubArgs) -> anyhow::Result<Option<Rc<dyn Callers>>> {
    let Some(audience) = args.workloads.clone() else { return Ok(None) };
    let workloads = larnax_kube::callers::Workloads::create(audience, larnax_session::PATH).await?;
    Ok(Some(Rc::new(workloads)))
}

/// Without Kubernetes there are no workloads.
#[cfg(not(feature = "kubernetes"))]
async fn callers(_args: &HubArgs) -> anyhow::Result<Option<Rc<dyn Callers>>> {
    Ok(None)
}

async fn serve(args: HubArgs, location: &Location, store: Arc<dyn Store>) -> anyhow::Result<()> {
    let token = args.token_file.as_deref().map(Secret::from_file).transpose().context("--token-file")?;
    if token.is_none() && !args.listen.is_loopback() {
        bail!(
            "--listen {} can be reached by other machines: expected --token-file FILE as well",
            args.listen
        );
    }
    let callers = callers(&args).await?;
    let certificate = match (args.tls_cert, args.tls_key) {
        (Some(cert), Some(key)) => Some(Certificate::new(cert, key).map_err(anyhow::Error::msg)?),
        _ => None,
    };
    let mut config = match &args.config {
        Some(path) => load(path)?,
        None => Config::default(),
    };
    config.alerts.alertmanagers.extend(args.alertmanager.into_iter().map(Receiver::at));
    let clock: Rc<dyn Clock> = Rc::new(SystemClock);
    let hostname = process::hostname();
    let name = args.name.unwrap_or_else(|| hostname.clone());
    let options = HubOptions {
        pages: Some(pages::page),
        policies: config.policies.clone(),
        ..HubOptions::new(name.clone())
    };
    let hub = on(&store, location, options, &clock);
    let wanted = args.listen.0;
    let listener = TcpListener::bind(wanted).await.with_context(|| format!("can't listen on {wanted}"))?;
    let listen = listener.local_addr()?;
    let page = larnax_serve::url_of(if certificate.is_some() { "https" } else { "http" }, listen, &hostname);
    let identity =
        Identity { source: format!("/larnax/hub/{name}"), hostname: name.clone(), page: page.clone() };
    let said = config.topology.delta(&format!("hub/{name}"));
    if let Some(above) = config.hub.as_ref().map(larnax_edge::way_to).transpose()?.flatten() {
        hand_up(&hub, above)?;
    }
    let telling = people::start(config, identity, &hub, &clock)?;
    if let Some(url_file) = args.rabbitmq_url_file {
        rabbitmq::start(rabbitmq::Broker { url_file, ca_file: args.rabbitmq_ca }, &hub, &store)?;
    }
    eprintln!("Larnax hub at {page}, history in {location}. Ctrl-C ends it.");
    let door = Door {
        listen,
        token: token.map(|token| larnax_http::Secret::new(token.expose())),
        callers,
        max_connections: MAX_CONNECTIONS,
        certificate,
        content_types: &[larnax_bus::cloudevents::EVENT, larnax_bus::cloudevents::BATCH],
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Also when it says nothing: then nothing of what it said before holds.
    hub.tell_topology(said).await;
    let mut running = pin!(Rc::clone(&hub).run());
    tokio::select! {
        () = larnax_serve::serve(listener, door, Rc::clone(&hub)) => {}
        () = &mut running => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let telling = telling.take();
    if let Some(telling) = telling {
        telling.stop().await;
    }
    hub.leave().await;
    Ok(())
}

/// Has the hub hand up to the hub that its config names, while it acts.
fn hand_up(hub: &Rc<Hub>, above: OpenOptions) -> anyhow::Result<()> {
    // What is wrong with the config is to be said now.
    Opener::new(above.clone())?;
    let weak = Rc::downgrade(hub);
    hub.while_acting(Box::new(move || {
        let (hub, opener) = (weak.upgrade(), Opener::new(above.clone()));
        Box::pin(async move {
            match (hub, opener) {
                (Some(hub), Ok(opener)) => hub.hand_up(opener).await,
                (_, Err(error)) => tracing::error!("nothing is handed up: {error}"),
                (None, _) => {}
            }
        })
    }));
    Ok(())
}

/// The hub of `larnax up`: its history beside the agent's state, its news to the config's receivers.
pub(crate) async fn beside(
    config: Config,
    identity: Identity,
    state: &Path,
    clock: Rc<dyn Clock>,
) -> anyhow::Result<HubHere> {
    let folder = state.join("hub");
    let location = Location::File(folder.join("hub.db"));
    let options =
        HubOptions { policies: config.policies.clone(), ..HubOptions::new(identity.hostname.clone()) };
    let hub = on(&open(&location)?, &location, options, &clock);
    let sinks: Sinks<IncidentEvent> = Sinks::of(&config, Speaker::Hub, &identity, &clock)?;
    let options = OutboxOptions { max_bytes: OUTBOX_BYTES, sinks: sinks.names() };
    let (outbox, recovered) = Outbox::open(Some(&folder.join("outbox")), options)?;
    for damage in recovered.damaged {
        tracing::warn!("{damage}");
    }
    let outbox = Rc::new(outbox);
    let running: Running = sinks.start(&outbox, &clock);
    hub.tell_people(outbox, running.statuses().to_vec());
    let (connecting, handler, leaving) = (Rc::clone(&hub), Rc::clone(&hub), Rc::clone(&hub));
    Ok(HubHere {
        connect: Box::new(move || Some(connecting.connect())),
        handler: handler as Rc<dyn Handler>,
        run: Box::pin(hub.run()),
        stop: Box::pin(async move {
            leaving.leave().await;
            running.stop().await;
        }),
    })
}

/// A hub on a store.
fn on(store: &Arc<dyn Store>, location: &Location, options: HubOptions, clock: &Rc<dyn Clock>) -> Rc<Hub> {
    let log: Arc<dyn EventLog> = store.clone();
    let shared = matches!(location, Location::Postgres(_));
    Hub::new(options, Arc::clone(store), log, shared, Rc::clone(clock))
}

fn open(location: &Location) -> anyhow::Result<Arc<dyn Store>> {
    if let Location::File(path) = location
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(larnax_store::open(location, OnDamage::default())?)
}

fn load(path: &Path) -> anyhow::Result<Config> {
    let (config, warnings) = Config::load(path, &Environment::of_process())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
