//! How labels are written in files beside the data.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use larnax_collect::files::parse_time;
use larnax_core::Timestamp;
use larnax_evaluate::Events;

use super::sets::Named;

/// The largest file of labels that is read, in bytes: a label for each second of a year is 64 MB.
const MAX_BYTES: u64 = 256 << 20;

/// A text file of limited size.
pub(super) fn text(file: &Path) -> anyhow::Result<String> {
    let bytes = file.metadata().with_context(|| format!("{}: can't be read", file.display()))?.len();
    if bytes > MAX_BYTES {
        bail!("{}: has {bytes} bytes; expected at most {MAX_BYTES} bytes of labels", file.display());
    }
    fs::read_to_string(file).with_context(|| format!("{}: can't be read as text", file.display()))
}

/// Whether a label says anomalous: anything but 0, nothing and `false`.
pub(super) fn is_anomalous(label: &str) -> bool {
    let label = label.trim();
    match label.parse::<f64>() {
        Ok(number) => number != 0.0 && !number.is_nan(),
        Err(_) => !(label.is_empty() || label.eq_ignore_ascii_case("false")),
    }
}

/// One label per row: the last field of each line, with or without a head.
pub(super) fn rows(file: &Path) -> anyhow::Result<Events> {
    let text = text(file)?;
    let mut labels = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let label = line.rsplit(',').next().unwrap_or_default().trim();
        match label.parse::<f64>() {
            Ok(number) => labels.push(number != 0.0),
            Err(_) if labels.is_empty() && i == 0 => {}
            Err(_) => {
                let found: String = label.chars().take(40).collect();
                bail!("{}:{}: found `{found}`, expected a label 0 or 1 for each row", file.display(), i + 1)
            }
        }
    }
    Ok(Events::from_labels(labels))
}

/// `start,end` of each event, with or without a head.
pub(super) fn windows(file: &Path) -> anyhow::Result<Vec<(Timestamp, Timestamp)>> {
    let text = text(file)?;
    let mut windows = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let pair = line.split_once(',').and_then(|(start, end)| window(start, end));
        match pair {
            Some(window) => windows.push(window),
            None if i == 0 => {}
            None => {
                let found: String = line.chars().take(60).collect();
                bail!("{}:{}: found `{found}`, expected start,end of an event", file.display(), i + 1)
            }
        }
    }
    Ok(windows)
}

/// Two times, the second not before the first.
pub(super) fn window(start: &str, end: &str) -> Option<(Timestamp, Timestamp)> {
    let (start, end) = (parse_time(start)?, parse_time(end)?);
    (start <= end).then_some((start, end))
}

/// `first-end:metric,metric,…` of each event: rows from 0, the end not among them, and metrics from 1 (as in SMD).
pub(super) fn interpretation(file: &Path) -> anyhow::Result<Vec<Named>> {
    let text = text(file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            named(line).with_context(|| {
                let found: String = line.chars().take(60).collect();
                format!(
                    "{}:{}: found `{found}`, expected rows and metrics as `60-75:1,4`",
                    file.display(),
                    i + 1
                )
            })
        })
        .collect()
}

fn named(line: &str) -> Option<Named> {
    let (rows, metrics) = line.trim().split_once(':')?;
    let (first, end) = rows.split_once('-')?;
    let (first, end): (usize, usize) = (first.trim().parse().ok()?, end.trim().parse().ok()?);
    let metrics: Option<Vec<usize>> =
        metrics.split(',').map(|metric| metric.trim().parse::<usize>().ok()?.checked_sub(1)).collect();
    let mut metrics = metrics?;
    metrics.sort_unstable();
    metrics.dedup();
    // An event of one row is written with its row twice.
    Some(Named { rows: first..end.max(first.checked_add(1)?), metrics })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_count_from_one_and_an_event_has_at_least_a_row() {
        assert_eq!(named("60-75:2,1,2"), Some(Named { rows: 60..75, metrics: vec![0, 1] }));
        assert_eq!(named("7-7:3"), Some(Named { rows: 7..8, metrics: vec![2] }));
        for wrong in ["60-75", "60:1", "60-75:0", "60-75:x", "-1-3:1"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_label_is_anomalous_unless_it_is_0_or_false_or_missing() {
        assert!(["1", "1.0", "true", " 2 ", "anomaly"].iter().all(|label| is_anomalous(label)));
        assert!(!["0", "0.0", "", "False", "NaN"].iter().any(|label| is_anomalous(label)));
    }
}
