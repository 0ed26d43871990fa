//! The summary of what one detector found in one file.

use std::path::Path;

use larnax_core::{Anomaly, Verdict};
use serde::Serialize;

use crate::labels::Caught;
use crate::output::columns;

/// How many problems of a file are named.
const MAX_PROBLEMS: usize = 5;

/// How much of what is known was told.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    /// By anomalies, alerted or only recorded.
    pub(crate) opened: Caught,
    /// By alerts alone.
    pub(crate) alerts: Caught,
}

/// What one detector found in one file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    file: String,
    detector: String,
    /// Rows read, without the head.
    pub(crate) rows: u64,
    rows_unused: u64,
    metrics: usize,
    /// Rows with a score above 1.
    anomalous_rows: u64,
    anomalies: usize,
    alerts: usize,
    pub(crate) cpu_seconds: f64,
    cpu_microseconds_per_sample: f64,
    /// Compared with labels, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Findings>,
    problems: Vec<String>,
    found: Vec<Anomaly>,
}

impl FileReport {
    pub(crate) fn new(file: &Path, detector: &str, metrics: usize) -> Self {
        Self {
            file: file.display().to_string(),
            detector: detector.to_owned(),
            rows: 0,
            rows_unused: 0,
            metrics,
            anomalous_rows: 0,
            anomalies: 0,
            alerts: 0,
            cpu_seconds: 0.0,
            cpu_microseconds_per_sample: 0.0,
            labels: None,
            problems: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Counts one row; without a verdict it could not be used.
    pub(crate) fn row(&mut self, verdict: Option<&Verdict>, problem: Option<(u64, &str)>) {
        self.rows += 1;
        self.rows_unused += u64::from(verdict.is_none());
        self.anomalous_rows += u64::from(verdict.is_some_and(|v| v.score.is_anomalous()));
        if let Some((line, problem)) = problem.filter(|_| self.problems.len() < MAX_PROBLEMS) {
            self.problems.push(format!("line {line}: {problem}"));
        }
    }

    /// Keeps the latest of each anomaly.
    pub(crate) fn anomaly(&mut self, anomaly: Anomaly) {
        match self.found.iter_mut().rev().find(|known| known.id == anomaly.id) {
            Some(known) => *known = anomaly,
            None => {
                self.anomalies += 1;
                self.found.push(anomaly);
            }
        }
    }

    /// The file's name, without its folder.
    pub(crate) fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or_default()
    }

    /// What was found so far, in order of time.
    pub(crate) fn found(&self) -> &[Anomaly] {
        &self.found
    }

    /// Sums up.
    pub(crate) fn finish(mut self, cpu_seconds: f64, alerts: usize, labels: Option<Findings>) -> Self {
        (self.alerts, self.labels) = (alerts, labels);
        self.cpu_seconds = cpu_seconds;
        self.cpu_microseconds_per_sample = 1e6 * cpu_seconds / (self.rows.max(1) as f64);
        self
    }
}

/// For people: one report after the other.
pub(crate) fn in_full(reports: &[FileReport]) -> String {
    let mut text = String::new();
    for report in reports {
        text += &format!(
            "{}: {} rows of {} metrics, {} anomalies, {} alerts ({} rows above 1, {} unused; {}, {:.1} µs CPU a row)\n",
            report.file,
            report.rows,
            report.metrics,
            report.anomalies,
            report.alerts,
            report.anomalous_rows,
            report.rows_unused,
            report.detector,
            report.cpu_microseconds_per_sample,
        );
        if let Some(found) = &report.labels {
            text += &format!(
                "  of {} events {} caught, {} by alerts; {} false anomalies, {} false alerts; median delay {}, {} to the \
                 alert\n",
                found.opened.events,
                found.opened.caught,
                found.alerts.caught,
                found.opened.false_alarms,
                found.alerts.false_alarms,
                found.opened.delay(),
                found.alerts.delay(),
            );
        }
        for problem in &report.problems {
            text += &format!("  {problem}\n");
        }
        if !report.found.is_empty() {
            let rows: Vec<Vec<String>> = report.found.iter().map(row).collect();
            text += &columns(&["ONSET", "END", "PEAK", "ALERTED", "METRICS"], &rows);
        }
    }
    text
}

/// For people: a row for each detector and file.
pub(crate) fn side_by_side(reports: &[FileReport]) -> String {
    let mut head = vec!["FILE", "DETECTOR", "ROWS", "ANOMALIES", "ALERTS", "ROWS ABOVE 1", "CPU A ROW"];
    let labelled = reports.iter().any(|report| report.labels.is_some());
    if labelled {
        head.extend(["CAUGHT", "BY ALERTS", "FALSE", "FALSE ALERTS", "DELAY", "ALERT DELAY"]);
    }
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            let mut row = vec![
                report.file.clone(),
                report.detector.clone(),
                report.rows.to_string(),
                report.anomalies.to_string(),
                report.alerts.to_string(),
                report.anomalous_rows.to_string(),
                format!("{:.1} µs", report.cpu_microseconds_per_sample),
            ];
            if let Some(found) = &report.labels {
                row.extend([
                    format!("{}/{}", found.opened.caught, found.opened.events),
                    format!("{}/{}", found.alerts.caught, found.alerts.events),
                    found.opened.false_alarms.to_string(),
                    found.alerts.false_alarms.to_string(),
                    found.opened.delay(),
                    found.alerts.delay(),
                ]);
            }
            row
        })
        .collect();
    let mut text = columns(&head, &rows);
    let mut said: Vec<&String> = Vec::new();
    for problem in reports.iter().flat_map(|report| &report.problems) {
        // Each detector met the same rows.
        if !said.contains(&problem) {
            text += &format!("  {problem}\n");
            said.push(problem);
        }
    }
    text
}

fn row(anomaly: &Anomaly) -> Vec<String> {
    let top: Vec<String> =
        anomaly.metrics.iter().take(4).map(|c| format!("{}:{:+.1}", c.metric, c.deviation)).collect();
    vec![
        anomaly.onset.to_string(),
        anomaly.closed.map_or_else(|| "open".to_owned(), |closed| closed.to_string()),
        format!("{:.1}", anomaly.peak.get()),
        if anomaly.alerted { "yes" } else { "no" }.to_owned(),
        top.join(" "),
    ]
}

#[cfg(test)]
mod tests {
    use larnax_evaluate::Deployed;

    use super::*;

    #[test]
    fn several_detectors_stand_side_by_side_and_a_problem_of_the_file_is_said_once() {
        let caught = |caught: usize| {
            let delays = vec![150.0; caught];
            Caught::from(&Deployed { events: 2, caught, false_alarms: 3, delays, ..Deployed::default() })
        };
        let report = |detector: &str| {
            let mut report = FileReport::new(Path::new("a.csv"), detector, 3);
            report.row(None, Some((7, "a bad time")));
            report.finish(0.5, 0, Some(Findings { opened: caught(1), alerts: caught(0) }))
        };
        let text = side_by_side(&[report("birch"), report("other")]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1][..3], ["a.csv", "birch", "1"]);
        assert_eq!(lines[2][1], "other");
        assert_eq!(lines[2][lines[2].len() - 7..], ["1/2", "0/2", "3", "3", "2.5", "min", "–"], "{text}");
        assert_eq!(lines[3].join(" "), "line 7: a bad time");
    }
}
