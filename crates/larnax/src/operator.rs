//! `larnax operator`: tells the agents of a Kubernetes cluster's nodes which pods they scrape, and gives pods agents of their own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use larnax_http::{Auth, Client, ClientOptions, SecretSource, TlsOptions};
use larnax_kube::Operator;
use larnax_kube::agents::Agents;
use larnax_kube::certificate::Place;
use larnax_kube::inject::Sidecar;
use larnax_kube::tell::Told;
use larnax_serve::{Certificate, Door};
use larnax_spec::{Config, Listen, Secret};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The most agents at once.
const MAX_CONNECTIONS: usize = 20_000;
/// The most connections of API servers at once.
const MAX_REVIEWS: usize = 1_000;

const HELP: &str = "\
Examples:
  KUBECONFIG=~/.kube/config larnax operator
  larnax operator --listen 0.0.0.0:7678 --token-file /etc/larnax/token --tls-cert operator.pem --tls-key operator.key

A pod is scraped when its annotation prometheus.io/scrape is \"true\"; prometheus.io/port, /path, /scheme and /param_NAME say how.
The agent of a node asks with `http_sd_configs: [{url: 'http://127.0.0.1:7678/targets?node=NAME'}]` in a job of its config.
It may get, list and watch pods, and needs no other right in the cluster for that.

With --inject it also answers the API server, which asks it about new pods at https://…/mutate, and with --federations it runs an agent for
each Federation; both take more rights, and the Helm chart sets them up. With --hub it tells a hub which pod runs on which node.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct OperatorArgs {
    /// Where agents ask
    #[arg(long, default_value = "127.0.0.1:7678", value_name = "ADDR")]
    listen: Listen,
    /// A file with the token that agents must bring; needed beyond loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The certificate to show, PEM; without it, plain HTTP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How pods get agents of their own, YAML; without it, they get none
    #[arg(long, value_name = "FILE", requires = "ca_file")]
    inject: Option<PathBuf>,
    /// Where the API server asks about new pods
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDR", requires = "inject")]
    inject_listen: Listen,
    /// How agents of federations run, YAML; without it, there are none
    #[arg(long, value_name = "FILE")]
    federations: Option<PathBuf>,
    /// A hub that is told which pod runs on which node, and what was rolled out
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// A file with the token that the hub wants
    #[arg(long, value_name = "FILE", requires = "hub")]
    hub_token_file: Option<PathBuf>,
    /// The authority that the hub's certificate is from, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// What `--inject` names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inject {
    sidecar: Sidecar,
    certificate: Place,
}

fn inject_from(file: &Path, ca_file: &Path) -> anyhow::Result<Inject> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--inject {}", file.display()))?;
    let mut inject: Inject =
        serde_saphyr::from_str(&text).with_context(|| format!("--inject {}", file.display()))?;
    inject.sidecar.ca =
        std::fs::read_to_string(ca_file).with_context(|| format!("--ca-file {}", ca_file.display()))?;
    Ok(inject)
}

fn agents_from(file: &Path) -> anyhow::Result<Agents> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--federations {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("--federations {}", file.display()))
}

/// What a config map says, as it is written.
fn read_config(text: &str) -> Result<serde_json::Value, String> {
    Config::from_yaml(text, "larnax.yaml").map_err(|errors| errors.to_string())?;
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// How a hub is told of the cluster.
fn told(hub: &str, token_file: Option<PathBuf>, ca_file: Option<PathBuf>) -> anyhow::Result<Told> {
    let auth = match token_file {
        Some(file) => Auth::bearer(SecretSource::File(file)),
        None => Auth::None,
    };
    let tls = TlsOptions { ca_file, ..TlsOptions::default() };
    let client = Client::new(ClientOptions { auth, tls, ..ClientOptions::default() })?;
    Ok(Told::new(hub, client)?)
}

/// Runs until it is told to stop.
pub(crate) fn operator(args: OperatorArgs) -> anyhow::Result<ExitCode> {
    larnax_edge::start_log()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(run(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(args: OperatorArgs) -> anyhow::Result<()> {
    let token = args.token_file.as_deref().map(Secret::from_file).transpose().context("--token-file")?;
    if token.is_none() && !args.listen.is_loopback() {
        bail!(
            "--listen {} can be reached by other machines: expected --token-file FILE as well",
            args.listen
        );
    }
    let certificate = match (args.tls_cert, args.tls_key) {
        (Some(cert), Some(key)) => Some(Certificate::new(cert, key).map_err(anyhow::Error::msg)?),
        _ => None,
    };
    let mut operator = Operator::create().await?;
    let wanted = args.listen.0;
    let listener = TcpListener::bind(wanted).await.with_context(|| format!("can't listen on {wanted}"))?;
    let listen = listener.local_addr()?;
    let hostname = larnax_serve::process::hostname();
    let url = larnax_serve::url_of(if certificate.is_some() { "https" } else { "http" }, listen, &hostname);
    eprintln!("Larnax operator at {url}targets. Ctrl-C ends it.");
    let door = Door {
        listen,
        token: token.map(|token| larnax_http::Secret::new(token.expose())),
        callers: None,
        max_connections: MAX_CONNECTIONS,
        certificate,
        content_types: &[],
    };
    if let (Some(file), Some(ca_file)) = (&args.inject, &args.ca_file) {
        let Inject { sidecar, certificate } = inject_from(file, ca_file)?;
        let (webhook, shown) = operator.inject(certificate, sidecar, read_config, hostname);
        let wanted = args.inject_listen.0;
        let asked = TcpListener::bind(wanted).await.with_context(|| format!("can't listen on {wanted}"))?;
        // Whoever reaches it may ask: it changes nothing, and says what it would.
        let door = Door {
            listen: asked.local_addr()?,
            token: None,
            callers: None,
            max_connections: MAX_REVIEWS,
            certificate: Some(shown),
            content_types: &[],
        };
        tokio::task::spawn_local(larnax_serve::serve(asked, door, webhook));
    }
    if let Some(file) = &args.federations {
        operator.federate(agents_from(file)?);
    }
    if let Some(hub) = &args.hub {
        operator.tell(told(hub, args.hub_token_file, args.ca_file).context("--hub")?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let handler = operator.handler(env!("CARGO_PKG_VERSION"));
    tokio::select! {
        () = larnax_serve::serve(listener, door, handler) => {}
        () = operator.run() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
