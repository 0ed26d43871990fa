//! The bridge between the nodes of a machine, and its control groups: what a cluster with nodes has of the machine.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The bridge that joins all pods of a machine. It has no physical port.
pub const BRIDGE: &str = "larnax-test";
/// Where pods reach the API, as they are told by their environment: the first address of the Services.
pub(crate) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The names of Services end with it.
pub(crate) const DOMAIN: &str = "cluster.local";
/// The control group under which all nodes are, each in one that has its name.
pub const CGROUP: &str = "larnax-test";
/// The last number of the addresses that a node gives to pods.
pub(crate) const FIRST_POD: u8 = 10;
pub(crate) const LAST_POD: u8 = 250;
/// How long control groups may take to become empty.
const EMPTY: Duration = Duration::from_secs(10);

/// The address of a node, and of the host towards its pods.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, node as u8, 1)
}

/// The name of the node whose pod has an address; none where that is no pod's.
///
/// ```
/// use larnax_test_kubernetes::node_of;
///
/// assert_eq!(node_of([10, 213, 2, 10].into()).as_deref(), Some("node-2"));
/// assert_eq!(node_of([10, 213, 2, 1].into()), None);
/// ```
pub fn node_of(address: Ipv4Addr) -> Option<String> {
    match address.octets() {
        [10, 213, node, FIRST_POD..=LAST_POD] => Some(format!("node-{node}")),
        _ => None,
    }
}

/// The one set of nodes that a machine has. Dropped, the bridge and the control groups are gone.
#[derive(Debug)]
pub(crate) struct Network {
    /// Held while it is there, also by the kernel where a test is killed.
    _lock: File,
}

impl Network {
    /// Waits until no other cluster on this machine has nodes, takes away what one that was killed has left, and makes a
    /// bridge with an address for each of `nodes`.
    ///
    /// # Panics
    /// When it can't be made.
    pub(crate) fn new(nodes: usize) -> Network {
        let path = std::env::temp_dir().join("larnax-test-kubernetes.lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        let lock = lock.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        clear();
        ip(&["link", "add", BRIDGE, "type", "bridge"]);
        ip(&["link", "set", BRIDGE, "up"]);
        for node in 0..nodes {
            ip(&["address", "add", &format!("{}/16", address(node)), "dev", BRIDGE]);
        }
        ip(&["address", "add", &format!("{API_SERVICE}/32"), "dev", BRIDGE]);
        Network { _lock: lock }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        clear();
    }
}

/// The control groups of `node`, made where they are not there: one in each hierarchy of version 1, or the one of version 2.
pub(crate) fn make_cgroups(node: &str) {
    for root in cgroup_roots() {
        for folder in [root.join(CGROUP), root.join(CGROUP).join(node)] {
            // A hierarchy that is for something else (`unified` beside version 1, a read-only one) can be left out.
            if fs::create_dir_all(&folder).is_err() {
                continue;
            }
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let (from, to) = (root.join(file), folder.join(file));
                if root.ends_with("cpuset")
                    && let Ok(all) = fs::read_to_string(from)
                {
                    let _ = fs::write(to, all.trim());
                }
            }
        }
    }
}

fn cgroup_roots() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_path_buf()];
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    // Links as `cpu` stand for what has a folder of its own.
    hierarchies
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Takes the bridge and the control groups away, as far as they are there.
fn clear() {
    let _ = Command::new("ip").args(["link", "delete", BRIDGE]).output();
    for root in cgroup_roots() {
        let started = Instant::now();
        while root.join(CGROUP).exists() && started.elapsed() < EMPTY {
            remove_groups(&root.join(CGROUP));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Removes a control group and those in it; one that still has a process stays.
fn remove_groups(group: &Path) {
    for child in fs::read_dir(group).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&child.path());
        }
    }
    let _ = fs::remove_dir(group);
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("ip can't be run: {error}"),
    }
}
