//! A diagnosis for people.

use larnax_core::{Candidate, CandidateMetric, Diagnosis};

use crate::output::{columns, short};

/// The most candidates that are shown; all are in the JSON.
const SHOWN: usize = 5;

/// What is named, the candidates, why each is one.
pub(super) fn table(diagnosis: &Diagnosis) -> String {
    let percent = (diagnosis.confidence * 100.0).round();
    let mut text = match diagnosis.candidates.first() {
        Some(first) if diagnosis.known => format!("Cause: {}, about {percent}% sure\n", first.component),
        _ => "Cause unknown\n".to_owned(),
    };
    for note in &diagnosis.notes {
        text += &format!("  {note}\n");
    }
    if diagnosis.candidates.is_empty() {
        return text;
    }
    let shown = || diagnosis.candidates.iter().take(SHOWN);
    let rows: Vec<Vec<String>> = shown().enumerate().map(|(i, candidate)| row(i + 1, candidate)).collect();
    text += "\n";
    text += &columns(&["", "component", "score", "since", "what it did"], &rows);
    for candidate in shown().filter(|candidate| !candidate.reasons.is_empty()) {
        text += &format!("\n{}\n", candidate.component);
        for reason in &candidate.reasons {
            text += &format!("  {reason}\n");
        }
    }
    text
}

fn row(place: usize, candidate: &Candidate) -> Vec<String> {
    let since = match (candidate.onset, candidate.onset_error_seconds) {
        (Some(onset), Some(error)) => format!("{onset} ± {} s", short(error)),
        (Some(onset), None) => onset.to_string(),
        (None, _) => "–".to_owned(),
    };
    let did = |metric: &CandidateMetric| {
        format!(
            "{} {} → {} ({:+.0}σ)",
            metric.metric,
            short(metric.before),
            short(metric.extreme),
            metric.deviation
        )
    };
    let metrics: Vec<String> = candidate.metrics.iter().take(2).map(did).collect();
    vec![
        place.to_string(),
        candidate.component.to_string(),
        format!("{:.2}", candidate.score),
        since,
        metrics.join(", "),
    ]
}
