//! The programs that are measured, each started as a user would start it for this job.

use std::process::Command;

use anyhow::{Context, Result, bail};
use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, Process, Prometheus, get};
use tempfile::TempDir;

use super::sink::Sink;
use crate::{cargo, peers};

/// A running program under measurement.
pub(crate) enum Subject {
    /// `larnax-edge`, with detection, and with the sink as its Alertmanager.
    Edge { agent: Agent, sink: Sink },
    /// Prometheus, which also stores.
    Prometheus(Prometheus),
    /// vmagent, which forwards every sample to the sink.
    Vmagent { process: Process, sink: Sink, _folder: TempDir },
}

impl Subject {
    /// `larnax-edge` that scrapes `exporter`, or without one watches the host.
    pub(crate) fn edge(exporter: Option<&NodeExporter>, interval: &str) -> Result<Subject> {
        let sink = Sink::start()?;
        let target = exporter
            .map_or(vec!["--host".to_owned()], |exporter| vec!["--scrape".to_owned(), exporter.url()]);
        let url = sink.url();
        let mut arguments: Vec<&str> = target.iter().map(String::as_str).collect();
        arguments.extend(["--interval", interval, "--alertmanager", &url]);
        Ok(Subject::Edge { agent: Agent::start("larnax-edge", &arguments), sink })
    }

    /// Prometheus that scrapes `exporter`.
    pub(crate) fn prometheus(peers: &Peers, exporter: &NodeExporter, interval: &str) -> Subject {
        Subject::Prometheus(Prometheus::start(peers, &Prometheus::scraping(exporter.address(), interval)))
    }

    /// vmagent that scrapes `exporter`.
    pub(crate) fn vmagent(peers: &Peers, exporter: &NodeExporter, interval: &str) -> Result<Subject> {
        let (sink, folder) = (Sink::start()?, tempfile::tempdir()?);
        let config = folder.path().join("scrape.yml");
        std::fs::write(&config, Prometheus::scraping(exporter.address(), interval))?;
        let mut command = peers.command(Peer::Vmagent);
        command
            .arg("-httpListenAddr=127.0.0.1:0")
            .arg(format!("-promscrape.config={}", config.display()))
            .arg(format!("-remoteWrite.url={}/api/v1/write", sink.url()))
            .arg(format!("-remoteWrite.tmpDataPath={}", folder.path().join("data").display()));
        let mut process = Process::start("vmagent", command, folder.path());
        process.listening();
        Ok(Subject::Vmagent { process, sink, _folder: folder })
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Subject::Edge { agent, .. } => agent.pid(),
            Subject::Prometheus(prometheus) => prometheus.pid(),
            Subject::Vmagent { process, .. } => process.pid(),
        }
    }

    /// The program and its version.
    pub(crate) fn name(&self) -> Result<String> {
        let of = |peer: Peer| -> Result<String> {
            let version = std::fs::read_to_string(peers::folder().join(".versions").join(peer.package()))?;
            Ok(format!("{} {version}", peer.file_name()))
        };
        match self {
            Subject::Edge { .. } => {
                Ok(cargo::output(Command::new(Agent::program("larnax-edge")).arg("--version"))?
                    .trim()
                    .to_owned())
            }
            Subject::Prometheus(_) => of(Peer::Prometheus),
            Subject::Vmagent { .. } => of(Peer::Vmagent),
        }
    }

    /// Bytes it has sent to where it reports; Prometheus keeps what it collects.
    pub(crate) fn sent_bytes(&self) -> u64 {
        match self {
            Subject::Edge { sink, .. } | Subject::Vmagent { sink, .. } => sink.bytes(),
            Subject::Prometheus(_) => 0,
        }
    }

    /// How many metrics it judges and how many samples it has judged, by its own count; `None` for what
    /// doesn't judge. A figure of a program that has quietly stopped working would be a fine one.
    pub(crate) fn judged(&self) -> Result<Option<(u64, u64)>> {
        let Subject::Edge { agent, .. } = self else { return Ok(None) };
        let page = agent.get("/metrics").body;
        let sum = |name: &str| -> Result<u64> {
            let values: Vec<f64> = page
                .lines()
                .filter(|line| line.split(['{', ' ']).next() == Some(name))
                .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
                .collect();
            if values.is_empty() {
                bail!("larnax-edge has no {name} on its /metrics");
            }
            Ok(values.iter().sum::<f64>() as u64)
        };
        Ok(Some((sum("larnax_component_metrics")?, sum("larnax_pipeline_rows_total")?)))
    }
}

/// How many series an exporter shows.
pub(crate) fn series(exporter: &NodeExporter) -> Result<usize> {
    let page = get(exporter.address(), "/metrics").context("the exporter's metrics")?.body;
    Ok(page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count())
}
