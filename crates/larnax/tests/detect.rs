//! `larnax detect` as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::{csv, larnax, print, rows, run, stderr, time};

const HEAD: &str = "timestamp,score,anomalous,alert,warmup,top_metrics";

/// One row of scores.
#[derive(Clone, Debug, PartialEq)]
struct Score {
    time: String,
    score: String,
    anomalous: bool,
    alert: bool,
    warm_up: bool,
    top: String,
}

fn parse(text: &str) -> Vec<Score> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEAD));
    let flag = |text: &str| match text {
        "0" => false,
        "1" => true,
        other => panic!("`{other}` is no flag"),
    };
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [time, score, anomalous, alert, warm_up, top] = fields[..] else { panic!("{line}") };
            Score {
                time: time.to_owned(),
                score: score.to_owned(),
                anomalous: flag(anomalous),
                alert: flag(alert),
                warm_up: flag(warm_up),
                top: top.to_owned(),
            }
        })
        .collect()
}

/// The scores of a text, under the name `metrics.csv`.
fn scores(text: &str, options: &[&str]) -> Vec<Score> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.csv"), text).unwrap();
    parse(&print(folder.path(), &[&["detect", "metrics.csv", "--scores", "-"], options].concat()))
}

fn summary(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&print(folder, &[&["detect", "-o", "json"], arguments].concat())).unwrap()
}

#[test]
fn there_is_one_row_per_row_in_the_same_order_with_its_time_as_it_was() {
    let scores = scores(&csv(400), &[]);
    assert_eq!(scores.len(), 400);
    assert!(scores.iter().enumerate().all(|(i, row)| row.time == time(i)));
    assert!(scores[0].warm_up && !scores[299].warm_up);
    assert!(scores.iter().all(|row| row.score.parse::<f64>().is_ok_and(|s| (s > 1.0) == row.anomalous)));
}

#[test]
fn times_are_echoed_byte_by_byte_however_they_are_written() {
    let times =
        ["2023-11-14T22:13:20+01:00", "2023-11-14 22:13:21.500", " 2023-11-14T22:13:22Z ", "1700000003"];
    let text: String = times.iter().map(|time| format!("{time};1\n")).collect();
    let found: Vec<String> =
        scores(&format!("time;a\n{text}"), &[]).into_iter().map(|row| row.time).collect();
    assert_eq!(found, times);
}

#[test]
fn a_shift_is_anomalous_alerted_once_and_blamed_on_its_metric() {
    let scores = scores(&csv(400), &[]);
    assert!(scores[..300].iter().all(|row| row.warm_up || !row.anomalous), "nothing is wrong before");
    assert!(scores[301..339].iter().all(|row| row.anomalous));
    assert_eq!(scores.iter().filter(|row| row.alert).count(), 1);
    assert!(scores[300..310].iter().any(|row| row.alert));
    for row in &scores[300..340] {
        let parts: Vec<&str> = row.top.split(';').collect();
        let (name, deviation) = parts[0].rsplit_once(':').unwrap();
        assert_eq!(name, "latency");
        assert!(deviation.starts_with('+') && deviation.split_once('.').unwrap().1.len() == 1, "{}", row.top);
        assert!(deviation.parse::<f64>().unwrap() > 1.0);
    }
}

#[test]
fn the_first_rows_are_judged_the_same_whatever_comes_after_them() {
    let text = csv(400);
    let whole = scores(&text, &[]);
    for rows in [1, 2, 3, 37, 150, 299, 301, 305, 399] {
        let cut: String = text.lines().take(rows + 1).flat_map(|line| [line, "\n"]).collect();
        assert_eq!(scores(&cut, &[]), whole[..rows], "cut after {rows} rows");
    }
}

#[test]
fn a_file_without_names_or_without_times_is_judged_as_well() {
    let with_all = scores(&csv(400), &[]);
    let nameless: String = csv(400).lines().skip(1).flat_map(|line| [line, "\n"]).collect();
    let nameless = scores(&nameless, &[]);
    let score = |rows: &[Score]| rows.iter().map(|row| row.score.clone()).collect::<Vec<_>>();
    assert_eq!(score(&nameless), score(&with_all));
    assert!(!nameless[320].top.contains("latency"));

    let timeless: String = "load,latency,errors\n".to_owned()
        + &rows(400).iter().map(|[a, b, c]| format!("{a},{b},{c}\n")).collect::<String>();
    assert_eq!(score(&scores(&timeless, &[])), score(&with_all), "one second is the step by default");
    let slow = scores(&timeless, &["--step", "5s"]);
    assert_eq!(slow.len(), 400);
    assert!(slow[320].anomalous);
}

#[test]
fn labels_are_not_metrics() {
    let mut lines: Vec<String> = csv(400).lines().map(str::to_owned).collect();
    lines[0] += ",label,is_anomaly";
    for (i, line) in lines.iter_mut().enumerate().skip(1) {
        *line += if (301..341).contains(&i) { ",1,1" } else { ",0,0" };
    }
    assert_eq!(scores(&(lines.join("\n") + "\n"), &[]), scores(&csv(400), &[]));
}

#[test]
fn a_row_that_can_t_be_used_keeps_its_place_and_has_no_score() {
    let mut lines: Vec<String> = csv(400).lines().map(str::to_owned).collect();
    lines[101] = "not a time,1,2,3".to_owned();
    lines[151] = format!("{},,,", time(150));
    lines[201] = lines[200].clone();
    // Ragged: fewer fields are missing values, more are too many.
    lines[251] = format!("{},2.0", time(250));
    let scores = scores(&(lines.join("\n") + "\n"), &[]);
    assert_eq!(scores.len(), 400);
    for row in [100, 150, 200] {
        assert_eq!((scores[row].score.as_str(), scores[row].top.as_str()), ("", ""), "row {row}");
        assert!(!scores[row].anomalous && !scores[row].alert);
    }
    assert_eq!(scores[100].time, "not a time");
    assert!([99, 101, 149, 151, 199, 201, 249, 251].iter().all(|&row| !scores[row].score.is_empty()));
    assert!(scores[320].anomalous);
}

#[test]
fn a_compressed_file_and_a_pipe_are_judged_like_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = scores(&csv(400), &[]);
    let file = fs::File::create(folder.path().join("metrics.csv.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(csv(400).as_bytes()).unwrap();
    gz.finish().unwrap();
    assert_eq!(parse(&print(folder.path(), &["detect", "metrics.csv.gz", "--scores", "-"])), whole);

    let mut command = larnax();
    command.args(["detect", "-", "--scores", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(csv(400).as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!(parse(&String::from_utf8(output.stdout).unwrap()), whole);
}

#[test]
fn several_files_have_their_scores_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for name in ["a.csv", "b.csv"] {
        fs::write(place.join(name), csv(400)).unwrap();
    }
    let refused = run(place, &["detect", "a.csv", "b.csv", "--scores", "out"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("a folder that exists"), "{}", stderr(&refused));

    fs::create_dir(place.join("out")).unwrap();
    print(place, &["detect", "a.csv", "b.csv", "--scores", "out"]);
    for name in ["a", "b"] {
        let text = fs::read_to_string(place.join(format!("out/{name}.scores.csv"))).unwrap();
        assert_eq!(parse(&text), scores(&csv(400), &[]));
    }
    fs::create_dir(place.join("other")).unwrap();
    fs::write(place.join("other/a.csv"), csv(10)).unwrap();
    let refused = run(place, &["detect", "a.csv", "other/a.csv", "--scores", "out"]);
    assert!(stderr(&refused).contains("would go to one file"), "{}", stderr(&refused));
}

#[test]
fn an_input_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv(10)).unwrap();
    let refused = run(folder.path(), &["detect", "a.csv", "--scores", "./a.csv"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("would be overwritten"), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), csv(10));
}

#[test]
fn the_summary_counts_rows_metrics_anomalies_and_alerts_and_says_what_it_cost() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv(400) + "not a time,1,2,3\n").unwrap();
    let report = summary(folder.path(), &["a.csv"]);
    for (field, value) in [("rows", 401), ("rows_unused", 1), ("metrics", 3), ("anomalies", 1), ("alerts", 1)]
    {
        assert_eq!(report[field], value, "{field}");
    }
    assert!(report["anomalous_rows"].as_u64().unwrap() >= 40);
    assert!(report["cpu_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["cpu_microseconds_per_sample"].as_f64().unwrap() > 0.0);
    assert!(report["problems"][0].as_str().unwrap().starts_with("line 402: "), "{report}");
    let found = &report["found"][0];
    assert_eq!((&found["alerted"], &found["metrics"][0]["metric"]), (&true.into(), &"latency".into()));
    assert_eq!(found["onset"], "2023-11-14T22:18:20.000Z");
}

#[test]
fn the_summary_is_a_table_or_yaml_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv(400)).unwrap();
    let table = print(folder.path(), &["detect", "a.csv"]);
    assert!(table.starts_with("a.csv: 400 rows of 3 metrics, 1 anomalies, 1 alerts"), "{table}");
    assert!(table.contains("ONSET") && table.contains("latency:+"), "{table}");
    let yaml = print(folder.path(), &["detect", "a.csv", "-o", "yaml"]);
    assert!(yaml.contains("rows: 400") && yaml.contains("kind: deviation"), "{yaml}");
}

#[test]
fn a_file_that_can_t_be_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.csv"), "").unwrap();
    for name in ["none.csv", "empty.csv"] {
        let output = run(folder.path(), &["detect", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty() && stderr(&output).contains(name), "{}", stderr(&output));
    }
    assert_eq!(run(folder.path(), &["detect"]).status.code(), Some(2));
    assert_eq!(run(folder.path(), &["detect", "a.csv", "--detector", "oracle"]).status.code(), Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), csv(6000)).unwrap();
    let mut command = larnax();
    command.current_dir(folder.path()).args(["detect", "a.csv", "--scores", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // Dropped with the reader, after one line.
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first.trim_end(), HEAD);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
}
