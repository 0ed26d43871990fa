//! The summary of one file.

use std::path::Path;

use larnax_core::{Anomaly, AnomalyId, Verdict};
use serde::Serialize;

use crate::output::columns;

/// How many problems of a file are named.
const MAX_PROBLEMS: usize = 5;

/// What was found in one file.
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
            problems: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Counts one row; without a verdict it could not be used.
    pub(crate) fn row(&mut self, verdict: Option<&Verdict>, problem: Option<(u64, String)>) {
        self.rows += 1;
        self.rows_unused += u64::from(verdict.is_none());
        self.anomalous_rows += u64::from(verdict.is_some_and(|v| v.score.is_anomalous()));
        if let Some((line, problem)) = problem.filter(|_| self.problems.len() < MAX_PROBLEMS) {
            self.problems.push(format!("line {line}: {problem}"));
        }
    }

    /// Whether this anomaly was not alerted before.
    pub(crate) fn is_new_alert(&self, anomaly: &Anomaly) -> bool {
        self.earlier(anomaly.id).is_none_or(|known| !known.alerted)
    }

    fn earlier(&self, id: AnomalyId) -> Option<&Anomaly> {
        self.found.iter().rev().find(|known| known.id == id)
    }

    /// Keeps the latest of each anomaly.
    pub(crate) fn anomaly(&mut self, anomaly: Anomaly) {
        self.alerts += usize::from(anomaly.alerted && self.is_new_alert(&anomaly));
        match self.found.iter_mut().rev().find(|known| known.id == anomaly.id) {
            Some(known) => *known = anomaly,
            None => {
                self.anomalies += 1;
                self.found.push(anomaly);
            }
        }
    }

    /// Sums up.
    pub(crate) fn finish(mut self, cpu_seconds: f64) -> Self {
        self.cpu_seconds = cpu_seconds;
        self.cpu_microseconds_per_sample = 1e6 * cpu_seconds / (self.rows.max(1) as f64);
        self
    }
}

/// For people.
pub(crate) fn table(reports: &[FileReport]) -> String {
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
