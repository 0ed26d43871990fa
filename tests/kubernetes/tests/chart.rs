//! The Helm chart on real nodes: what a user installs, from the images that users load.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

mod support;

use std::time::{Duration, Instant};

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::eventually;
use serde_json::json;
use support::{SOON, chart, install, token};

/// A service of the shop that calls nobody, on a node.
fn service(namespace: &str, name: &str, node: &str) -> String {
    let options = json!({
        "role": name,
        "program": "/larnax",
        "arguments": ["shop", "serve"],
        "listen": "0.0.0.0:8080",
        "admin": "127.0.0.1:0",
        "token_file": "/etc/shop/token",
        "folder": "/tmp/shop",
        "seed": 1,
        "restarts": 0,
        "calls": {},
        "requests_per_second": 0.0,
        "leased": false,
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": {"options.json": options.to_string(), "token": "of a test"},
    });
    let pod = json!({
        "metadata": {
            "labels": {"app": name},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{
                "name": name,
                "image": format!("docker.io/larnax/larnax:{}", env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "Never",
                "args": ["shop", "serve", "/etc/shop/options.json"],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/shop"}, {"name": "tmp", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}],
        },
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod},
    });
    format!("{config}\n---\n{deployment}\n")
}

/// The components that the agent of a node has samples of, without what differs from run to run.
fn watched(cluster: &Cluster, node: &str, token: &str) -> Option<Vec<String>> {
    let components = support::components(cluster, node, token)?;
    let up = components.as_array()?.iter().filter(|one| one["sources"][0]["up"] == true);
    let mut ids: Vec<String> = up.filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect();
    ids.sort();
    // Pods are called for their Deployment, with two random parts behind it.
    for id in ids.iter_mut().filter(|id| id.starts_with("pod/")) {
        *id = id.rsplitn(3, '-').last().unwrap_or_default().to_owned();
    }
    Some(ids)
}

#[test]
fn the_pods_that_ask_for_it_and_the_nodes_are_watched_by_the_agent_of_their_node_and_the_hub_hears_of_them() {
    let Some(cluster) = Cluster::with_nodes(2) else { return };
    install(&cluster, &[]);
    let token = token(&cluster);
    cluster.create_namespace("shop");
    cluster.apply(&service("shop", "pay", "node-0"));
    cluster.apply(&service("shop", "stock", "node-1"));
    for (node, pod) in [("node-0", "pod/shop/pay"), ("node-1", "pod/shop/stock")] {
        let wanted = [format!("node/local/{node}"), pod.to_owned()];
        let begun = Instant::now();
        loop {
            let seen = watched(&cluster, node, &token).unwrap_or_default();
            if seen == wanted {
                break;
            }
            let log = || cluster.kubectl(&["logs", "daemonset/larnax-agent", "--namespace=larnax"]);
            assert!(begun.elapsed() < SOON, "{node} watches {seen:?}; an agent says:\n{}", log());
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    eventually("both agents at the hub", SOON, || {
        let log = cluster.kubectl(&["logs", "deployment/larnax-hub", "--namespace=larnax"]);
        ["node-0", "node-1"].iter().all(|node| log.contains(&format!("agent=\"{node}\""))).then_some(())
    });

    // A group that has an agent of its own: it watches instead of the agents of the nodes.
    let of_stock = json!({
        "apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": {"namespace": "shop", "name": "stores"},
        "spec": {"selector": {"matchLabels": {"app": "stock"}}, "interval": "1s"},
    });
    cluster.apply(&of_stock.to_string());
    let ready = ["wait", "federation/stores", "--namespace=shop", "--for=condition=Ready", "--timeout=90s"];
    cluster.kubectl(&ready);
    eventually("the agent of the group at the hub", SOON, || {
        let log = cluster.kubectl(&["logs", "deployment/larnax-hub", "--namespace=larnax"]);
        log.contains("agent=\"federation/shop/stores\"").then_some(())
    });
    let alone = ["node/local/node-1"];
    eventually("the node without what the group watches", SOON, || {
        (watched(&cluster, "node-1", &token)? == alone).then_some(())
    });
    cluster.kubectl(&["delete", "federation", "stores", "--namespace=shop"]);
    let both = ["node/local/node-1", "pod/shop/stock"];
    eventually("the node with it again", SOON, || {
        (watched(&cluster, "node-1", &token)? == both).then_some(())
    });

    // As a user looks whether it works.
    let said = cluster.helm(&["test", "larnax", "--namespace=larnax", "--timeout=1m"]);
    assert!(said.contains("Succeeded"), "{said}");

    // A namespace that asks for agents of its own: they watch from inside, and the agent of the node leaves these pods alone.
    let beside = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "beside", "labels": {"larnax.io/inject": "enabled"}}});
    cluster.apply(&beside.to_string());
    cluster.apply(&service("beside", "web", "node-1"));
    cluster.kubectl(&["rollout", "status", "deployment/web", "--namespace=beside", "--timeout=90s"]);
    let pod = cluster.kubectl(&[
        "get",
        "pods",
        "--namespace=beside",
        "--output=jsonpath={.items[0].metadata.name}",
    ]);
    let said = || cluster.kubectl(&["logs", &pod, "--namespace=beside", "--container=larnax"]);
    let begun = Instant::now();
    let agent = format!("agent=\"beside/{pod}\"");
    while !cluster.kubectl(&["logs", "deployment/larnax-hub", "--namespace=larnax"]).contains(&agent) {
        assert!(begun.elapsed() < SOON, "the hub hears nothing of {agent}, which says:\n{}", said());
        std::thread::sleep(Duration::from_secs(1));
    }
    let wanted = ["node/local/node-1", "pod/shop/stock"];
    assert_eq!(watched(&cluster, "node-1", &token).unwrap(), wanted);

    // What an upgrade must not change, or no agent gets in any more until it is started again.
    let upgrade = ["upgrade", "larnax", &chart(), "--namespace=larnax", "--reuse-values"];
    cluster.helm(&upgrade);
    assert_eq!(support::token(&cluster), token);
    // What the operator made goes with it.
    cluster.apply(&of_stock.to_string());
    cluster.kubectl(&ready);
    cluster.helm(&["uninstall", "larnax", "--namespace=larnax", "--wait"]);
    let kinds = "all,secrets,configmaps,serviceaccounts,pvc";
    let left = || cluster.kubectl(&["get", kinds, "--namespace=larnax", "--output=name"]);
    eventually("an empty namespace", SOON, || {
        (left().trim() == "configmap/kube-root-ca.crt\nserviceaccount/default").then_some(())
    });
    let kinds = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,customresourcedefinitions";
    let roles = cluster.kubectl(&["get", kinds, "--output=name"]);
    assert!(!roles.contains("larnax"), "{roles}");
}
