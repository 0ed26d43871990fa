//! `larnax evaluate` as a user runs it, on tiny data sets in `fixtures/evaluate`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{print, run, stderr};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evaluate")
}

fn figures(arguments: &[&str]) -> Value {
    let text = print(&fixtures(), &[&["evaluate", "-o", "json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

/// Runs it and gives its complaint.
fn complaint(arguments: &[&str]) -> String {
    let output = run(&fixtures(), &[&["evaluate"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

fn scores(file: &Path) -> Vec<f64> {
    fs::read_to_string(file).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_machine_is_judged_after_its_train_file_and_its_metric_is_named() {
    let report = figures(&["smd", "--format", "smd", "--detector", "birch"]);
    let machine = &report["streams"][0];
    assert_eq!((&machine["name"], &machine["rows"]), (&"machine-a".into(), &200.into()));
    assert_eq!((&machine["train_rows"], &machine["metrics"]), (&150.into(), &3.into()));
    for figure in ["auc_pr", "vus_pr", "ev1"] {
        assert!(machine[figure].as_f64().unwrap() > 0.9, "{figure}: {machine}");
    }
    for shipped in ["state", "opened", "alerts"] {
        let found = &machine[shipped];
        assert_eq!((&found["events"], &found["caught"]), (&1.into(), &1.into()), "{shipped}: {found}");
        assert!((found["days"].as_f64().unwrap() - 200.0 / 1_440.0).abs() < 1e-9);
    }
    let named = &report["all"]["attribution"];
    assert_eq!(
        (&named["events"], &named["hit_at_100"], &named["top_1"]),
        (&1.into(), &1.0.into(), &1.0.into())
    );
}

#[test]
fn without_training_nothing_is_known_at_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let of = |train: &str| {
        let out = folder.path().join(train);
        figures(&["smd", "--format", "smd", "--train", train, "--scores", out.to_str().unwrap()]);
        scores(&out.join("machine-a.csv"))
    };
    let (trained, untrained) = (of("yes"), of("no"));
    assert_eq!((trained.len(), untrained.len()), (200, 200));
    assert!(untrained[..10].iter().all(|&score| score == 0.0));
    assert!(trained[..10].iter().any(|&score| score > 0.0));
    assert!(untrained[120..140].iter().all(|&score| score > 1.0));
}

#[test]
fn the_published_layout_with_a_folder_for_each_part_is_the_same_machine() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "test", "test_label", "interpretation_label"] {
        let ending = if part.contains("label") { "txt" } else { "csv" };
        fs::create_dir(folder.path().join(part)).unwrap();
        let from = fixtures().join("smd/machine-a").join(part).with_extension(ending);
        fs::copy(from, folder.path().join(part).join("machine-a.txt")).unwrap();
    }
    let published = figures(&[folder.path().to_str().unwrap(), "--format", "smd"]);
    let ours = figures(&["smd", "--format", "smd"]);
    for figure in ["vus_pr", "alerts", "attribution", "train_rows"] {
        assert_eq!(published["streams"][0][figure], ours["streams"][0][figure], "{figure}");
    }
}

#[test]
fn nab_is_scored_by_its_profiles_and_its_scores_are_between_0_and_1() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let report = figures(&["nab", "--format", "nab", "--scores", out]);
    let standard = &report["all"]["nab"]["alerts"][0];
    assert_eq!(standard["profile"], "standard");
    assert!(standard["shipped"].as_f64().unwrap() > 90.0, "{standard}");
    assert!(report["streams"][0]["auc_pr"].is_null());

    let text = fs::read_to_string(folder.path().join("made/shift.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("timestamp,anomaly_score,alert_score,state_score"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][0]), (300, "2014-04-01 00:00:00"));
    let opened: Vec<f64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(opened.iter().all(|score| (0.0..1.0).contains(score)));
    // What is told is above one half, and told once.
    assert_eq!(opened.iter().filter(|&&score| score > 0.0).count(), 1);
    assert!(opened[205..230].iter().any(|&score| score > 0.5));
}

#[test]
fn labels_are_in_a_column_or_in_a_file_beside_and_files_without_are_left_out() {
    let report = figures(&["csv", "--format", "csv"]);
    let names: Vec<&str> =
        report["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["column", "inner/beside"]);
    for stream in report["streams"].as_array().unwrap() {
        assert_eq!((&stream["events"], &stream["alerts"]["caught"]), (&1.into(), &1.into()), "{stream}");
    }
}

#[test]
fn what_is_evaluated_is_what_detect_does() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    figures(&["csv", "--format", "csv", "--scores", out]);
    let evaluated = scores(&folder.path().join("column.csv"));
    let detected = print(&fixtures(), &["detect", "csv/column.csv", "--scores", "-"]);
    let detected: Vec<&str> = detected.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    let evaluated: Vec<String> = evaluated.iter().map(|score| format!("{score:.4}")).collect();
    assert_eq!(evaluated, detected);
}

#[test]
fn the_table_has_every_stream_and_what_is_shipped() {
    let text = print(&fixtures(), &["evaluate", "csv", "--format", "csv", "--jobs", "1"]);
    for part in ["column", "inner/beside", "VUS-PR", "opened", "alerts", "MEDIAN DELAY"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn another_layout_is_an_error_that_says_what_was_expected_and_found() {
    let error = complaint(&["smd", "--format", "nab"]);
    assert!(error.contains("labels/combined_windows.json") && error.contains("`machine-a`"), "{error}");
    let error = complaint(&["nab", "--format", "smd"]);
    assert!(error.contains("test_label.txt") && error.contains("`labels`"), "{error}");
    let error = complaint(&["nab/data", "--format", "csv"]);
    assert!(error.contains("is_anomaly") && error.contains("_label.csv"), "{error}");
    assert!(complaint(&["nowhere", "--format", "csv"]).contains("nowhere: not a folder"));
}

#[test]
fn labels_for_other_rows_are_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "time,load\n1700000000,1\n1700000005,2\n").unwrap();
    fs::write(folder.path().join("a_label.csv"), "0\n1\n0\n").unwrap();
    let error = complaint(&[folder.path().to_str().unwrap(), "--format", "csv"]);
    assert!(error.contains("a.csv") && error.contains("2 scores and 3 labels"), "{error}");
    fs::write(folder.path().join("a_label.csv"), "0\nmaybe\n").unwrap();
    let error = complaint(&[folder.path().to_str().unwrap(), "--format", "csv"]);
    assert!(error.contains("a_label.csv:2: found `maybe`"), "{error}");
}

#[test]
fn scores_are_not_written_among_what_is_judged() {
    let error = complaint(&["csv", "--format", "csv", "--scores", "csv/inner/out"]);
    assert!(error.contains("is inside of csv"), "{error}");
    assert!(!fixtures().join("csv/inner/out").exists());
}
