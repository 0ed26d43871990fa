//! The main story: a real machine under real load, told by a real Alertmanager. Alone in its file, because its load is
//! felt by every other test.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use larnax_test_peers::{Agent, Alertmanager, Peer, Peers, StressNg, eventually};
use serde_json::Value;

/// Long enough for the warm-up of 150 s on a machine that is busy with other tests.
const WARM_UP: Duration = Duration::from_secs(300);

/// Long enough for what comes back once or twice.
const RESOLVED: Duration = Duration::from_secs(600);

/// Once a second, as during the warm-up: looks are connections, and the agent has learnt how many there are.
fn open(agent: &Agent) -> Vec<Value> {
    std::thread::sleep(Duration::from_secs(1));
    agent.json("/api/v1/anomalies?state=open").as_array().cloned().unwrap_or_default()
}

/// Whether this names the CPU. What doesn't comes from whatever else this machine does: the test command itself is load, and
/// when it ends, disks that had been read fall silent.
fn names_the_cpu(told: &Value) -> bool {
    told.to_string().contains("\"cpu/")
}

/// Incidents of which people were told and whose cause names the CPU now: a later diagnosis may name what came of it.
fn told(agent: &Agent) -> Vec<Value> {
    let incidents = agent.json("/api/v1/incidents");
    let told = incidents.as_array().into_iter().flatten();
    told.filter(|incident| incident["alerted"] == true && names_the_cpu(incident)).cloned().collect()
}

/// Their names.
fn names(told: &[Value]) -> BTreeSet<String> {
    told.iter().map(|incident| incident["id"].to_string()).collect()
}

#[test]
fn a_minute_of_load_is_one_incident_that_names_the_cpu_and_is_seen_and_resolved_in_alertmanager() {
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
    let before = names(&told(&agent));
    let mut named = BTreeSet::new();

    let started = Instant::now();
    let load = StressNg::start(&peers, &["--cpu", "0"], Duration::from_secs(60));
    let opened = || open(&agent).iter().any(|anomaly| names_the_cpu(&anomaly["anomaly"]["metrics"]));
    eventually("an anomaly of the CPU", Duration::from_secs(60), || opened().then_some(()));
    let waited = started.elapsed();
    assert!(waited <= Duration::from_secs(15), "the anomaly opened after {waited:?}");
    eventually("an incident whose cause is this machine", Duration::from_secs(60), || {
        let told = told(&agent);
        named.extend(names(&told));
        let incident = told.into_iter().find(|incident| incident["closed"].is_null())?;
        incident["diagnosis"]["candidates"][0]["component"].as_str()?.starts_with("node/local/").then_some(())
    });
    let seen = eventually("the alert in Alertmanager", Duration::from_secs(30), || {
        let text = alertmanager.amtool(&["alert", "query", "alertname=LarnaxIncident", "-o", "extended"]);
        text.contains("LarnaxIncident").then_some(text)
    });
    assert!(seen.contains("node/local/"), "{seen}");

    load.finish();
    eventually("the end of the anomaly", Duration::from_secs(600), || open(&agent).is_empty().then_some(()));
    // An incident stays open for two minutes more: what comes back within them belongs to it, and takes two calm minutes itself.
    eventually("its resolution in Alertmanager", RESOLVED, || {
        // More often would be forty connections a second, which is unusual and is told.
        std::thread::sleep(Duration::from_secs(1));
        named.extend(names(&told(&agent)));
        std::thread::sleep(Duration::from_secs(1));
        alertmanager.alerts().is_empty().then_some(())
    });
    let incidents = agent.json("/api/v1/incidents");
    assert_eq!(named.difference(&before).count(), 1, "one load is one incident: {incidents}");
}
