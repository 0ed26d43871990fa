//! The figures of one stream.

use std::ops::Range;

use anyhow::Context;
use indicatif::ProgressBar;
use larnax_evaluate::{
    Alert, AtBudget, Deployed, Events, Hits, Series, at_budget, auc_pr, hits, of_alerts, of_state, rank,
    vus_pr, window_length,
};

use super::args::{EvaluateArgs, Format};
use super::sets::{Stream, Truth};
use super::walk::{self, Notes, Told};

const SECONDS_A_DAY: f64 = 86_400.0;

/// What was said about a stream, and how good that was.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) notes: Notes,
    pub(super) events: Events,
    /// The labelled windows as they stand; in `events`, those that touch are one.
    pub(super) windows: Vec<Range<usize>>,
    pub(super) ranking: Option<Ranking>,
    pub(super) state: Deployed,
    pub(super) opened: Deployed,
    pub(super) alerts: Deployed,
    /// One for each event of which people named the metrics.
    pub(super) hits: Vec<Hits>,
}

/// How well the score ranks rows, whatever the threshold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranking {
    /// The longest edge of an event for VUS-PR, in rows.
    pub(super) window: usize,
    pub(super) vus_pr: f64,
    pub(super) auc_pr: f64,
    pub(super) ev1: AtBudget,
}

impl Outcome {
    /// Judges a stream. Figures over all thresholds are not for NAB: its windows are a tenth of each stream wide, however
    /// short the anomaly.
    pub(super) fn of(stream: &Stream, args: &EvaluateArgs, bar: &ProgressBar) -> anyhow::Result<Self> {
        bar.set_message(stream.name.clone());
        let notes = walk::walk(stream, args.detector, args.step(), bar)?;
        let in_file = || stream.file.display().to_string();
        let rows = notes.scores.len();
        let (events, windows) = match &stream.truth {
            Truth::Rows(events) => (events.clone(), events.iter().cloned().collect()),
            Truth::Column => {
                let events = Events::from_labels(notes.labels.iter().copied());
                let windows = events.iter().cloned().collect();
                (events, windows)
            }
            Truth::Windows(instants) => {
                let windows = instants
                    .iter()
                    .map(|&window| {
                        walk::rows_of(&notes.times, window).with_context(|| {
                            format!(
                                "{}: has no row in the labelled window {} to {}",
                                in_file(),
                                window.0,
                                window.1
                            )
                        })
                    })
                    .collect::<anyhow::Result<Vec<_>>>()?;
                (Events::from_stretches(rows, windows.iter().cloned()), windows)
            }
        };
        let row_seconds = row_seconds(&notes).unwrap_or(args.step().as_secs_f64());
        let series = Series::new(&notes.scores, &events).with_context(in_file)?;
        let ranking = if args.format == Format::Nab {
            None
        } else {
            ranking(&series, &notes.first_metric, SECONDS_A_DAY / row_seconds)
        };
        let state = of_state(&series, row_seconds);
        let told = |told: &[Told]| {
            let alerts: Vec<Alert> = told.iter().map(|told| told.alert).collect();
            of_alerts(&alerts, &events, row_seconds).with_context(in_file)
        };
        let (opened, alerts) = (told(&notes.opened)?, told(&notes.alerts)?);
        let hits = attribution(stream, &notes);
        Ok(Self { name: stream.name.clone(), ranking, state, opened, alerts, hits, events, windows, notes })
    }

    /// CPU of one row, in microseconds.
    pub(super) fn cpu_microseconds(&self) -> f64 {
        1e6 * self.notes.cpu_seconds / (self.notes.train_rows + self.notes.scores.len()).max(1) as f64
    }
}

fn ranking(series: &Series<'_>, first_metric: &[f64], rows_a_day: f64) -> Option<Ranking> {
    let window = window_length(first_metric);
    Some(Ranking {
        window,
        vus_pr: vus_pr(series, window)?,
        auc_pr: auc_pr(series)?,
        ev1: at_budget(series, rows_a_day)?,
    })
}

/// Metrics ranked by how far each deviated at most while people saw the event, against those that people named.
fn attribution(stream: &Stream, notes: &Notes) -> Vec<Hits> {
    let events = stream.named.iter().zip(&notes.deviations);
    events
        .filter_map(|(named, deviations)| {
            let there: Vec<usize> =
                named.metrics.iter().copied().filter(|&metric| metric < notes.metrics).collect();
            hits(&rank(deviations), &there)
        })
        .collect()
}

/// The usual time between rows, in seconds.
fn row_seconds(notes: &Notes) -> Option<f64> {
    let times: Vec<f64> = notes.times.iter().flatten().map(|time| time.seconds()).collect();
    let mut gaps: Vec<f64> =
        times.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied()
}
