//! From an incident to an outcome through real processes, and what is left when one of them is killed on the way: the world is changed
//! once or not at all.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_test_peers::{Agent, NodeExporter, Peer, Peers, Relay, eventually, get, post};
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

/// A hub, an edge that can do one thing, and the exporter that it is done to.
struct World {
    hub: Agent,
    /// The hub has another port when it is started again.
    relay: Relay,
    edge: Agent,
    exporter: NodeExporter,
    folder: TempDir,
}

impl World {
    /// `action` is what the action's program does after it has noted that it was begun. None where the peers are not there.
    fn with(action: &str, more: &str) -> Option<Self> {
        let peers = Peers::for_test(&[Peer::NodeExporter])?;
        let exporter = NodeExporter::start(&peers);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let program = file("mend");
        let begun = file("begun");
        let script = format!("#!/bin/sh\necho \"$LARNAX_KEY $1\" >> '{}'\n{action}\n", begun.display());
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let policies = file("hub.yaml");
        fs::write(&policies, "policies:\n- {on: ['service/*'], mode: ask, cooldown: 1s}\n").unwrap();
        let hub = Agent::start("larnax", &["hub", "--config", policies.to_str().unwrap()]);
        let relay = Relay::to(hub.address());
        let config = file("edge.yaml");
        let text = format!(
            "interval: 200ms\ndetect: {{warm_up: 10s}}\nmetrics: {{include: [node_boot_time_seconds]}}\nscrape_configs:\n  - job_name: web\n    static_configs:\n      \
             - targets: ['{}']\nhub: {{url: 'http://{}', name: web}}\nactions:\n- name: mend\n  on: ['service/web/*']\n  \
             timeout: 20s\n  command:\n    run: ['{}', '{{name}}']\n{more}",
            exporter.address(),
            relay.address(),
            program.display(),
        );
        fs::write(&config, text).unwrap();
        let edge = Agent::start("larnax-edge", &["--config", config.to_str().unwrap()]);
        let mut world = Self { hub, relay, edge, exporter, folder };
        eventually("the end of the warm-up", SOON, || {
            (world.edge.json("/api/v1/components")[0]["state"] == "normal").then_some(())
        });
        world.exporter.stop();
        Some(world)
    }

    fn restart_hub(&mut self) {
        self.hub.kill();
        self.hub.start_again();
        self.relay.redirect(Some(self.hub.address()));
    }

    /// Waits for the proposal, and approves it.
    fn approve(&self) -> String {
        let plan = self.plan_that("a proposal", |plan| plan["state"] == "proposed");
        let id = plan["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/plans/{id}/approve");
        let answer = post(self.hub.address(), &path, r#"{"by": "ana"}"#).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        id
    }

    fn plan_that(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, SOON, || {
            let answer = get(self.hub.address(), "/api/v1/plans").ok()?;
            let plans: Value = serde_json::from_str(&answer.body).ok()?;
            plans.as_array()?.iter().find(|plan| fits(plan)).cloned()
        })
    }

    fn begun(&self) -> PathBuf {
        self.folder.path().join("begun")
    }

    /// How often the world was changed.
    fn changes(&self) -> usize {
        lines(&self.begun())
    }

    /// What the edge said of the order.
    fn effect(&self) -> Value {
        let plan = self.plan_that("a report", |plan| plan["done"]["effect"].is_string());
        plan["done"]["effect"].clone()
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn what_is_approved_is_done_once_verified_and_learnt() {
    let Some(mut world) = World::with("exit 0", "") else { return };
    let proposed = world.plan_that("a proposal", |plan| plan["state"] == "proposed");
    let path = format!("/api/v1/plans/{}/try", proposed["id"].as_str().unwrap());
    let would = post(world.hub.address(), &path, "{}").unwrap();
    assert!(would.status == 200 && would.body.contains("would"), "{}", would.body);
    assert_eq!(world.changes(), 0);
    let plan = world.approve();
    assert_eq!((world.effect(), world.changes()), ("done".into(), 1));
    assert_eq!(
        fs::read_to_string(world.begun()).unwrap().split_whitespace().next(),
        Some(format!("{plan}-do").as_str())
    );
    world.exporter.start_again();
    let ended = world.plan_that("an outcome", |plan| plan["state"] == "ended");
    assert!(ended["outcome"]["recovered_seconds"].is_number(), "{ended}");
    let patterns = world.hub.json("/api/v1/patterns");
    assert_eq!(patterns["patterns"][0]["actions"]["mend"], 1, "{patterns}");
    let audit = world.hub.json(&format!("/api/v1/audit?subject={plan}"));
    let ana = audit
        .as_array()
        .unwrap()
        .iter()
        .any(|entry| entry["who"] == "ana" && entry["what"] == "plan.approve");
    assert!(ana, "{audit}");
    let again = post(world.hub.address(), &format!("/api/v1/plans/{plan}/approve"), r#"{"by": "ben"}"#);
    let again = again.unwrap();
    assert!(again.status == 409 && again.body.contains("ana has approved it already"), "{}", again.body);
    assert_eq!(world.changes(), 1);
}

#[test]
fn a_hub_that_is_killed_once_it_has_ordered_something_hears_of_it_and_orders_nothing_twice() {
    let Some(mut world) = World::with("sleep 2", "") else { return };
    world.approve();
    world.restart_hub();
    eventually("the change", SOON, || (world.changes() > 0).then_some(()));
    world.restart_hub();
    assert_eq!((world.effect(), world.changes()), ("done".into(), 1));
}

#[test]
fn an_edge_that_is_killed_in_the_middle_says_that_nobody_knows_and_does_nothing_twice() {
    let Some(mut world) = World::with("sleep 2", "") else { return };
    world.approve();
    eventually("the change", SOON, || (world.changes() > 0).then_some(()));
    world.edge.kill();
    world.edge.start_again();
    assert_eq!((world.effect(), world.changes()), ("unsure".into(), 1));
}

#[test]
fn an_edge_that_is_killed_in_the_middle_looks_whether_it_was_done_where_it_can() {
    let Some(mut world) = World::with("sleep 2", "    check: ['true']\n") else { return };
    world.approve();
    eventually("the change", SOON, || (world.changes() > 0).then_some(()));
    world.edge.kill();
    world.restart_hub();
    world.edge.start_again();
    assert_eq!((world.effect(), world.changes()), ("done".into(), 1));
}

#[test]
fn what_is_ordered_of_an_edge_that_is_away_is_done_once_when_it_is_back() {
    let Some(mut world) = World::with("exit 0", "") else { return };
    let plan = world.plan_that("a proposal", |plan| plan["state"] == "proposed");
    world.edge.kill();
    let path = format!("/api/v1/plans/{}/approve", plan["id"].as_str().unwrap());
    assert_eq!(post(world.hub.address(), &path, "{}").unwrap().status, 200);
    world.plan_that("an order", |plan| plan["state"] == "acting");
    assert_eq!(world.changes(), 0);
    world.edge.start_again();
    assert_eq!((world.effect(), world.changes()), ("done".into(), 1));
}
