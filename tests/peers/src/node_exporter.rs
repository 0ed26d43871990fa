//! A real node_exporter.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;

/// A running node_exporter: about 500 series of this machine.
///
/// ```no_run
/// use larnax_test_peers::{NodeExporter, Peer, Peers};
///
/// let Some(peers) = Peers::for_test(&[Peer::NodeExporter]) else { return };
/// let exporter = NodeExporter::start(&peers);
/// println!("scrape {}", exporter.url());
/// ```
#[derive(Debug)]
pub struct NodeExporter {
    process: Process,
    address: SocketAddr,
    peers: Peers,
    folder: TempDir,
}

impl NodeExporter {
    /// Starts a node_exporter with its default collectors and waits until it answers.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't answer.
    pub fn start(peers: &Peers) -> NodeExporter {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let (process, address) = run(peers, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder.path());
        NodeExporter { process, address, peers: peers.clone(), folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its metrics, as `--scrape` wants it.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Makes the target vanish: kills it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Brings the target back, at the same address.
    ///
    /// # Panics
    /// When it doesn't answer.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = run(&self.peers, self.address, self.folder.path()).0;
    }
}

fn run(peers: &Peers, address: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let mut command = peers.command(Peer::NodeExporter);
    command.arg(format!("--web.listen-address={address}"));
    let mut process = Process::start("node_exporter", command, folder);
    let address = process.listening();
    process.ready(address, "/");
    (process, address)
}
