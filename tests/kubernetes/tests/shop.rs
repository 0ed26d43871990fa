//! The shop in a cluster, watched in each of the ways there are: what breaks is one alert in a real Alertmanager and one incident at the
//! hub, which says where it began.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larnax_test_kubernetes::{Cluster, Shop};
use larnax_test_peers::{Peer, Peers, eventually};
use serde_json::{Value, json};
use support::asked;

/// Until all of a shop is known well enough to be judged.
const WARM_UP: Duration = Duration::from_secs(420);
/// Until somebody is told.
const TOLD: Duration = Duration::from_secs(90);
/// How long a fault lasts, and how long what follows from it may take to be told.
const FAULT_SECONDS: u32 = 60;
const SETTLED: Duration = Duration::from_secs(75);

fn incidents(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let all = asked(cluster, &["incidents", "list"]);
    let is_of = |incident: &&Value| incident.to_string().contains(&format!("\"pod/{namespace}/"));
    all.as_array().unwrap().iter().filter(is_of).cloned().collect()
}

fn alerts(alertmanager: SocketAddr, namespace: &str) -> Vec<Value> {
    let is_of = |alert: &Value| {
        let components = alert["annotations"]["components"].as_str().unwrap_or_default();
        components.contains(&format!("pod/{namespace}/"))
    };
    support::incident_alerts(alertmanager).into_iter().filter(is_of).collect()
}

/// Opens a shop, waits until it is known, breaks something and looks what people are told.
fn breaks(cluster: &Cluster, alertmanager: SocketAddr, namespace: &str, watched: impl Fn(&Shop)) {
    let shop = Shop::open(cluster, namespace, 10.0, |_, _| {});
    watched(&shop);
    let warm = Instant::now();
    std::thread::sleep(support::warm_up());
    eventually("a shop that is well", WARM_UP, || {
        std::thread::sleep(Duration::from_secs(2));
        let open = |incident: &Value| incident["closed"].is_null();
        (!incidents(cluster, namespace).iter().any(open)).then_some(())
    });
    let before = (incidents(cluster, namespace).len(), alerts(alertmanager, namespace).len());
    println!("{namespace}: well after {:?}, {before:?} before the fault", warm.elapsed());

    shop.break_it("stock", "latency", FAULT_SECONDS);
    let broken = Instant::now();
    let stock = format!("pod/{namespace}/{}", shop.pod("stock"));
    loop {
        let alerts = alerts(alertmanager, namespace);
        if alerts.iter().any(|alert| alert["annotations"]["cause"] == stock) {
            break;
        }
        let incidents = || incidents(cluster, namespace);
        assert!(broken.elapsed() < TOLD, "no alert names {stock}:\n{alerts:#?}\n{:#?}", incidents());
        std::thread::sleep(Duration::from_secs(1));
    }
    println!("{namespace}: told after {:?}", broken.elapsed());
    std::thread::sleep(SETTLED.saturating_sub(broken.elapsed()));
    let (incidents, alerts) = (incidents(cluster, namespace), alerts(alertmanager, namespace));
    let counts = (incidents.len() - before.0, alerts.len() - before.1);
    assert_eq!(counts, (1, 1), "one fault is one incident and one alert:\n{incidents:#?}\n{alerts:#?}");
    let incident = &incidents[0];
    assert_eq!(incident["diagnosis"]["candidates"][0]["component"], stock, "{incident:#}");
    cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"]);
}

#[test]
fn what_breaks_in_a_shop_is_one_alert_and_one_incident_with_its_cause_in_each_tier() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager]) else { return };
    let Some(cluster) = Cluster::with_nodes(2) else { return };
    let alertmanager = support::install_with_alertmanager(&cluster, &peers, &[]);

    // The agent of each node.
    cluster.create_namespace("by-node");
    breaks(&cluster, alertmanager, "by-node", |shop| {
        eventually("all services with the agents of their nodes", support::SOON, || {
            let agents = asked(&cluster, &["agents"]).to_string();
            ["web", "orders", "pay", "stock"].iter().all(|name| agents.contains(shop.pod(name))).then_some(())
        });
    });

    // An agent beside each service.
    let beside = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "beside", "labels": {"larnax.io/inject": "enabled"}}});
    cluster.apply(&beside.to_string());
    breaks(&cluster, alertmanager, "beside", |shop| {
        eventually("an agent of each service", support::SOON, || {
            let agents = asked(&cluster, &["agents"]).to_string();
            let is_there = |name: &&str| agents.contains(&format!("\"beside/{}\"", shop.pod(name)));
            ["web", "orders", "pay", "stock"].iter().all(is_there).then_some(())
        });
    });

    // One agent for all of them.
    cluster.create_namespace("group");
    let federation = json!({
        "apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": {"namespace": "group", "name": "shop"},
        "spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "interval": "1s"},
    });
    cluster.apply(&federation.to_string());
    breaks(&cluster, alertmanager, "group", |_| {
        let members = || {
            cluster.kubectl(&[
                "get",
                "federation/shop",
                "--namespace=group",
                "--output=jsonpath={.status.members}",
            ])
        };
        eventually("all services in the group", support::SOON, || (members() == "4").then_some(()));
        cluster.kubectl(&[
            "wait",
            "federation/shop",
            "--namespace=group",
            "--for=condition=Ready",
            "--timeout=90s",
        ]);
    });
}
