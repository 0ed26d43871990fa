//! The peers work with each other, before Larnax comes into play: where one of these fails, look at the
//! machine first.

use std::time::Duration;

use larnax_test_peers::{
    Alertmanager, NodeExporter, Peer, Peers, Prometheus, StressNg, eventually, get, post,
};

#[test]
fn an_alert_added_with_amtool_is_found_with_amtool() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager, Peer::Amtool]) else { return };
    let alertmanager = Alertmanager::start(&peers);
    alertmanager.amtool(&["alert", "add", "Flood", "service=web"]);
    assert!(alertmanager.amtool(&["alert", "query", "service=web"]).contains("Flood"));
    assert!(!alertmanager.amtool(&["alert", "query", "service=db"]).contains("Flood"));
}

#[test]
fn an_alertmanager_is_back_at_the_same_address_after_an_outage() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager]) else { return };
    let mut alertmanager = Alertmanager::start(&peers);
    alertmanager.stop();
    assert!(get(alertmanager.address(), "/-/ready").is_err());
    alertmanager.start_again();
    let alert = r#"[{"labels": {"alertname": "Flood"}}]"#;
    assert_eq!(post(alertmanager.address(), "/api/v2/alerts", alert).unwrap().status, 200);
    assert_eq!(alertmanager.alerts()[0]["labels"]["alertname"], "Flood");
}

#[test]
fn a_node_exporter_is_scraped_by_prometheus() {
    let Some(peers) = Peers::for_test(&[Peer::Prometheus, Peer::NodeExporter]) else { return };
    let mut exporter = NodeExporter::start(&peers);
    let prometheus = Prometheus::start(&peers, &Prometheus::scraping(exporter.address(), "1s"));
    let up = |value: &str| {
        prometheus.query("up").first().is_some_and(|series| series["value"][1] == value).then_some(())
    };
    eventually("a first scrape", Duration::from_secs(30), || up("1"));
    assert!(!prometheus.query("node_load1").is_empty());
    exporter.stop();
    eventually("a failed scrape", Duration::from_secs(30), || up("0"));
}

#[test]
fn stress_ng_runs_for_its_time() {
    let Some(peers) = Peers::for_test(&[Peer::StressNg]) else { return };
    StressNg::start(&peers, &["--cpu", "1"], Duration::from_secs(1)).finish();
}
