//! The main story: a real machine under real load, told by a real Alertmanager. Alone in its file, because its load is
//! felt by every other test.

#[path = "support/cpu.rs"]
mod cpu;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use larnax_test_peers::{Agent, Alertmanager, Peer, Peers, StressNg, eventually};
use serde_json::Value;

/// Long enough for the warm-up of 150 s on a machine that is busy with other tests.
const WARM_UP: Duration = Duration::from_secs(300);

/// On a machine that was busy for so large a share of some seconds of the warm-up, a minute of load is nothing unusual to an agent
/// that has known it for no longer.
const BUSY: f64 = 0.2;

/// So many warm-ups may find the machine busy.
const WARM_UPS: usize = 3;

/// Long enough for what comes back once or twice.
const RESOLVED: Duration = Duration::from_secs(600);

/// Once a second, as during the warm-up: looks are connections, and the agent has learnt how many there are. Looks that are more frequent
/// are what differs most from before, and a diagnosis names what differs most.
fn wait_a_second() {
    std::thread::sleep(Duration::from_secs(1));
}

fn open(agent: &Agent) -> Vec<Value> {
    wait_a_second();
    agent.json("/api/v1/anomalies?state=open").as_array().cloned().unwrap_or_default()
}

/// Whether this names the CPU. What doesn't comes from whatever else this machine does: the test command itself is load, and
/// when it ends, disks that had been read fall silent.
fn names_the_cpu(told: &Value) -> bool {
    told.to_string().contains("\"cpu/")
}

/// Incidents of which people were told and whose cause names the CPU now: a later diagnosis may name what came of it.
fn told(agent: &Agent) -> Vec<Value> {
    wait_a_second();
    let incidents = agent.json("/api/v1/incidents");
    let told = incidents.as_array().into_iter().flatten();
    told.filter(|incident| incident["alerted"] == true && names_the_cpu(incident)).cloned().collect()
}

/// Their names.
fn names(told: &[Value]) -> BTreeSet<String> {
    told.iter().map(|incident| incident["id"].to_string()).collect()
}

/// An agent that has warmed up while little else was going on, or why it is of no use: how busy the machine was.
fn warmed_up_in_calm(alertmanager: &Alertmanager) -> Result<Agent, String> {
    let mut before = cpu::Busy::start();
    eventually("the end of what keeps this machine busy", WARM_UP, || {
        wait_a_second();
        before.look();
        (before.looks >= 10 && before.now < BUSY / 2.0).then_some(())
    });
    let mut busy = cpu::Busy::start();
    let agent = Agent::start("larnax", &["up", "--interval", "1s", "--alertmanager", &alertmanager.url()]);
    let mut look = |until: &str, state: &dyn Fn() -> bool| {
        eventually(until, WARM_UP, || {
            wait_a_second();
            busy.look();
            (busy.most > BUSY || state()).then_some(())
        });
    };
    look("the end of the warm-up", &|| agent.json("/api/v1/components")[0]["state"] == "normal");
    // What happened before the load doesn't count.
    look("a calm machine", &|| open(&agent).is_empty());
    if busy.most > BUSY { Err(format!("a warm-up on a machine that was busy: {busy}")) } else { Ok(agent) }
}

#[test]
fn a_minute_of_load_is_one_incident_that_names_the_cpu_and_is_seen_and_resolved_in_alertmanager() {
    let needs = [Peer::Alertmanager, Peer::Amtool, Peer::StressNg];
    let Some(peers) = Peers::for_test(&needs) else { return };
    let alertmanager = Alertmanager::start(&peers);
    let calm =
        (0..WARM_UPS).find_map(|_| warmed_up_in_calm(&alertmanager).map_err(|why| eprintln!("{why}")).ok());
    let Some(agent) = calm else {
        eprintln!("skipped: this machine is not calm for long enough to find a minute of load unusual");
        return;
    };
    let before = names(&told(&agent));
    let mut named = BTreeSet::new();

    let mut busy = cpu::Busy::start();
    let started = Instant::now();
    let load = StressNg::start(&peers, &["--cpu", "0"], Duration::from_secs(60));
    while !open(&agent).iter().any(|anomaly| names_the_cpu(&anomaly["anomaly"]["metrics"])) {
        busy.look();
        let waited = started.elapsed().as_secs();
        let seen = || (agent.json("/api/v1/components"), agent.json("/api/v1/anomalies"));
        assert!(waited < 60, "no anomaly of the CPU ({busy}): {:?}", seen());
    }
    let waited = started.elapsed();
    assert!(waited <= Duration::from_secs(15), "the anomaly opened after {waited:?}");
    let is_named = |incident: &Value| {
        let component = incident["diagnosis"]["candidates"][0]["component"].as_str().unwrap_or_default();
        incident["closed"].is_null() && component.starts_with("node/local/")
    };
    while !told(&agent).iter().any(is_named) {
        let incidents = agent.json("/api/v1/incidents");
        assert!(started.elapsed() < Duration::from_secs(90), "the cause is not this machine: {incidents}");
    }
    let seen = eventually("the alert in Alertmanager", Duration::from_secs(30), || {
        wait_a_second();
        let text = alertmanager.amtool(&["alert", "query", "alertname=LarnaxIncident", "-o", "extended"]);
        text.contains("LarnaxIncident").then_some(text)
    });
    assert!(seen.contains("node/local/"), "{seen}");

    load.finish();
    eventually("the end of the anomaly", Duration::from_secs(600), || open(&agent).is_empty().then_some(()));
    // An incident stays open for two minutes more: what comes back within them belongs to it, and takes two calm minutes itself.
    eventually("its resolution in Alertmanager", RESOLVED, || {
        named.extend(names(&told(&agent)));
        wait_a_second();
        alertmanager.alerts().is_empty().then_some(())
    });
    let incidents = agent.json("/api/v1/incidents");
    assert_eq!(named.difference(&before).count(), 1, "one load is one incident: {incidents}");
}
