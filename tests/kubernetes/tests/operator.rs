//! What the operator tells agents of a cluster's pods. The pods stand in the API of a real control plane; nobody runs them.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Agent, Process, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);

fn operator(cluster: &Cluster, listen: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let mut command = Command::new(Agent::program("larnax"));
    command.args(["operator", "--listen", &listen.to_string()]).env("KUBECONFIG", cluster.kubeconfig());
    let mut process = Process::start("operator", command, folder);
    let address = process.listening();
    process.ready(address, "/-/ready");
    (process, address)
}

/// A pod on a node, as a kubelet would say that it runs.
fn pod(cluster: &Cluster, name: &str, node: &str, scraped: bool, metrics: SocketAddr) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  annotations: {{prometheus.io/scrape: \"{scraped}\", \
         prometheus.io/port: \"{}\"}}\nspec:\n  nodeName: {node}\n  containers: [{{name: {name}, image: none}}]\n",
        metrics.port()
    ));
    let status = format!(
        r#"{{"status": {{"phase": "Running", "podIP": "{0}", "podIPs": [{{"ip": "{0}"}}]}}}}"#,
        metrics.ip()
    );
    cluster.kubectl(&[
        "patch",
        "pod",
        name,
        "--namespace=shop",
        "--subresource=status",
        "--type=merge",
        "--patch",
        &status,
    ]);
}

/// The components of which an agent has samples.
fn watched(agent: &Agent) -> Vec<String> {
    let components = agent.json("/api/v1/components");
    let up = |one: &&Value| one["sources"][0]["up"] == true;
    components
        .as_array()
        .unwrap()
        .iter()
        .filter(up)
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_agent_of_each_node_watches_its_pods_that_opted_in_also_while_the_operator_is_away() {
    let Some(cluster) = Cluster::control_plane() else { return };
    cluster.create_namespace("shop");
    for node in ["n1", "n2"] {
        cluster.apply(&format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    // Something with metrics: an agent has some of its own.
    let target = Agent::start("larnax", &["edge", "--host"]);
    pod(&cluster, "pay", "n1", true, target.address());
    pod(&cluster, "web", "n1", false, target.address());
    pod(&cluster, "stock", "n2", true, target.address());

    let (mut operating, address) = operator(&cluster, "127.0.0.1:0".parse().unwrap(), folder.path());
    let on = |node: &str| {
        let config = folder.path().join(format!("{node}.yaml"));
        let text = format!(
            "interval: 1s\nhost: false\nscrape_configs:\n- job_name: pods\n  http_sd_configs: [{{url: \
             'http://{address}/targets?node={node}', refresh_interval: 1s}}]\n"
        );
        std::fs::write(&config, text).unwrap();
        Agent::start("larnax", &["edge", "--config", &config.display().to_string()])
    };
    let (mut first, second) = (on("n1"), on("n2"));
    eventually("the first node's pod", SOON, || (watched(&first) == ["pod/shop/pay"]).then_some(()));
    eventually("the second node's pod", SOON, || (watched(&second) == ["pod/shop/stock"]).then_some(()));

    operating.kill();
    first.start_again();
    eventually("the pod that was known before", SOON, || (watched(&first) == ["pod/shop/pay"]).then_some(()));
    cluster.kubectl(&["delete", "pod", "pay", "--namespace=shop", "--force", "--grace-period=0"]);
    pod(&cluster, "web", "n1", true, target.address());
    let (_operating, _) = operator(&cluster, address, folder.path());
    eventually("what has changed meanwhile", SOON, || (watched(&first) == ["pod/shop/web"]).then_some(()));
}
