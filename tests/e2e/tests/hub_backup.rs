//! A hub's history is backed up while it runs, and yesterday's backup is put back.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use larnax_test_peers::{Agent, post_event};
use serde_json::{Value, json};

fn publish(hub: &Agent, id: &str) {
    let event =
        json!({"specversion": "1.0", "id": id, "source": "/test", "type": "com.example.t"}).to_string();
    assert_eq!(post_event(hub.address(), "/api/v1/events", &event).unwrap().status, 200);
}

/// The ids of the events after a sequence of an epoch, then where the answer ends and in which epoch.
fn read(hub: &Agent, after: &Value, epoch: &Value) -> (Vec<String>, Value, Value) {
    let epoch = epoch.as_str().unwrap_or_default();
    let batch = hub.json(&format!("/api/v1/events?after={after}&epoch={epoch}"));
    let events = batch["events"].as_array().unwrap().iter();
    let ids = events.map(|logged| logged["event"]["id"].as_str().unwrap().to_owned()).collect();
    (ids, batch["next"].clone(), batch["epoch"].clone())
}

fn history(hub: &Agent, arguments: &[&str]) -> Output {
    let mut command = Command::new(Agent::program("larnax"));
    command.arg("hub").args(arguments).arg("--state").arg(hub.state());
    command.env_remove("LARNAX_HUB_STORE").output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn readers_of_a_hub_that_was_restored_from_yesterdays_backup_begin_again_and_miss_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("yesterday.db");
    let backup = backup.to_str().unwrap();
    let mut hub = Agent::start("larnax", &["hub"]);
    publish(&hub, "yesterday");
    let done = history(&hub, &["backup", backup]);
    assert!(done.status.success() && said(&done).contains("whole"), "{}", said(&done));
    assert!(said(&history(&hub, &["backup", backup])).contains("exists already"));
    publish(&hub, "today");
    let (ids, next, epoch) = read(&hub, &json!(0), &Value::Null);
    assert_eq!(ids, ["yesterday", "today"]);

    // Not while it runs, and not over what is there, unless asked to.
    assert!(said(&history(&hub, &["restore", backup, "--replace"])).contains("in use"));
    assert!(hub.terminate().success());
    let refused = history(&hub, &["restore", backup]);
    assert!(!refused.status.success() && said(&refused).contains("there is a store already"));
    let done = history(&hub, &["restore", backup, "--replace"]);
    assert!(done.status.success() && said(&done).contains("new epoch"), "{}", said(&done));
    assert!(hub.state().join("hub/hub.db.replaced").is_file());
    assert!(history(&hub, &["check"]).status.success());

    hub.start_again();
    publish(&hub, "tomorrow");
    let (ids, _, new_epoch) = read(&hub, &next, &epoch);
    assert_ne!(new_epoch, epoch);
    assert_eq!(ids, ["yesterday", "tomorrow"], "from the oldest");
    // Also who doesn't look at the epoch misses nothing that is new.
    assert_eq!(read(&hub, &next, &Value::Null).0, ["tomorrow"]);
    hub.kill();

    // Cut off, as by a full disk.
    let file = hub.state().join("hub/hub.db");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let check = history(&hub, &["check"]);
    assert!(!check.status.success() && said(&check).contains("is damaged"), "{}", said(&check));
    let done = history(&hub, &["restore", backup, "--replace"]);
    assert!(done.status.success(), "{}", said(&done));
    hub.start_again();
    assert_eq!(read(&hub, &json!(0), &Value::Null).0, ["yesterday"]);
}
