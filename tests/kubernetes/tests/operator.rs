//! What the operator tells agents and the hub of a cluster's pods. The pods stand in the API of a real control plane; nobody runs them.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Agent, Process, eventually};
use serde_json::{Value, json};

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

#[test]
fn the_hub_hears_which_pod_runs_on_which_node_and_what_was_rolled_out() {
    let Some(cluster) = Cluster::control_plane() else { return };
    cluster.create_namespace("shop");
    cluster.apply("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n");
    let folder = tempfile::tempdir().unwrap();
    let hub = Agent::start("larnax", &["hub"]);
    // An owner that no controller looks after: a replica set would take its pods away.
    cluster.kubectl(&["create", "configmap", "pay", "--namespace=shop"]);
    let owner = cluster.kubectl(&[
        "get",
        "configmap",
        "pay",
        "--namespace=shop",
        "--output=jsonpath={.metadata.uid}",
    ]);
    let version = |hash: &str| {
        let name = format!("pay-{hash}-x");
        let owner =
            json!({"kind": "ConfigMap", "name": "pay", "controller": true, "apiVersion": "v1", "uid": owner});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "shop", "annotations": {"prometheus.io/scrape": "true"},
                "labels": {"pod-template-hash": hash}, "ownerReferences": [owner],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "pay", "image": format!("pay:{hash}")}]},
        });
        cluster.apply(&pod.to_string());
    };
    version("1");
    let mut command = Command::new(Agent::program("larnax"));
    command.args(["operator", "--listen=127.0.0.1:0", &format!("--hub=http://{}", hub.address())]);
    command.env("KUBECONFIG", cluster.kubeconfig());
    let mut process = Process::start("telling", command, folder.path());
    process.listening();
    let edges = || hub.json("/api/v1/topology")["edges"].clone();
    let runs = |hash: &str| json!({"from": format!("pod/shop/pay-{hash}-x"), "to": "node/local/n1", "kind": "runs_on"});
    eventually("the first pod", SOON, || (edges() == json!([runs("1")])).then_some(()));

    // Pods of one second are of one version to the API's clock.
    std::thread::sleep(Duration::from_secs(2));
    version("2");
    eventually("both pods", SOON, || (edges() == json!([runs("1"), runs("2")])).then_some(()));
    let changes = || {
        let events = hub.json("/api/v1/events?after=0&limit=100");
        let events = events["events"].as_array().unwrap().iter().map(|one| one["event"].clone());
        events.filter(|event| event["type"] == "io.larnax.change.v1").collect::<Vec<_>>()
    };
    eventually("the rollout", SOON, || (changes().len() == 1).then_some(()));
    assert_eq!(changes()[0]["subject"], "pod/shop/pay-2-x");
    assert_eq!(changes()[0]["data"]["text"], "configmap/pay: pay:2");

    cluster.kubectl(&["delete", "pod", "pay-1-x", "--namespace=shop", "--force", "--grace-period=0"]);
    eventually("the one that is left", SOON, || (edges() == json!([runs("2")])).then_some(()));
}
