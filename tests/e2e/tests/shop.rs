//! The main story of incidents: a shop that something goes wrong in, one incident that says where, one notification.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use larnax_test_peers::{Agent, Alertmanager, Peer, Peers, eventually};
use serde_json::Value;

/// Long enough for the warm-up of 150 s on a machine that is busy with other tests.
const WARM_UP: Duration = Duration::from_secs(300);
/// How long an incident may take, with its diagnosis, on such a machine.
const DIAGNOSED: Duration = Duration::from_secs(90);

/// A shop in the background, as a user has it.
struct Shop<'a>(&'a Path);

impl<'a> Shop<'a> {
    fn up(state: &'a Path) -> Self {
        let shop = Self(state);
        shop.run(&["shop", "up", "--port", "0"]);
        shop
    }

    /// What a command about this shop prints; it has to go well.
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(Agent::program("larnax"))
            .args(arguments)
            .arg("--state")
            .arg(self.0)
            .output()
            .unwrap();
        let (said, failed) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{failed}");
        said.into_owned()
    }

    fn processes(&self) -> Vec<String> {
        let status: Value = serde_json::from_str(&self.run(&["shop", "status", "-o", "json"])).unwrap();
        status.as_array().unwrap().iter().map(|process| process["pid"].to_string()).collect()
    }
}

impl Drop for Shop<'_> {
    /// Also when the test fails.
    fn drop(&mut self) {
        let mut down = Command::new(Agent::program("larnax"));
        let _ = down.args(["shop", "down", "--state"]).arg(self.0).output();
    }
}

/// Whether a process runs. One that has ended may be listed until its parent has noticed.
fn lives(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// Once a second: looks are connections, and cost the machine that is watched something.
fn each_second<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    eventually(what, within, || {
        std::thread::sleep(Duration::from_secs(1));
        look()
    })
}

#[test]
fn a_fault_in_the_shop_is_one_incident_that_names_its_service_and_one_notification() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager]) else { return };
    let alertmanager = Alertmanager::start(&peers);
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::up(folder.path());
    let processes = shop.processes();
    assert_eq!(processes.len(), 5, "four services and their customers: {processes:?}");
    let config = folder.path().join("shop/larnax.yaml");
    let agent = Agent::start(
        "larnax",
        &["up", "--config", config.to_str().unwrap(), "--alertmanager", &alertmanager.url()],
    );
    let is_calm = || {
        let components = agent.json("/api/v1/components");
        let all = components.as_array().unwrap();
        let normal = all.len() == 4 && all.iter().all(|component| component["state"] == "normal");
        let open = agent.json("/api/v1/incidents?state=open");
        (normal && open.as_array().unwrap().is_empty()).then_some(())
    };
    each_second("a shop that is known and well", WARM_UP, is_calm);
    let before = agent.json("/api/v1/incidents").as_array().unwrap().len();

    let injected = Instant::now();
    shop.run(&["inject", "latency", "--on", "stock", "--for", "90s"]);
    let incident = each_second("an incident that was looked into", DIAGNOSED, || {
        let open = agent.json("/api/v1/incidents?state=open");
        open.as_array()?.iter().find(|incident| incident["diagnosis"]["known"] == true).cloned()
    });
    let first = &incident["diagnosis"]["candidates"][0];
    assert_eq!(first["component"], "service/shop/stock", "{incident:#}");
    assert!(!first["reasons"].as_array().unwrap().is_empty(), "{first:#}");
    let shown = Command::new(Agent::program("larnax"))
        .args(["incidents", "show", "--url", &format!("http://{}", agent.address())])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("It began in: service/shop/stock"), "{shown}");

    let told = each_second("the alert in Alertmanager", Duration::from_secs(30), || {
        Some(alertmanager.alerts()).filter(|alerts| !alerts.is_empty())
    });
    // To the end of the fault, and what it does to callers.
    std::thread::sleep(Duration::from_secs(60).saturating_sub(injected.elapsed()));
    let all = agent.json("/api/v1/incidents");
    assert_eq!(all.as_array().unwrap().len() - before, 1, "one fault is one incident: {all:#}");
    let alerts = alertmanager.alerts();
    assert_eq!((told.len(), alerts.len()), (1, 1), "one incident is one notification: {alerts:#?}");
    assert_eq!(alerts[0]["labels"]["alertname"], "LarnaxIncident");

    shop.run(&["shop", "down"]);
    assert!(!folder.path().join("shop").exists());
    eventually("the end of all processes", Duration::from_secs(10), || {
        (!processes.iter().any(|pid| lives(pid))).then_some(())
    });
}
