//! `larnax operator`: tells the agents of a Kubernetes cluster's nodes which pods they scrape.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use larnax_kube::Operator;
use larnax_serve::{Certificate, Door};
use larnax_spec::{Listen, Secret};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The most agents at once.
const MAX_CONNECTIONS: usize = 20_000;

const HELP: &str = "\
Examples:
  KUBECONFIG=~/.kube/config larnax operator
  larnax operator --listen 0.0.0.0:7678 --token-file /etc/larnax/token --tls-cert operator.pem --tls-key operator.key

A pod is scraped when its annotation prometheus.io/scrape is \"true\"; prometheus.io/port, /path, /scheme and /param_NAME say how.
The agent of a node asks with `http_sd_configs: [{url: 'http://127.0.0.1:7678/targets?node=NAME'}]` in a job of its config.
It may get, list and watch pods, and needs no other right in the cluster.";

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
    let operator = Operator::create().await?;
    let wanted = args.listen.0;
    let listener = TcpListener::bind(wanted).await.with_context(|| format!("can't listen on {wanted}"))?;
    let listen = listener.local_addr()?;
    let hostname = larnax_serve::process::hostname();
    let url = larnax_serve::url_of(if certificate.is_some() { "https" } else { "http" }, listen, &hostname);
    eprintln!("Larnax operator at {url}targets. Ctrl-C ends it.");
    let door = Door {
        listen,
        token: token.map(|token| larnax_http::Secret::new(token.expose())),
        max_connections: MAX_CONNECTIONS,
        certificate,
        content_types: &[],
    };
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
