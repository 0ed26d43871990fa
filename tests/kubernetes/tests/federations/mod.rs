//! What tests of federations share: an operator for a control plane on which nobody runs anything, and pods that say they run.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Agent, Process, get};
use serde_json::{Value, json};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A control plane that knows the kind, with the namespaces `larnax` and `shop`, a node `n1` and the operator's Deployment, which nobody runs.
pub(crate) fn control_plane() -> Option<Cluster> {
    let cluster = Cluster::control_plane()?;
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/larnax/files/federations.yaml");
    cluster.apply(&std::fs::read_to_string(definition).unwrap());
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/federations.larnax.io", "--timeout=30s"]);
    cluster.create_namespace("larnax");
    cluster.create_namespace("shop");
    cluster.apply("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n");
    cluster.kubectl(&[
        "create",
        "deployment",
        "larnax-operator",
        "--namespace=larnax",
        "--image=none",
        "--replicas=0",
    ]);
    Some(cluster)
}

/// An operator; `prometheus` is what the chart says of those.
pub(crate) fn operator(cluster: &Cluster, prometheus: &Value, folder: &Path) -> (Process, SocketAddr) {
    let how = json!({
        "namespace": "larnax", "owner": "larnax-operator", "prefix": "larnax", "labels": {"app.kubernetes.io/name": "larnax"},
        "image": "larnax-edge", "pull_policy": "Never", "hub": "https://hub", "operator": "https://operator",
        "secret": "larnax", "interval": "5s", "resources": {}, "prometheus": prometheus,
    });
    let file = folder.join("federations.yaml");
    std::fs::write(&file, how.to_string()).unwrap();
    let mut command = Command::new(Agent::program("larnax"));
    command.args(["operator", "--listen=127.0.0.1:0", "--federations", &file.display().to_string()]);
    command.env("KUBECONFIG", cluster.kubeconfig());
    let mut process = Process::start("operator", command, folder);
    let address = process.listening();
    process.ready(address, "/-/ready");
    (process, address)
}

/// A pod that asks to be scraped, as a kubelet would say that it runs.
pub(crate) fn pod(cluster: &Cluster, name: &str, address: &str, annotations: &Value) {
    let mut annotations = annotations.clone();
    annotations["prometheus.io/scrape"] = json!("true");
    annotations["prometheus.io/port"] = json!("80");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}, "annotations": annotations},
        "spec": {"nodeName": "n1", "containers": [{"name": name, "image": "none"}]},
    });
    cluster.apply(&pod.to_string());
    let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
    let status = status.to_string();
    let patch = ["--subresource=status", "--type=merge", "--patch", &status];
    cluster.kubectl(&[&["patch", "pod", name, "--namespace=shop"], &patch[..]].concat());
}

/// The pods that somebody is told to scrape.
pub(crate) fn told(operator: SocketAddr, query: &str) -> Vec<String> {
    let answer = get(operator, &format!("/targets?{query}")).unwrap();
    let groups: Value = serde_json::from_str(&answer.body).unwrap();
    let names = groups.as_array().unwrap().iter();
    names.map(|group| group["labels"]["pod"].as_str().unwrap().to_owned()).collect()
}

/// The Deployments of agents.
pub(crate) fn agents(cluster: &Cluster) -> Vec<Value> {
    let selector = "--selector=app.kubernetes.io/component=federation";
    let said = cluster.kubectl(&["get", "deployments", "--namespace=larnax", selector, "--output=json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    said["items"].as_array().unwrap().clone()
}

/// One to be applied.
pub(crate) fn federation(name: &str, spec: &Value) -> String {
    let metadata = json!({"namespace": "shop", "name": name});
    json!({"apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": metadata, "spec": spec})
        .to_string()
}

/// What is said of one.
pub(crate) fn status(cluster: &Cluster, name: &str) -> Value {
    let said = cluster.kubectl(&["get", "federation", name, "--namespace=shop", "--output=json"]);
    serde_json::from_str::<Value>(&said).unwrap()["status"].clone()
}
