//! A real Prometheus.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;

/// A running Prometheus with an empty storage.
///
/// ```no_run
/// use larnax_test_peers::{NodeExporter, Peer, Peers, Prometheus};
///
/// let Some(peers) = Peers::for_test(&[Peer::Prometheus, Peer::NodeExporter]) else { return };
/// let exporter = NodeExporter::start(&peers);
/// let prometheus = Prometheus::start(&peers, &Prometheus::scraping(exporter.address(), "1s"));
/// let up = prometheus.query("up"); // [{"metric": {…}, "value": [1700000000.123, "1"]}]
/// ```
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    peers: Peers,
    folder: TempDir,
}

impl Prometheus {
    /// Starts a Prometheus with `config` (the text of `prometheus.yml`) and waits until it is ready.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't become ready.
    pub fn start(peers: &Peers, config: &str) -> Prometheus {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap_or_else(|error| panic!("prometheus.yml: {error}"));
        let (process, address) = run(peers, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder.path());
        Prometheus { process, address, peers: peers.clone(), folder }
    }

    /// Begins an outage: kills it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Ends an outage: starts it again at the same address, with what it had stored.
    ///
    /// # Panics
    /// When it doesn't become ready.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = run(&self.peers, self.address, self.folder.path()).0;
    }

    /// A config that scrapes one target, as job `test`, every `interval` (such as `1s`).
    pub fn scraping(target: SocketAddr, interval: &str) -> String {
        format!(
            "global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The result of an instant query in PromQL: a list of series with metric and value.
    ///
    /// # Panics
    /// When it doesn't answer or refuses the query.
    pub fn query(&self, promql: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", crate::percent_encoded(promql));
        let response = match crate::get(self.address, &path) {
            Ok(response) => response,
            Err(error) => panic!("Prometheus doesn't answer: {error}"),
        };
        let answer: Option<Value> = serde_json::from_str(&response.body).ok();
        let result = answer.as_ref().and_then(|answer| answer["data"]["result"].as_array());
        match result {
            Some(series) => series.clone(),
            None => panic!("Prometheus refuses {promql}: {}", response.body),
        }
    }
}

fn run(peers: &Peers, address: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let mut command = peers.command(Peer::Prometheus);
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"));
    let mut process = Process::start("prometheus", command, folder);
    let address = process.listening();
    process.ready(address, "/-/ready");
    (process, address)
}
