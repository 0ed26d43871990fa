//! A real Alertmanager.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;

/// Routes every alert at once to a receiver that does nothing: tests ask Alertmanager, nobody is told.
const CONFIG: &str = "{route: {receiver: nobody, group_wait: 0s}, receivers: [{name: nobody}]}\n";

/// A running Alertmanager with a storage of its own and no cluster.
///
/// ```no_run
/// use larnax_test_peers::{Alertmanager, Peer, Peers};
///
/// let Some(peers) = Peers::for_test(&[Peer::Alertmanager, Peer::Amtool]) else { return };
/// let mut alertmanager = Alertmanager::start(&peers);
/// alertmanager.amtool(&["alert", "add", "Flood", "service=web"]);
/// assert!(alertmanager.amtool(&["alert", "query"]).contains("Flood"));
///
/// alertmanager.stop(); // an outage
/// alertmanager.start_again(); // at the same address, with what it had stored
/// ```
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    address: SocketAddr,
    peers: Peers,
    folder: TempDir,
}

impl Alertmanager {
    /// Starts an Alertmanager and waits until it is ready.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't become ready.
    pub fn start(peers: &Peers) -> Alertmanager {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let config = folder.path().join("alertmanager.yml");
        std::fs::write(config, CONFIG).unwrap_or_else(|error| panic!("alertmanager.yml: {error}"));
        let (process, address) = run(peers, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder.path());
        Alertmanager { process, address, peers: peers.clone(), folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, as `--alertmanager` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins an outage: kills it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Ends an outage: starts it again at the same address.
    ///
    /// # Panics
    /// When it doesn't become ready.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = run(&self.peers, self.address, self.folder.path()).0;
    }

    /// The alerts it has, as `GET /api/v2/alerts` gives them: active, suppressed, and unprocessed ones.
    ///
    /// # Panics
    /// When it doesn't answer with a JSON array.
    pub fn alerts(&self) -> Vec<Value> {
        let response = crate::get(self.address, "/api/v2/alerts");
        let parsed = response.map(|response| serde_json::from_str::<Vec<Value>>(&response.body));
        match parsed {
            Ok(Ok(alerts)) => alerts,
            Ok(Err(error)) => panic!("Alertmanager's alerts are no JSON array: {error}"),
            Err(error) => panic!("Alertmanager doesn't answer: {error}"),
        }
    }

    /// Runs `amtool` against it and returns what it printed.
    ///
    /// # Panics
    /// When amtool fails, with its words.
    pub fn amtool(&self, arguments: &[&str]) -> String {
        let mut command = self.peers.command(Peer::Amtool);
        // A config file of the user's own must not change what a test does.
        command
            .env("HOME", self.folder.path())
            .arg(format!("--alertmanager.url={}", self.url()))
            .args(arguments);
        crate::process::output_of(command)
    }
}

fn run(peers: &Peers, address: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let mut command = peers.command(Peer::Alertmanager);
    command
        // Where it finds its templates: see relocate.rs.
        .current_dir(peers.root())
        .arg(format!("--config.file={}", folder.join("alertmanager.yml").display()))
        .arg(format!("--storage.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=");
    let mut process = Process::start("alertmanager", command, folder);
    let address = process.listening();
    process.ready(address, "/-/ready");
    (process, address)
}
