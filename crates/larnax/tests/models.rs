//! `larnax models` as a user runs it, on state that the agent's own code writes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs::{self, File};
use std::path::Path;

use larnax_core::model_store::ModelStore;
use larnax_core::{Component, ComponentId, Metric, MetricKind, MetricName, Row, Schema, Timestamp};
use larnax_detect::{AlertBudget, DetectorKind, Settings, Watch};
use larnax_edge_role::models::FileStore;
use support::{print, run, stderr};

const NAME: &str = "component/node/local/a";

/// What a watch saves that has seen `level` for five minutes.
fn learnt(level: f64) -> Vec<u8> {
    learnt_by(DetectorKind::default(), level)
}

fn learnt_by(detector: DetectorKind, level: f64) -> Vec<u8> {
    let id = ComponentId::from_parts("node", "local", "a");
    let component = Component { id, group: "host".to_owned(), labels: Default::default() };
    let mut watch = Watch::new(component, Settings { detector, ..Settings::default() });
    let metric = |name| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
    watch.resize(&Schema::new(vec![metric("a"), metric("b")]).unwrap());
    let (mut budget, mut changes) = (AlertBudget::default(), Vec::new());
    for i in 0..300 {
        let wobble = f64::from(i % 7);
        let values = [level + wobble, 2.0 * level - wobble];
        let time = Timestamp::from_seconds(1e9 + f64::from(i));
        watch.observe(Row { time, values: &values, learnable: true }, &mut budget, &mut changes);
    }
    watch.save()
}

fn state(folder: &Path) -> FileStore {
    let store = FileStore::open(&folder.join("state/models")).unwrap();
    store.put(NAME, 0, &learnt(10.0)).unwrap();
    store.put(NAME, 1, &learnt(20.0)).unwrap();
    store
}

#[test]
fn what_is_stored_is_listed_exported_imported_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = state(folder.path());
    let list = print(folder.path(), &["models", "list", "--state", "state"]);
    assert!(list.contains(NAME) && list.contains("watch"), "{list}");
    let json = print(folder.path(), &["models", "list", "--state", "state", "-o", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()[0]["version"], 2);

    print(folder.path(), &["models", "export", NAME, "snapshot.model", "--state", "state"]);
    assert_eq!(fs::read(folder.path().join("snapshot.model")).unwrap(), learnt(20.0));
    print(folder.path(), &["models", "rollback", NAME, "--state", "state"]);
    let stored = store.get(NAME).unwrap().unwrap();
    assert_eq!((stored.version, stored.bytes), (3, learnt(10.0)));
    print(folder.path(), &["models", "import", "snapshot.model", NAME, "--state", "state"]);
    assert_eq!(store.get(NAME).unwrap().unwrap().bytes, learnt(20.0));
}

#[test]
fn models_of_two_machines_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), learnt(10.0)).unwrap();
    // As it lies in a state folder: with its version before it.
    fs::write(folder.path().join("b"), [&7u64.to_le_bytes()[..], &learnt(30.0)].concat()).unwrap();
    print(folder.path(), &["models", "merge", "a", "b", "--out", "joined"]);
    let joined = fs::read(folder.path().join("joined")).unwrap();
    assert_eq!(Watch::detector_of(&joined).unwrap(), Settings::default().detector);
    print(folder.path(), &["models", "merge", "joined", "a", "--out", "again"]);
}

#[test]
fn what_can_not_be_done_says_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "no model").unwrap();
    let fails = |arguments: &[&str], expected: &str| {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    };
    fails(&["models", "list", "--state", "state"], "no agent has kept anything here");
    state(folder.path());
    fails(&["models", "export", "component/x", "f", "--state", "state"], "larnax models list");
    fails(&["models", "import", "text", NAME, "--state", "state"], "not a Larnax model");
    fails(&["models", "merge", "text", "text", "--out", "o"], "not a Larnax model");
    fs::write(folder.path().join("birch"), learnt_by(DetectorKind::Birch, 10.0)).unwrap();
    fs::write(folder.path().join("lstm"), learnt_by(DetectorKind::Lstm, 10.0)).unwrap();
    fails(&["models", "merge", "birch", "lstm", "--out", "o"], "lstm: of detector `lstm`, expected `birch`");
    fails(&["models", "rollback", "component/x", "--state", "state"], "no version before");
    // As while an agent runs.
    fs::create_dir(folder.path().join("state/outbox")).unwrap();
    let lock = File::create(folder.path().join("state/outbox/outbox.lock")).unwrap();
    lock.try_lock().unwrap();
    fails(&["models", "rollback", NAME, "--state", "state"], "an agent uses this folder");
}
