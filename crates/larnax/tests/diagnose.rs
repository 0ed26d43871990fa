//! `larnax diagnose` as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{print, run, stderr};

const GRAPH: &str = r#"{"edges": [
    {"from": "web", "to": "api", "kind": "calls"},
    {"from": "api", "to": "orders"},
    {"from": "api", "to": "users"},
    {"from": "orders", "to": "node/local/n1", "kind": "runs_on"}
]}"#;

/// Noise that is the same each time.
fn noise(row: usize, column: usize) -> f64 {
    ((row * 7919 + column * 104_729 + 13) % 1_000) as f64 / 1_000.0 - 0.5
}

/// Rows of a small shop, a row a second: from row `onset` on orders is busy, two seconds later the latency of who calls it grows.
fn shop(rows: usize, onset: usize) -> String {
    let mut text =
        "time,orders/cpu,orders/latency,api/cpu,api/latency,web/cpu,web/latency,users/cpu,users/latency\n"
            .to_owned();
    for row in 0..rows {
        let since = |late: usize, by: f64| if row >= onset + late { by } else { 0.0 };
        let cells = [
            20.0 + since(0, 60.0),
            5.0 + since(0, 40.0),
            30.0,
            15.0 + since(2, 40.0),
            10.0,
            40.0 + since(4, 40.0),
            15.0,
            6.0,
        ];
        text += &(1_700_000_000 + row).to_string();
        for (column, cell) in cells.iter().enumerate() {
            text += &format!(",{}", cell + noise(row, column));
        }
        text.push('\n');
    }
    text
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&print(folder, &[&["diagnose", "-o", "json"], arguments].concat())).unwrap()
}

fn first(diagnosis: &Value) -> (&str, bool) {
    (diagnosis["candidates"][0]["component"].as_str().unwrap(), diagnosis["known"].as_bool().unwrap())
}

#[test]
fn the_component_that_began_is_named_with_and_without_graph_and_onset() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "metrics.csv", &shop(400, 300));
    write(folder.path(), "graph.json", GRAPH);
    let metrics = ["--metrics", "metrics.csv"];
    let graph = ["--graph", "graph.json", "--alerting", "web"];
    let onset = ["--onset", "1700000300"];
    for more in [vec![], graph.to_vec(), onset.to_vec(), [&graph[..], &onset[..]].concat()] {
        let diagnosis = json(folder.path(), &[&metrics[..], &more].concat());
        assert_eq!(first(&diagnosis), ("service/local/orders", true), "{more:?}: {diagnosis:#}");
    }
}

#[test]
fn the_table_says_what_happened_since_when_and_why() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "metrics.csv", &shop(400, 300));
    write(folder.path(), "graph.json", GRAPH);
    let changes =
        r#"[{"time": "2023-11-14T22:18:10Z", "component": "orders", "kind": "deploy", "text": "v2.3.1"}]"#;
    write(folder.path(), "changes.json", changes);
    let text = print(
        folder.path(),
        &["diagnose", "--metrics", "metrics.csv", "--graph", "graph.json", "--changes", "changes.json"],
    );
    for part in [
        "Cause: service/local/orders",
        "2023-11-14T22:18:20",
        "cpu",
        "before anything else",
        "`api` depends on it",
        "deploy (v2.3.1)",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn a_file_of_normal_rows_may_have_been_taken_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "normal.csv", &shop(300, 1_000));
    write(folder.path(), "metrics.csv", &shop(60, 0));
    let diagnosis = json(folder.path(), &["--metrics", "metrics.csv", "--normal", "normal.csv"]);
    assert_eq!(first(&diagnosis), ("service/local/orders", true), "{diagnosis:#}");
}

#[test]
fn where_nothing_happened_the_cause_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "metrics.csv", &shop(400, 1_000));
    for onset in [vec![], vec!["--onset", "1700000300"]] {
        let diagnosis = json(folder.path(), &[&["--metrics", "metrics.csv"], &onset[..]].concat());
        assert_eq!(diagnosis["known"], false, "{diagnosis:#}");
        assert!(!diagnosis["notes"].as_array().unwrap().is_empty());
    }
    let text = print(folder.path(), &["diagnose", "--metrics", "metrics.csv"]);
    assert!(text.starts_with("Cause unknown"), "{text}");
}

#[test]
fn what_cannot_be_read_is_said_with_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "metrics.csv", &shop(20, 10));
    write(folder.path(), "bare.csv", "time,cpu\n1700000000,1\n1700000001,2\n");
    write(folder.path(), "words.csv", "a,b\nx,y\n");
    write(folder.path(), "broken.json", r#"{"edges": [{"from": "a"}]}"#);
    write(folder.path(), "kind.json", r#"{"edges": [{"from": "a", "to": "b", "kind": "likes"}]}"#);
    write(folder.path(), "name.json", r#"{"edges": [{"from": "a/b", "to": "b"}]}"#);
    let metrics = ["--metrics", "metrics.csv"];
    for (arguments, parts) in [
        (vec!["--metrics", "bare.csv"], vec!["bare.csv", "`cpu`", "component/metric"]),
        (vec!["--metrics", "words.csv"], vec!["words.csv"]),
        (vec!["--metrics", "missing.csv"], vec!["missing.csv"]),
        ([&metrics[..], &["--graph", "broken.json"]].concat(), vec!["broken.json", "`to`", "\"edges\""]),
        ([&metrics[..], &["--graph", "kind.json"]].concat(), vec!["kind.json", "likes", "runs_on"]),
        ([&metrics[..], &["--graph", "name.json"]].concat(), vec!["name.json", "edges[0].from", "a/b"]),
        ([&metrics[..], &["--alerting", "x/y"]].concat(), vec!["--alerting", "x/y"]),
        ([&metrics[..], &["--onset", "noon"]].concat(), vec!["noon", "2026-11-21T18:21:12Z"]),
    ] {
        let output = run(folder.path(), &[&["diagnose"], &arguments[..]].concat());
        assert!(!output.status.success(), "{arguments:?}");
        let message = stderr(&output);
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
}
