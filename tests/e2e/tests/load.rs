//! The main story: a real machine under real load, told by a real Alertmanager. Alone in its file, because its load is
//! felt by every other test.

use std::time::{Duration, Instant};

use larnax_test_peers::{Agent, Alertmanager, Peer, Peers, StressNg, eventually};
use serde_json::Value;

/// Long enough for the warm-up of 150 s on a machine that is busy with other tests.
const WARM_UP: Duration = Duration::from_secs(300);

/// Once a second, as during the warm-up: looks are connections, and the agent has learnt how many there are.
fn open(agent: &Agent) -> Vec<Value> {
    std::thread::sleep(Duration::from_secs(1));
    agent.json("/api/v1/anomalies?state=open").as_array().cloned().unwrap_or_default()
}

/// Anomalies that were worth an alert. What is only recorded may come from whatever else this machine does.
fn alerted(agent: &Agent) -> usize {
    let anomalies = agent.json("/api/v1/anomalies");
    anomalies.as_array().map_or(0, |all| all.iter().filter(|a| a["anomaly"]["alerted"] == true).count())
}

#[test]
fn a_minute_of_load_opens_one_anomaly_that_names_the_cpu_and_is_seen_and_resolved_in_alertmanager() {
    let needs = [Peer::Alertmanager, Peer::Amtool, Peer::StressNg];
    let Some(peers) = Peers::for_test(&needs) else { return };
    let alertmanager = Alertmanager::start(&peers);
    let agent = Agent::start("larnax", &["up", "--interval", "1s", "--alertmanager", &alertmanager.url()]);
    eventually("the end of the warm-up", WARM_UP, || {
        std::thread::sleep(Duration::from_secs(1));
        (agent.json("/api/v1/components")[0]["state"] == "normal").then_some(())
    });
    // What happened before the load (the test command itself is load) doesn't count.
    eventually("a calm machine", WARM_UP, || open(&agent).is_empty().then_some(()));
    let before = alerted(&agent);

    let started = Instant::now();
    let load = StressNg::start(&peers, &["--cpu", "0"], Duration::from_secs(60));
    let anomaly = eventually("an anomaly", Duration::from_secs(60), || open(&agent).first().cloned());
    let waited = started.elapsed();
    assert!(waited <= Duration::from_secs(15), "the anomaly opened after {waited:?}");
    let named = anomaly["anomaly"]["metrics"].to_string();
    assert!(named.contains("cpu/"), "{named}");
    let seen = eventually("the alert in Alertmanager", Duration::from_secs(30), || {
        let text = alertmanager.amtool(&["alert", "query", "alertname=LarnaxAnomaly", "-o", "extended"]);
        text.contains("LarnaxAnomaly").then_some(text)
    });
    assert!(seen.contains("node/local/"), "{seen}");

    load.finish();
    eventually("the end of the anomaly", Duration::from_secs(600), || open(&agent).is_empty().then_some(()));
    eventually("its resolution in Alertmanager", Duration::from_secs(60), || {
        alertmanager.alerts().is_empty().then_some(())
    });
    assert_eq!(alerted(&agent) - before, 1, "one load is one alert: {}", agent.json("/api/v1/anomalies"));
}
