//! Groups of pods that have one agent together. The pods stand in the API of a real control plane; nobody runs them, nor the agents.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Agent, Process, eventually, get};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

fn operator(cluster: &Cluster, folder: &Path) -> (Process, SocketAddr) {
    let how = json!({
        "namespace": "larnax", "owner": "larnax-operator", "prefix": "larnax", "labels": {"app.kubernetes.io/name": "larnax"},
        "image": "larnax-edge", "pull_policy": "Never", "hub": "https://hub", "operator": "https://operator",
        "secret": "larnax", "interval": "5s", "resources": {},
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
fn pod(cluster: &Cluster, name: &str, address: &str, annotations: &Value) {
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
fn told(operator: SocketAddr, query: &str) -> Vec<String> {
    let answer = get(operator, &format!("/targets?{query}")).unwrap();
    let groups: Value = serde_json::from_str(&answer.body).unwrap();
    let names = groups.as_array().unwrap().iter();
    names.map(|group| group["labels"]["pod"].as_str().unwrap().to_owned()).collect()
}

fn agents(cluster: &Cluster) -> Vec<Value> {
    let selector = "--selector=app.kubernetes.io/component=federation";
    let said = cluster.kubectl(&["get", "deployments", "--namespace=larnax", selector, "--output=json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    said["items"].as_array().unwrap().clone()
}

fn federation(name: &str, spec: &Value) -> String {
    let metadata = json!({"namespace": "shop", "name": name});
    json!({"apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": metadata, "spec": spec})
        .to_string()
}

fn status(cluster: &Cluster, name: &str) -> Value {
    let said = cluster.kubectl(&["get", "federation", name, "--namespace=shop", "--output=json"]);
    serde_json::from_str::<Value>(&said).unwrap()["status"].clone()
}

#[test]
fn a_federation_has_one_agent_which_watches_its_members_instead_of_the_agents_of_their_nodes() {
    let Some(cluster) = Cluster::control_plane() else { return };
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
    pod(&cluster, "pay", "10.0.0.1", &json!({}));
    pod(&cluster, "stock", "10.0.0.2", &json!({"deucalion-federation": "tills"}));
    pod(&cluster, "web", "10.0.0.3", &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let (operating, address) = operator(&cluster, folder.path());
    eventually("all at the node", SOON, || {
        (told(address, "node=n1") == ["pay", "stock", "web"]).then_some(())
    });

    cluster
        .apply(&federation("tills", &json!({"selector": {"matchLabels": {"app": "pay"}}, "interval": "1s"})));
    eventually("the members", SOON, || {
        (told(address, "federation=shop/tills") == ["pay", "stock"]).then_some(())
    });
    assert_eq!(told(address, "node=n1"), ["web"]);
    let agent = eventually("its agent", SOON, || agents(&cluster).pop());
    let name = agent["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("larnax-shop-tills-"), "{name}");
    let config =
        agent["spec"]["template"]["metadata"]["annotations"]["larnax.io/agent-config"].as_str().unwrap();
    assert!(config.contains("federation=shop/tills") && config.contains("\"interval\":\"1s\""), "{config}");
    let told_status = eventually("its status", SOON, || {
        let status = status(&cluster, "tills");
        (status["members"] == 2).then_some(status)
    });
    assert_eq!(told_status["conditions"][0]["reason"], "AgentNotReady", "nobody runs it here");
    assert_eq!(told_status["agent"], format!("larnax/{name}"));

    // Another one that is started finds all as it should be, and writes nothing.
    drop(operating);
    let version = || agents(&cluster)[0]["metadata"]["resourceVersion"].clone();
    let (before, second) = (version(), operator(&cluster, folder.path()));
    cluster.apply(&federation("nobody", &json!({"selector": {"matchLabels": {"app": "none"}}})));
    eventually("two agents", SOON, || (agents(&cluster).len() == 2).then_some(()));
    let first = agents(&cluster).into_iter().find(|one| one["metadata"]["name"] == name).unwrap();
    assert_eq!(first["spec"], agent["spec"]);
    assert!(first["metadata"]["generation"] == 1, "{} {}", before, first["metadata"]);
    eventually("why it isn't ready", SOON, || {
        (status(&cluster, "nobody")["conditions"][0]["reason"] == "NoMembers").then_some(())
    });

    // What can't be is refused by the API server, or said where people look.
    let refused = cluster.try_apply(&federation("soon", &json!({"interval": "soon"}))).unwrap_err();
    assert!(refused.contains("spec.interval"), "{refused}");
    let near = json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}});
    let refused = cluster.try_apply(&federation("near", &near)).unwrap_err();
    assert!(refused.contains("supported values"), "{refused}");
    let wrong = [
        (
            "empty",
            json!({"matchExpressions": [{"key": "app", "operator": "In"}]}),
            "BadSelector",
            "its selector",
        ),
        ("spaced", json!({"matchLabels": {"app": "no label"}}), "AgentRefused", "no label"),
    ];
    for (name, selector, reason, words) in wrong {
        cluster.apply(&federation(name, &json!({"selector": selector})));
        let problem = eventually("what is wrong with it", SOON, || {
            let condition = status(&cluster, name)["conditions"][0].clone();
            (condition["reason"] == reason).then_some(condition)
        });
        assert!(problem["message"].as_str().unwrap().contains(words), "{problem}");
    }
    assert_eq!(agents(&cluster).len(), 2, "the others run on");

    cluster.kubectl(&["delete", "federations", "--all", "--namespace=shop"]);
    eventually("no agent", SOON, || agents(&cluster).is_empty().then_some(()));
    assert_eq!(told(second.1, "node=n1"), ["pay", "stock", "web"]);
}
