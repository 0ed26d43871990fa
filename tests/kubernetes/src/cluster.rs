//! A cluster as tests see it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use larnax_test_peers::{Process, Relay, eventually};
use tempfile::TempDir;

use crate::control_plane::ControlPlane;
use crate::network::{self, Network};
use crate::node::{self, Node};
use crate::pki::Authority;
use crate::programs::Programs;

/// How long a node may take until pods can run on it.
pub(crate) const READY: Duration = Duration::from_secs(120);

/// A running cluster, empty but for what Kubernetes itself makes. Dropped, it is gone.
///
/// ```no_run
/// use larnax_test_kubernetes::Cluster;
///
/// let Some(cluster) = Cluster::with_nodes(2) else { return };
/// println!("{}", cluster.kubectl(&["get", "nodes"]));
/// ```
pub struct Cluster {
    // Ended in this order.
    nodes: Vec<Node>,
    _dns: Option<Process>,
    _api_service: Option<Relay>,
    plane: ControlPlane,
    _network: Option<Network>,
    authority: Authority,
    programs: Programs,
    folder: TempDir,
}

impl Cluster {
    /// A control plane without nodes, which needs no root. `None` after one loud line where Kubernetes was not built.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn control_plane() -> Option<Cluster> {
        let programs = Programs::locate().or_else(|| left_out("Kubernetes is not built"))?;
        Some(Cluster::start(programs, 0))
    }

    /// A control plane and real nodes, called `node-0` and so on. Waits until no other cluster on this machine has nodes, and
    /// until all are ready. `None` after one loud line where Kubernetes was not built or this is not root.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn with_nodes(nodes: usize) -> Option<Cluster> {
        let programs = Programs::locate().or_else(|| left_out("Kubernetes is not built"))?;
        if let Some(peer) = Programs::PEERS.into_iter().find(|peer| programs.peers.program(*peer).is_none()) {
            return left_out(&format!("there is no {}", peer.file_name()));
        }
        if !rustix::process::geteuid().is_root() {
            return left_out("nodes need root");
        }
        Some(Cluster::start(programs, nodes))
    }

    fn start(programs: Programs, nodes: usize) -> Cluster {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let pki = folder.path().join("pki");
        std::fs::create_dir(&pki).unwrap_or_else(|error| panic!("{}: {error}", pki.display()));
        let authority = Authority::new(&pki);
        let network = (nodes > 0).then(|| Network::new(nodes));
        let plane = ControlPlane::start(&programs, folder.path(), &authority);
        let service = SocketAddr::from((network::API_SERVICE, 443));
        // For want of a kube-proxy.
        let api_service = network.as_ref().map(|_| Relay::at(service, plane.address));
        let dns = network.as_ref().map(|_| dns(&programs, &plane, folder.path()));
        node::write_pause(&programs, &folder.path().join("images"));
        let mut cluster = Cluster {
            nodes: Vec::new(),
            _dns: dns,
            _api_service: api_service,
            plane,
            _network: network,
            authority,
            programs,
            folder,
        };
        for number in 0..nodes {
            let node = Node::start(
                &cluster.programs,
                cluster.folder.path(),
                &cluster.authority,
                &cluster.plane,
                number,
            );
            cluster.nodes.push(node);
        }
        for number in 0..nodes {
            cluster.wait_for_node(number);
        }
        cluster
    }

    /// The credentials of its administrator, as kubectl and helm take them.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig()
    }

    /// What a kubectl command prints.
    ///
    /// # Panics
    /// When it fails; with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|said| panic!("kubectl {}: {said}", arguments.join(" ")))
    }

    /// What a kubectl command prints, or what it says when it fails.
    ///
    /// # Errors
    /// When it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        said(self.kubectl_command(arguments).stdin(Stdio::null()).output())
    }

    /// What a kubectl command prints, however it ends: what is executed in a container may say something by how it does.
    ///
    /// # Panics
    /// When it can't be run.
    pub fn kubectl_prints(&self, arguments: &[&str]) -> String {
        let output = self.kubectl_command(arguments).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("kubectl can't be run: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a helm command prints.
    ///
    /// # Panics
    /// When it fails; with its words.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.programs.helm);
        command.args(arguments).arg("--kubeconfig").arg(self.kubeconfig()).stdin(Stdio::null());
        // It keeps caches below the home folder.
        command.env("HOME", self.folder.path());
        said(command.output()).unwrap_or_else(|said| panic!("helm {}: {said}", arguments.join(" ")))
    }

    /// Creates or changes what a manifest in YAML or JSON says.
    ///
    /// # Panics
    /// When the API refuses it; with its words.
    pub fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap_or_else(|said| panic!("{said}\n{manifest}"));
    }

    /// The same, where it may be refused.
    ///
    /// # Errors
    /// What was said where it was.
    pub fn try_apply(&self, manifest: &str) -> Result<String, String> {
        let mut command = self.kubectl_command(&["apply", "--filename=-"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let applied = child.and_then(|mut child| {
            if let Some(mut input) = child.stdin.take() {
                input.write_all(manifest.as_bytes())?;
            }
            child.wait_with_output()
        });
        said(applied)
    }

    /// Makes a namespace in which pods can be created.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn create_namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
        let account = ["get", "serviceaccount", "default", "--namespace", name];
        eventually("the ServiceAccount of a namespace", READY, || self.try_kubectl(&account).ok());
    }

    /// Gives an archive of images to each node. Pods that name one must say `imagePullPolicy: Never`.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn import(&self, archive: &Path) {
        for node in &self.nodes {
            node.import(&self.programs, archive);
        }
    }

    /// Ends the API server and starts it again, as an upgrade of the cluster does.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart_api(&mut self) {
        self.plane.restart_api(&self.programs, &self.authority);
    }

    /// Ends a node at once, as where a machine loses its power.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn kill_node(&mut self, number: usize) {
        match self.nodes.get_mut(number) {
            Some(node) => node.kill(),
            None => panic!("there is no node {number}"),
        }
    }

    /// Starts a node again that was killed, and waits until it is ready.
    ///
    /// # Panics
    /// When it doesn't become ready.
    pub fn start_node(&mut self, number: usize) {
        let node = Node::start(&self.programs, self.folder.path(), &self.authority, &self.plane, number);
        match self.nodes.get_mut(number) {
            Some(killed) => *killed = node,
            None => panic!("there is no node {number}"),
        }
        self.wait_for_node(number);
    }

    fn wait_for_node(&mut self, number: usize) {
        let name = self.nodes[number].name.clone();
        let looks = [
            "get",
            "node",
            &name,
            "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}{.spec.taints}",
        ];
        eventually(&format!("node {name}"), READY, || {
            let node = &mut self.nodes[number];
            assert!(node.is_running(), "{name} has ended:\n{}", node.output());
            self.try_kubectl(&looks).is_ok_and(|said| said == "True").then_some(())
        });
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.testkube);
        command.arg("kubectl").args(arguments).env("KUBECONFIG", self.kubeconfig());
        // It keeps what it knows of an API in the home folder otherwise.
        command.env("KUBECACHEDIR", self.folder.path().join("kubectl"));
        command
    }
}

/// The cluster's DNS, on this machine: there is no kube-proxy, so that only Services without an address of their own are of use.
fn dns(programs: &Programs, plane: &ControlPlane, folder: &Path) -> Process {
    let corefile = folder.join("Corefile");
    let text = format!(
        ".:53 {{\n    bind {}\n    errors\n    kubernetes {} {{\n        kubeconfig {}\n    }}\n}}\n",
        network::address(0),
        network::DOMAIN,
        plane.kubeconfig().display()
    );
    std::fs::write(&corefile, text).unwrap_or_else(|error| panic!("{}: {error}", corefile.display()));
    let mut command = Command::new(&programs.dns);
    command.arg("-conf").arg(corefile);
    Process::start("dns", command, folder)
}

fn said(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| format!("it can't be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn left_out<T>(why: &str) -> Option<T> {
    let thread = std::thread::current();
    // Not eprintln!: the test runner would swallow that of a test that passes.
    let _ = writeln!(std::io::stderr(), "LEFT OUT {}: {why}", thread.name().unwrap_or("a test"));
    None
}
