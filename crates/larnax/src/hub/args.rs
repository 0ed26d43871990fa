//! The command line of `larnax hub`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use larnax_spec::{Environment, Listen, Url};
use larnax_store::Location;

const HELP: &str = "\
Examples:
  larnax hub
  larnax hub --alertmanager http://127.0.0.1:9093
  larnax hub --config /etc/larnax/hub.yaml
  larnax hub --listen 0.0.0.0:7677 --token-file /etc/larnax/token --tls-cert hub.pem --tls-key hub.key
  LARNAX_HUB_STORE=postgres://larnax@db.example/larnax larnax hub --name hub-1
  larnax hub --rabbitmq-url-file /etc/larnax/rabbitmq-url
  larnax hub backup /backups/hub-monday.db

`larnax up` has a hub of its own. Edges find another one by `hub: {url: …}` in their config.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct HubArgs {
    #[command(subcommand)]
    pub(crate) command: Option<HubCommand>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// A config whose `alerts` and `external_labels` say who is told of incidents; its `topology` holds, and its `hub` is the hub above
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// An Alertmanager to tell of incidents, as http://127.0.0.1:9093
    #[arg(long, value_name = "URL")]
    pub(crate) alertmanager: Vec<Url>,
    /// Where edges and people connect
    #[arg(long, default_value = "127.0.0.1:7677", value_name = "ADDR")]
    pub(crate) listen: Listen,
    /// A file with the token that edges and people must bring; needed beyond loopback
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The certificate to show, PEM; without it, plain HTTP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Workloads of this Kubernetes cluster may open a session by tokens that are for AUDIENCE
    #[cfg(feature = "kubernetes")]
    #[arg(long, value_name = "AUDIENCE", requires = "token_file")]
    pub(crate) workloads: Option<String>,
    /// This hub's name, which no other hub of the same store has [default: the machine's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A file with amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://…: events go to that RabbitMQ and come from it
    #[arg(long, value_name = "FILE")]
    pub(crate) rabbitmq_url_file: Option<PathBuf>,
    /// PEM file of the authorities that RabbitMQ's certificate may be from, instead of the public ones
    #[arg(long, value_name = "FILE", requires = "rabbitmq_url_file")]
    pub(crate) rabbitmq_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Copy the hub's history to a new file, while the hub runs
    Backup {
        /// Where it goes
        file: PathBuf,
    },
    /// Put a backup in the place of the hub's history; the hub must not run
    Restore {
        /// What `larnax hub backup` wrote
        file: PathBuf,
        /// Rename what is there to NAME.replaced; otherwise a history that is there is an error
        #[arg(long)]
        replace: bool,
    },
    /// Read all of the hub's history, and say whether it is whole
    Check,
}

/// Where the history is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The folder for the hub's history, where no --store is given
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// The hub's history: a file, or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, env = "LARNAX_HUB_STORE", hide_env_values = true, value_name = "PLACE", global = true)]
    pub(crate) store: Option<String>,
}

impl Place {
    /// The folder of the hub's own files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| Environment::of_process().state_dir()).join("hub")
    }

    pub(crate) fn location(&self) -> anyhow::Result<Location> {
        match &self.store {
            Some(place) => place.parse().context("--store"),
            None => Ok(Location::File(self.folder().join("hub.db"))),
        }
    }
}
