//! Alertmanager is away, and the agent dies: no anomaly may be lost.

use std::fs;
use std::time::Duration;

use larnax_test_peers::{Agent, Alertmanager, NodeExporter, Peer, Peers, eventually};

/// A config that is past its warm-up within seconds: 10 s and 60 samples.
fn config(exporter: &NodeExporter, alertmanager: &Alertmanager) -> String {
    format!(
        "interval: 200ms\ndetect: {{warm_up: 10s}}\nscrape_configs:\n  - job_name: node\n    static_configs:\n      \
         - targets: ['{}']\nalerts:\n  alertmanagers: ['{}']\n  resend: 1s\n",
        exporter.address(),
        alertmanager.url()
    )
}

fn open(agent: &Agent) -> usize {
    agent.json("/api/v1/anomalies?state=open").as_array().map_or(0, Vec::len)
}

#[test]
fn an_anomaly_of_an_outage_of_alertmanager_outlives_kill_9() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager, Peer::NodeExporter]) else { return };
    let mut alertmanager = Alertmanager::start(&peers);
    let mut exporter = NodeExporter::start(&peers);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("larnax.yaml");
    fs::write(&file, config(&exporter, &alertmanager)).unwrap();
    let mut agent = Agent::start("larnax-edge", &["--config", file.to_str().unwrap()]);
    eventually("the end of the warm-up", Duration::from_secs(60), || {
        (agent.json("/api/v1/components")[0]["state"] == "normal").then_some(())
    });

    alertmanager.stop();
    exporter.stop();
    eventually("the absence", Duration::from_secs(60), || (open(&agent) > 0).then_some(()));
    let id = agent.json("/api/v1/anomalies?state=open")[0]["anomaly"]["id"].clone();
    agent.kill();
    agent.start_again();
    assert_eq!(
        agent.json("/api/v1/anomalies?state=open")[0]["anomaly"]["id"],
        id,
        "the same anomaly goes on"
    );
    agent.kill();

    alertmanager.start_again();
    assert!(alertmanager.alerts().is_empty());
    agent.start_again();
    let alerts = eventually("the alert", Duration::from_secs(60), || {
        Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty())
    });
    let labels = &alerts[0]["labels"];
    assert_eq!(labels["alertname"], "LarnaxTargetAbsent");
    assert_eq!(
        (&labels["job"], &labels["instance"]),
        (&"node".into(), &exporter.address().to_string().into())
    );
    assert!(agent.terminate().success());
}
