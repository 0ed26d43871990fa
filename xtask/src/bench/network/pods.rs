//! The pods of a cluster: what each is for, where it runs, what it costs.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use larnax_test_kubernetes::{CGROUP, Cluster};
use serde_json::Value;

/// Where what is no pod stands: the API server, the DNS, and who looks after pods.
pub(super) const CONTROL_PLANE: &str = "control plane";
/// The namespace of the application.
pub(super) const SHOP: &str = "shop";

/// A pod that runs.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    /// What it is for, as its labels say.
    pub(super) part: String,
    pub(super) node: String,
    pub(super) address: Ipv4Addr,
    containers: Vec<Container>,
}

#[derive(Clone, Debug)]
struct Container {
    name: String,
    /// Of its control group, too.
    id: String,
}

impl Pod {
    /// What it is called in tables: there may be one on each node.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.part, self.node)
    }

    fn read(pod: &Value) -> Option<Pod> {
        let labels = &pod["metadata"]["labels"];
        let part = labels["app.kubernetes.io/component"].as_str().or(labels["app"].as_str())?;
        let all = ["containerStatuses", "initContainerStatuses"].map(|of| pod["status"][of].as_array());
        let containers =
            all.into_iter().flatten().flatten().filter(|one| one["state"]["running"].is_object());
        let containers = containers.filter_map(|one| {
            let id = one["containerID"].as_str()?.rsplit('/').next()?;
            Some(Container { name: one["name"].as_str()?.to_owned(), id: id.to_owned() })
        });
        Some(Pod {
            namespace: pod["metadata"]["namespace"].as_str()?.to_owned(),
            part: part.to_owned(),
            node: pod["spec"]["nodeName"].as_str()?.to_owned(),
            address: pod["status"]["podIP"].as_str()?.parse().ok()?,
            containers: containers.collect(),
        })
    }
}

/// All pods that have an address.
pub(super) fn all(cluster: &Cluster) -> Result<Vec<Pod>> {
    let said: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "pods", "--all-namespaces", "--output=json"]))?;
    Ok(said["items"].as_array().into_iter().flatten().filter_map(Pod::read).collect())
}

/// Waits until all pods of a Deployment are ready.
///
/// # Errors
/// With what is known of them when they take longer than a minute and a half.
pub(super) fn ready(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    let (deployment, namespace) = (format!("deployment/{name}"), format!("--namespace={namespace}"));
    let waited = cluster.try_kubectl(&["rollout", "status", &deployment, &namespace, "--timeout=90s"]);
    let asks = [
        &["get", "pods", &namespace, "--output=wide"][..],
        &["get", "events", &namespace],
        &["logs", &deployment, &namespace],
    ];
    waited.map(drop).map_err(|error| {
        let known = asks.map(|ask| cluster.try_kubectl(ask).unwrap_or_else(|error| error));
        anyhow!("{error}\n{}", known.join("\n"))
    })
}

/// What a container has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// CPU, user and system, in seconds since it was started.
    pub(super) cpu_seconds: f64,
    /// Memory without what can be dropped, as the kubelet counts it, in bytes.
    pub(super) memory_bytes: f64,
}

/// By what is a container of the application, and what watches it, with how many containers that is.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs(pub(super) BTreeMap<String, (usize, Cost)>);

impl Costs {
    pub(super) fn of(pods: &[Pod]) -> Result<Costs> {
        let mut costs = Costs::default();
        for pod in pods {
            for container in &pod.containers {
                let group = folder(&pod.node, &container.id);
                let cost = group
                    .and_then(|group| cost(&group))
                    .with_context(|| format!("the control group of {} in {}", container.name, pod.name()))?;
                // The agent beside an application is part of its pod.
                let of_application = pod.namespace == SHOP && container.name == pod.part;
                let name = match (of_application, pod.namespace == SHOP) {
                    (true, _) => "application",
                    (false, true) => "sidecar",
                    (false, false) => &pod.part,
                };
                let (containers, all) = costs.0.entry(name.to_owned()).or_default();
                *containers += 1;
                all.cpu_seconds += cost.cpu_seconds;
                all.memory_bytes += cost.memory_bytes;
            }
        }
        Ok(costs)
    }
}

/// Version 1 has a hierarchy for each kind, version 2 has one.
fn cost(folder: &Folders) -> Result<Cost> {
    let number = |path: PathBuf| -> Result<f64> {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().parse()?)
    };
    let field = |path: PathBuf, name: &str| -> Result<f64> {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in {}", path.display()))?.trim().parse()?)
    };
    Ok(match folder {
        Folders::Two { cpu, memory } => Cost {
            cpu_seconds: number(cpu.join("cpuacct.usage"))? / 1e9,
            memory_bytes: number(memory.join("memory.usage_in_bytes"))?
                - field(memory.join("memory.stat"), "total_inactive_file")?,
        },
        Folders::One(folder) => Cost {
            cpu_seconds: field(folder.join("cpu.stat"), "usage_usec")? / 1e6,
            memory_bytes: number(folder.join("memory.current"))?
                - field(folder.join("memory.stat"), "inactive_file")?,
        },
    })
}

enum Folders {
    One(PathBuf),
    Two { cpu: PathBuf, memory: PathBuf },
}

fn folder(node: &str, id: &str) -> Result<Folders> {
    let root = Path::new("/sys/fs/cgroup");
    let below = |root: PathBuf| {
        let node = root.join(CGROUP).join(node);
        find(&node, id).with_context(|| format!("nothing called {id} in {}", node.display()))
    };
    if root.join("cgroup.controllers").exists() {
        return Ok(Folders::One(below(root.to_owned())?));
    }
    Ok(Folders::Two { cpu: below(root.join("cpuacct"))?, memory: below(root.join("memory"))? })
}

/// The folder of that name below another one.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let children = fs::read_dir(folder).ok()?.flatten();
    let mut folders = children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.find_map(|child| {
        let path = child.path();
        if child.file_name() == name { Some(path) } else { find(&path, name) }
    })
}
