//! The small labelled set that every test run judges: made, so that the truth is known and no licence is in the way, and
//! made anew each time from the same seeds, so that it needs no room in the repository.
//!
//! - `machine`: 16 metrics that follow each other, every minute for six days, with 16 faults of eight kinds.
//! - `series`: four metrics by themselves, every five minutes for two weeks, with three faults each.
//! - `host`: what a quiet machine really did for half an hour, all its metrics every second, with eight faults laid over it.

mod host;
mod machine;
mod noise;
mod series;

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};

use super::sets::Set;

/// Writes the sets below `folder`.
pub(super) fn write(folder: &Path) -> Result<Vec<Set>> {
    let set = |name, arguments| Set { name, folder: folder.join(name), arguments };
    let sets = vec![
        set("machine", &["--format", "smd"][..]),
        set("series", &["--format", "csv"]),
        set("host", &["--format", "csv"]),
    ];
    let write = |path: String, text: String| -> Result<()> {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| path.display().to_string())
    };
    let machine = machine::make();
    write("machine/made/train.csv".into(), rows(&machine.train))?;
    write("machine/made/test.csv".into(), rows(&machine.test))?;
    write("machine/made/test_label.txt".into(), labels(machine.test.len(), &machine.faults))?;
    let mut named = String::new();
    for (fault, metrics) in machine.faults.iter().zip(&machine.named) {
        let metrics: Vec<String> = metrics.iter().map(|metric| (metric + 1).to_string()).collect();
        // Writing to a string can't fail.
        let _ = writeln!(named, "{}-{}:{}", fault.start, fault.end, metrics.join(","));
    }
    write("machine/made/interpretation_label.txt".into(), named)?;
    for series in series::make() {
        let mut text = String::from("time,value\n");
        for (i, value) in series.values.iter().enumerate() {
            let _ = writeln!(text, "{},{}", series::time(i), short(*value));
        }
        write(format!("series/{}.csv", series.name), text)?;
        write(format!("series/{}_label.csv", series.name), labels(series.values.len(), &series.faults))?;
    }
    let host = host::make()?;
    write("host/host.csv".into(), host.text)?;
    write("host/host_label.csv".into(), labels(host.rows, &host.faults))?;
    Ok(sets)
}

/// A line of values for each row.
fn rows(rows: &[Vec<f64>]) -> String {
    let line = |row: &Vec<f64>| row.iter().map(|value| short(*value)).collect::<Vec<_>>().join(",") + "\n";
    rows.iter().map(line).collect()
}

/// 0 or 1 for each row.
fn labels(rows: usize, faults: &[Range<usize>]) -> String {
    (0..rows).map(|row| if faults.iter().any(|fault| fault.contains(&row)) { "1\n" } else { "0\n" }).collect()
}

/// Five significant digits: what differs beyond them, between the mathematics of two platforms, stays outside.
fn short(value: f64) -> String {
    format!("{value:.4e}").parse::<f64>().map_or_else(|_| value.to_string(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_are_the_same_each_time_and_their_faults_do_not_touch() {
        let (one, other) = (machine::make(), machine::make());
        assert_eq!(one.test, other.test);
        assert_eq!((one.test[0].len(), one.faults.len(), one.named.len()), (16, 16, 16));
        let host = host::make().unwrap();
        let all = [one.faults, host.faults].into_iter().chain(series::make().into_iter().map(|s| s.faults));
        for faults in all {
            assert!(faults.windows(2).all(|pair| pair[0].end + 100 < pair[1].start), "{faults:?}");
        }
        assert!(one.test.iter().flatten().chain(one.train.iter().flatten()).all(|value| value.is_finite()));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([short(1.0 / 3.0), short(0.0), short(1.23456e9)], ["0.33333", "0", "1234600000"]);
    }
}
