//! Larnax as the chart installs it, one tier at a time.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use larnax_test_kubernetes::Cluster;
use larnax_test_peers::eventually;
use serde_json::json;

use super::pods::{self, SHOP};
use super::{OPERATIONS, shop};
use crate::cargo;

const NAMESPACE: &str = "larnax";
const SOON: Duration = Duration::from_secs(90);

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// An agent on each node, which watches the node as well.
    Node,
    /// An agent in each pod.
    Sidecar,
    /// An agent for each group of pods; here what runs on one node is a group.
    Federation,
}

/// Installs the chart. Hub and operator are where nothing of the application is.
pub(super) fn install(cluster: &Cluster, tier: Tier, images: &Path, interval: &str) {
    for image in ["larnax", "larnax-edge"] {
        cluster.import(&images.join(format!("{image}.tar")));
    }
    let chart = cargo::root().join("charts/larnax").display().to_string();
    let at = |part: &str, node: &str| format!("--set={part}.nodeSelector.kubernetes\\.io/hostname={node}");
    let mut arguments = vec![
        "install".to_owned(),
        "larnax".to_owned(),
        chart,
        format!("--namespace={NAMESPACE}"),
        "--create-namespace".to_owned(),
        "--set=image.pullPolicy=Never".to_owned(),
        "--set=hub.persistence.enabled=false".to_owned(),
        format!("--set=agents.interval={interval}"),
        at("hub", OPERATIONS),
        at("operator", OPERATIONS),
        "--wait".to_owned(),
        "--timeout=2m".to_owned(),
    ];
    if tier != Tier::Node {
        // The tier alone: nowhere is there such a node.
        arguments.push(at("agents", "none"));
    }
    cluster.helm(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

/// One for what runs on each node, as the Prometheus of each node in the federated case; there once its agent is ready.
pub(super) fn federate(cluster: &Cluster) {
    for (node, services) in shop::places() {
        let services: Vec<&str> = services.iter().map(|service| service.name()).collect();
        let federation = json!({
            "apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": {"namespace": SHOP, "name": node},
            "spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": services}]}},
        });
        cluster.apply(&federation.to_string());
        let name = format!("federation/{node}");
        cluster.kubectl(&["wait", &name, "--namespace", SHOP, "--for=condition=Ready", "--timeout=90s"]);
    }
}

/// Waits until every agent has a session with the hub.
pub(super) fn connected(cluster: &Cluster, tier: Tier) -> Result<()> {
    let pods = pods::all(cluster)?;
    let agents = match tier {
        Tier::Node => pods.iter().filter(|pod| pod.part == "agent").count(),
        Tier::Sidecar => pods.iter().filter(|pod| pod.namespace == SHOP && pod.part != "load").count(),
        Tier::Federation => pods.iter().filter(|pod| pod.part == "federation").count(),
    };
    eventually("all agents at the hub", SOON, || {
        (told(cluster, "an edge has connected") >= agents).then_some(())
    });
    Ok(())
}

/// How many incidents the hub has opened until now.
pub(super) fn incidents(cluster: &Cluster) -> usize {
    told(cluster, "incident opened")
}

/// How often the hub has told of something.
fn told(cluster: &Cluster, words: &str) -> usize {
    let log = cluster.kubectl(&["logs", "deployment/larnax-hub", "--namespace", NAMESPACE]);
    log.lines().filter(|line| line.contains(words)).count()
}
