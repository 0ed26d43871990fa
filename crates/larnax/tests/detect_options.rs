//! Several detectors, training, state, labels and pictures of `larnax detect`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{csv, print, run, stderr, time};

/// Runs it in `folder`, and reads the summary.
fn summary(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&print(folder, &[&["detect", "-o", "json"], arguments].concat())).unwrap()
}

/// The scores of `file`.
fn scores(folder: &Path, file: &str, options: &[&str]) -> String {
    print(folder, &[&["detect", file, "--scores", "-"], options].concat())
}

/// Lines `from` to `to` of the rows, with the head.
fn part(from: usize, to: usize) -> String {
    let text = csv(to);
    let lines: Vec<&str> = text.lines().collect();
    [&lines[..1], &lines[from + 1..]].concat().join("\n") + "\n"
}

/// A folder with `all.csv` and its two halves; the incident of rows 300 to 340 is in the second.
fn halves() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, from, to) in [("all.csv", 0, 400), ("first.csv", 0, 280), ("second.csv", 280, 400)] {
        fs::write(folder.path().join(name), part(from, to)).unwrap();
    }
    folder
}

/// The last lines of `text`.
fn last(text: &str, lines: usize) -> Vec<String> {
    let all: Vec<String> = text.lines().map(str::to_owned).collect();
    all[all.len() - lines..].to_vec()
}

#[test]
fn after_training_a_file_is_judged_like_the_end_of_one_file() {
    let folder = halves();
    let whole = scores(folder.path(), "all.csv", &[]);
    let trained = scores(folder.path(), "second.csv", &["--train", "first.csv"]);
    assert_eq!(last(&trained, 120), last(&whole, 120));
    let report = summary(folder.path(), &["second.csv", "--train", "first.csv"]);
    assert_eq!((&report["rows"], &report["alerts"]), (&120.into(), &1.into()));
}

#[test]
fn saved_state_goes_on_where_it_ended() {
    let folder = halves();
    print(folder.path(), &["detect", "first.csv", "--save", "a.state"]);
    let whole = scores(folder.path(), "all.csv", &[]);
    let loaded = scores(folder.path(), "second.csv", &["--load", "a.state", "--save", "a.state"]);
    // The alert budget starts anew: what is alerted may differ, what is anomalous not.
    let judged = |text: &str| -> Vec<String> {
        let flag = |line: &String| line.split(',').take(3).collect::<Vec<_>>().join(",");
        last(text, 120).iter().map(flag).collect()
    };
    assert_eq!(judged(&loaded), judged(&whole));
    // And again, from what was just written: the same rows are not later, and are judged as if they came next.
    let again = summary(folder.path(), &["second.csv", "--load", "a.state"]);
    assert_eq!((&again["rows"], &again["rows_unused"]), (&120.into(), &0.into()));
}

#[test]
fn files_without_times_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let no_time = |text: String| {
        text.lines().map(|l| l.split_once(',').unwrap().1.to_owned() + "\n").collect::<String>()
    };
    for (name, from, to) in [("first.csv", 0, 280), ("second.csv", 280, 400)] {
        fs::write(folder.path().join(name), no_time(part(from, to))).unwrap();
    }
    let report = summary(folder.path(), &["second.csv", "--train", "first.csv"]);
    assert_eq!((&report["rows_unused"], &report["anomalies"]), (&0.into(), &1.into()));
    // Told in the times of the file: row 20 of the second one.
    assert_eq!(report["found"][0]["onset"], "1970-01-01T00:00:20.000Z");
}

#[test]
fn a_state_that_is_none_is_refused_and_named() {
    let folder = halves();
    fs::write(folder.path().join("a.state"), "no state").unwrap();
    for name in ["a.state", "none.state"] {
        let output = run(folder.path(), &["detect", "all.csv", "--load", name]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("--load {name}")), "{}", stderr(&output));
    }
    let refused = run(folder.path(), &["detect", "all.csv", "first.csv", "--save", "b.state"]);
    assert!(stderr(&refused).contains("that of one file, found 2"), "{}", stderr(&refused));
}

#[test]
fn what_was_found_is_compared_with_labels_however_they_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let incident = |i: usize| (300..340).contains(&i);
    let rows: String = (0..400).map(|i| format!("{}\n", u8::from(incident(i)))).collect();
    fs::write(folder.path().join("rows.txt"), rows).unwrap();
    fs::write(folder.path().join("windows.csv"), format!("start,end\n{},{}\n", time(300), time(339)))
        .unwrap();
    fs::write(folder.path().join("a.csv"), csv(400)).unwrap();
    let with_column: String = csv(400)
        .lines()
        .enumerate()
        .map(|(i, line)| match i {
            0 => format!("{line},incident\n"),
            i => format!("{line},{}\n", u8::from(incident(i - 1))),
        })
        .collect();
    fs::write(folder.path().join("b.csv"), with_column).unwrap();
    let found: Vec<Value> = [["a.csv", "rows.txt"], ["a.csv", "windows.csv"], ["b.csv", "incident"]]
        .iter()
        .map(|[file, labels]| {
            let report = summary(folder.path(), &[file, "--labels", labels]);
            assert_eq!(report["metrics"], 3, "{labels}");
            report["labels"].clone()
        })
        .collect();
    assert!(found.iter().all(|labels| *labels == found[0]), "{found:?}");
    let labels = &found[0];
    for alarms in ["opened", "alerts"] {
        let found = ["events", "caught", "false_alarms"].map(|figure| labels[alarms][figure].clone());
        assert_eq!(found, [1, 1, 0].map(Value::from), "{labels}");
    }
    let delay = labels["opened"]["median_delay_seconds"].as_f64();
    assert!(delay.is_some_and(|delay| delay < 10.0), "{labels}");
    let table = print(folder.path(), &["detect", "a.csv", "--labels", "rows.txt"]);
    assert!(
        table.contains("of 1 events 1 caught, 1 by alerts; 0 false anomalies, 0 false alerts"),
        "{table}"
    );
    let output = run(folder.path(), &["detect", "a.csv", "--labels", "nowhere"]);
    assert!(stderr(&output).contains("no column of labels `nowhere`"), "{}", stderr(&output));
    fs::write(folder.path().join("rows.txt"), "0\n1\n").unwrap();
    let output = run(folder.path(), &["detect", "a.csv", "--labels", "rows.txt"]);
    assert!(stderr(&output).contains("a.csv: there are 400 scores and 2 labels"), "{}", stderr(&output));
}

#[test]
fn what_is_caught_is_counted_as_in_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    // The incident, a second one that goes by while the first alert is open, and nothing of the kind.
    let labelled = |i: usize| (298..305).contains(&i) || (330..335).contains(&i) || (100..110).contains(&i);
    let labels: String = (0..400).map(|i| format!("{}\n", u8::from(labelled(i)))).collect();
    fs::write(folder.path().join("a.csv"), csv(400)).unwrap();
    fs::write(folder.path().join("a_label.csv"), labels).unwrap();
    let detected = summary(folder.path(), &["a.csv", "--labels", "a_label.csv"]);
    let evaluated: Value =
        serde_json::from_str(&print(folder.path(), &["evaluate", ".", "--format", "csv", "-o", "json"]))
            .unwrap();
    for alarms in ["opened", "alerts"] {
        assert_eq!(detected["labels"][alarms], evaluated["all"][alarms], "{alarms}");
    }
    assert_eq!(
        (&detected["labels"]["opened"]["events"], &detected["labels"]["opened"]["caught"]),
        (&3.into(), &1.into())
    );
}

#[test]
fn a_budget_leaves_out_rows_and_says_so_and_who_takes_no_notice_of_it() {
    let folder = halves();
    let output = run(folder.path(), &["detect", "all.csv", "--detector", "auto,birch", "--budget", "1us"]);
    let said = stderr(&output);
    assert!(
        said.contains("all.csv: auto: about 1.0 µs a row, ") && said.contains("of 3 rows is judged"),
        "{said}"
    );
    assert!(said.contains("all.csv: birch: takes what it needs"), "{said}");
    let within = scores(folder.path(), "all.csv", &["--detector", "birch", "--budget", "1us"]);
    assert_eq!(within, scores(folder.path(), "all.csv", &["--detector", "birch"]));
    let refused = run(folder.path(), &["detect", "all.csv", "--budget", "0"]);
    assert!(stderr(&refused).contains("--budget: found 0"), "{}", stderr(&refused));
}

#[test]
fn a_picture_shows_the_metric_that_is_to_blame_first() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv(400)).unwrap();
    print(folder.path(), &["detect", "a.csv", "--plot", "a.svg"]);
    let svg = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    let at = |name: &str| svg.find(&format!(">{name}<")).unwrap();
    assert!(at("latency") < at("load") && at("load") < at("score (above 1 is anomalous)"));
    assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("class=\"alert\""));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing but the file and its picture");
    let refused = run(folder.path(), &["detect", "a.csv", "--plot", "a.csv"]);
    assert!(stderr(&refused).contains("would be overwritten"), "{}", stderr(&refused));
}

#[test]
fn a_detector_is_named_once_and_each_must_exist() {
    let folder = halves();
    let twice = run(folder.path(), &["detect", "all.csv", "--detector", "birch,birch"]);
    assert!(stderr(&twice).contains("`birch` is named twice"), "{}", stderr(&twice));
    let unknown = run(folder.path(), &["detect", "all.csv", "--detector", "birch,oracle"]);
    assert_eq!(unknown.status.code(), Some(2));
}
