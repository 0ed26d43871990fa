//! A real node_exporter.

use std::net::SocketAddr;

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
    _folder: TempDir,
}

impl NodeExporter {
    /// Starts a node_exporter with its default collectors and waits until it answers.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't answer.
    pub fn start(peers: &Peers) -> NodeExporter {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let mut command = peers.command(Peer::NodeExporter);
        command.arg("--web.listen-address=127.0.0.1:0");
        let mut process = Process::start("node_exporter", command, folder.path());
        let address = process.listening();
        process.ready(address, "/");
        NodeExporter { process, address, _folder: folder }
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
}
