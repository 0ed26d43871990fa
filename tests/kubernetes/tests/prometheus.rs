//! Federations whose members a Prometheus scrapes. The pods stand in the API of a real control plane; nobody runs them, nor the agents.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

mod federations;

use federations::{SOON, agents, control_plane, federation, operator, pod, status, told};
use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Peer, Peers, Prometheus, eventually, get};
use serde_json::{Value, json};

fn agent_of(cluster: &Cluster, name: &str) -> Value {
    let named = |one: &Value| one["metadata"]["annotations"]["larnax.io/federation-name"] == name;
    eventually("its agent", SOON, || agents(cluster).into_iter().find(named))
}

/// What an annotation of an agent's pod says.
fn annotation(agent: &Value, name: &str) -> Value {
    let text = agent["spec"]["template"]["metadata"]["annotations"][name].as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_prometheus_beside_the_agent_scrapes_exactly_the_members() {
    let Some(peers) = Peers::for_test(&[Peer::Prometheus]) else { return };
    let Some(cluster) = control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    let hosting = json!({"image": "prometheus:1", "retention": "2h", "resources": {}});
    let (_operating, address) = operator(&cluster, &hosting, folder.path());
    for (name, ip) in [("pay", "10.0.0.1"), ("stock", "10.0.0.2"), ("web", "10.0.0.3")] {
        let belongs = if name == "web" { json!({}) } else { json!({"larnax.io/federation": "tills"}) };
        pod(&cluster, name, ip, &belongs);
    }
    cluster.apply(&federation("tills", &json!({"interval": "1s", "prometheus": {"mode": "managed"}})));
    let agent = agent_of(&cluster, "tills");
    let containers = agent["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!([&containers[0]["name"], &containers[1]["name"]], ["agent", "prometheus"]);
    let job = annotation(&agent, "larnax.io/agent-config")["scrape_configs"][0].clone();
    assert_eq!(job["prometheus"]["url"], "http://127.0.0.1:9090");

    // Its config, with the operator of this test, which wants no token.
    let mut config = annotation(&agent, "larnax.io/prometheus-config");
    let found = &mut config["scrape_configs"][0]["http_sd_configs"][0];
    *found = json!({
        "url": found["url"].as_str().unwrap().replace("https://operator", &format!("http://{address}")),
        "refresh_interval": found["refresh_interval"],
    });
    let prometheus = Prometheus::start(&peers, &config.to_string());
    let scraped = || {
        let answer = get(prometheus.address(), "/api/v1/targets").unwrap();
        let targets: Value = serde_json::from_str(&answer.body).unwrap();
        let targets = targets["data"]["activeTargets"].as_array().unwrap().iter();
        let mut pods: Vec<_> = targets.map(|one| one["labels"]["pod"].as_str().unwrap().to_owned()).collect();
        pods.sort();
        pods
    };
    eventually("the members", SOON, || (scraped() == ["pay", "stock"]).then_some(()));
    assert_eq!(told(address, "federation=shop/tills"), scraped());
    cluster.kubectl(&["delete", "pod", "stock", "--namespace=shop", "--force", "--grace-period=0"]);
    eventually("one member less", SOON, || (scraped() == ["pay"]).then_some(()));
}

#[test]
fn what_is_wrong_with_a_prometheus_that_exists_is_said_in_the_status() {
    let Some(peers) = Peers::for_test(&[Peer::Prometheus]) else { return };
    let Some(cluster) = control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut prometheus = Prometheus::start(&peers, "global: {}\n");
    let url = format!("http://{}", prometheus.address());
    let hosting = json!({"logins": [{"secret": "login", "url": url}]});
    let (_operating, _) = operator(&cluster, &hosting, folder.path());
    pod(&cluster, "pay", "10.0.0.1", &json!({"larnax.io/federation": "good"}));
    let condition = |name: &str| status(&cluster, name)["conditions"][0].clone();
    for (name, says, reason, words) in [
        ("managed", json!({"mode": "managed"}), "BadPrometheus", "federations.prometheus.image"),
        ("nowhere", json!({"mode": "existing"}), "BadPrometheus", "prometheus.url is missing"),
        (
            "wrong",
            json!({"mode": "existing", "url": "prometheus:9090"}),
            "BadPrometheus",
            "http://prometheus",
        ),
        (
            "sly",
            json!({"mode": "existing", "url": url, "secret": "larnax"}),
            "BadPrometheus",
            "no `larnax` for",
        ),
        (
            "away",
            json!({"mode": "existing", "url": "http://127.0.0.1:1"}),
            "PrometheusUnreachable",
            "127.0.0.1:1",
        ),
    ] {
        cluster.apply(&federation(name, &json!({"prometheus": says})));
        let told = eventually("what is wrong", SOON, || {
            Some(condition(name)).filter(|condition| condition["reason"] == reason)
        });
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
    }
    let refused =
        cluster.try_apply(&federation("odd", &json!({"prometheus": {"mode": "some"}}))).unwrap_err();
    assert!(refused.contains("spec.prometheus.mode"), "{refused}");

    let says = json!({"mode": "existing", "url": url, "secret": "login", "labels": {"job": "pods"}});
    cluster.apply(&federation("good", &json!({"prometheus": says})));
    eventually("nothing wrong with it", SOON, || {
        (condition("good")["reason"] == "AgentNotReady").then_some(())
    });
    let job = annotation(&agent_of(&cluster, "good"), "larnax.io/agent-config")["scrape_configs"][0].clone();
    assert_eq!(job["prometheus"], json!({"url": url, "labels": {"job": "pods"}}));
    assert_eq!(job["authorization"]["credentials_file"], "/etc/larnax-prometheus/token");
    prometheus.stop();
    eventually("that it is away", SOON, || {
        (condition("good")["reason"] == "PrometheusUnreachable").then_some(())
    });
}
