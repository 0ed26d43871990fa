//! A hub and edges elsewhere: one incident, told once, whatever happens on the way.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use larnax_test_peers::{Agent, Alertmanager, NodeExporter, Peer, Peers, Relay, eventually};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

/// An edge's config that is past its warm-up within seconds: 10 s and 60 samples. The exporter called `web` calls `db`.
fn config(folder: &Path, name: &str, exporter: &NodeExporter, hub: SocketAddr, more: &str) -> PathBuf {
    let text = format!(
        "interval: 200ms\ndetect: {{warm_up: 10s}}\nscrape_configs:\n  - job_name: {name}\n    static_configs:\n      \
         - targets: ['{}']\nhub: {{url: 'http://{hub}', name: {name}{more}}}\n",
        exporter.address(),
    );
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, text).unwrap();
    file
}

fn edge(config: &Path) -> Agent {
    Agent::start("larnax-edge", &["--config", config.to_str().unwrap()])
}

/// How the edge's session with the hub is doing.
fn link(edge: &Agent) -> Value {
    let status = edge.json("/api/v1/status");
    let mut sinks = status["sinks"].as_array().into_iter().flatten();
    sinks.find(|sink| sink["name"] == "hub").cloned().unwrap_or_default()
}

fn components(incident: &Value) -> Vec<&str> {
    let anomalies = incident["anomalies"].as_array().into_iter().flatten();
    anomalies.filter_map(|anomaly| anomaly["component"].as_str()).collect()
}

#[test]
fn services_that_fail_together_are_one_incident_told_once_though_the_hub_dies_and_the_way_to_it_is_cut() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager, Peer::NodeExporter]) else { return };
    let alertmanager = Alertmanager::start(&peers);
    let (mut web, mut db) = (NodeExporter::start(&peers), NodeExporter::start(&peers));
    let folder = tempfile::tempdir().unwrap();
    let topology = folder.path().join("hub.yaml");
    let calls = format!(
        "topology: {{edges: [{{from: service/web/{}, to: service/db/{}, kind: calls}}]}}\n",
        web.address(),
        db.address()
    );
    fs::write(&topology, calls).unwrap();
    let arguments = ["hub", "--config", topology.to_str().unwrap(), "--alertmanager", &alertmanager.url()];
    let mut hub = Agent::start("larnax", &arguments);
    let relay = Relay::to(hub.address());
    let edges = [("web", &web), ("db", &db)]
        .map(|(name, exporter)| edge(&config(folder.path(), name, exporter, relay.address(), "")));
    for edge in &edges {
        eventually("the end of the warm-up", SOON, || {
            (edge.json("/api/v1/components")[0]["state"] == "normal").then_some(())
        });
    }
    eventually("both edges", SOON, || {
        (hub.json("/api/v1/agents").as_array().is_some_and(|all| all.len() == 2)).then_some(())
    });
    assert!(hub.get("/").body.contains("<title>Larnax"), "{}", hub.get("/").body);

    // Nobody to tell when it happens.
    hub.kill();
    relay.redirect(None);
    db.stop();
    web.stop();
    for edge in &edges {
        eventually("an absence that waits for the hub", SOON, || {
            let link = link(edge);
            (link["pending"] != 0 && link["error"].is_string()).then_some(())
        });
    }
    hub.start_again();
    relay.redirect(Some(hub.address()));
    let incident = eventually("an incident of both", SOON, || {
        let incidents = hub.json("/api/v1/incidents?state=open");
        let both = incidents.as_array()?.iter().find(|incident| components(incident).len() == 2)?;
        both["diagnosis"].is_object().then(|| both.clone())
    });
    let alerts =
        eventually("its alert", SOON, || Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty()));
    relay.cut();
    eventually("sessions again", SOON, || {
        edges.iter().all(|edge| link(edge)["error"].is_null()).then_some(())
    });

    assert_eq!(hub.json("/api/v1/incidents").as_array().map(Vec::len), Some(1), "one incident");
    assert_eq!(alerts.len(), 1, "one alert: {alerts:?}");
    let labels = &alerts[0]["labels"];
    assert_eq!((&labels["alertname"], &labels["incident"]), (&"LarnaxIncident".into(), &incident["id"]));
    for edge in &edges {
        let link = link(edge);
        assert_eq!((&link["pending"], &link["refused"]), (&0.into(), &0.into()), "{link}");
    }
    let metrics = hub.get("/metrics").body;
    assert!(metrics.contains("larnax_hub_open_incidents 1.0\n"), "{metrics}");
    let url = format!("http://{}", hub.address());
    let shown = Command::new(Agent::program("larnax"))
        .args(["incidents", "show", incident["id"].as_str().unwrap(), "--url", &url])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("service/db/"), "{shown:?}");
    assert!(hub.terminate().success());
}

#[test]
fn an_edge_with_a_wrong_token_is_refused_and_says_so_and_the_right_one_is_taken_when_it_is_there() {
    let Some(peers) = Peers::for_test(&[Peer::NodeExporter]) else { return };
    let exporter = NodeExporter::start(&peers);
    let folder = tempfile::tempdir().unwrap();
    let (right, given) = (folder.path().join("right"), folder.path().join("given"));
    fs::write(&right, "right-token\n").unwrap();
    fs::write(&given, "wrong-token\n").unwrap();
    let hub = Agent::start("larnax", &["hub", "--token-file", right.to_str().unwrap()]);
    let more = format!(", bearer_token_file: '{}'", given.display());
    let edge = edge(&config(folder.path(), "web", &exporter, hub.address(), &more));
    let error = eventually("a refusal", SOON, || link(&edge)["error"].as_str().map(str::to_owned));
    assert!(error.contains("401") && !error.contains("wrong-token"), "{error}");
    assert_eq!(hub.get("/api/v1/agents").status, 401);

    fs::write(&given, "right-token\n").unwrap();
    eventually("a session", SOON, || link(&edge)["error"].is_null().then_some(()));
    for output in [edge.output(), hub.output()] {
        assert!(!output.contains("-token\""), "{output}");
    }
}
