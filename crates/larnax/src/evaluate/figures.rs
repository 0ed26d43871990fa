//! The figures of one stream.

use anyhow::Context;
use indicatif::ProgressBar;
use larnax_evaluate::{
    AtBudget, Deployed, Hits, Series, at_budget, auc_pr, hits, of_state, rank, vus_pr, window_length,
};

use super::args::{EvaluateArgs, Format};
use super::notes::{self, Notes};
use super::sets::Stream;
use crate::labels::Known;
use crate::walk::Told;

const SECONDS_A_DAY: f64 = 86_400.0;

/// What was said about a stream, and how good that was.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) notes: Notes,
    pub(super) known: Known,
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
        let mut notes = notes::take(stream, args.settings(), args.step(), bar)?;
        let in_file = || stream.file.display().to_string();
        let seen = std::mem::take(&mut notes.seen);
        let known = Known::of(&stream.truth, seen, args.step().as_secs_f64()).with_context(in_file)?;
        let series = Series::new(&notes.scores, &known.events).with_context(in_file)?;
        let ranking = if args.format == Format::Nab {
            None
        } else {
            ranking(&series, &notes.first_metric, SECONDS_A_DAY / known.row_seconds)
        };
        let state = of_state(&series, known.row_seconds);
        let caught = |told: &[Told]| known.caught(told).with_context(in_file);
        let (opened, alerts) = (caught(&notes.opened)?, caught(&notes.alerts)?);
        let hits = attribution(stream, &notes);
        Ok(Self { name: stream.name.clone(), ranking, state, opened, alerts, hits, known, notes })
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
    let events = stream.named.iter().zip(&notes.shifts);
    events
        .filter_map(|(named, shifts)| {
            let there: Vec<usize> =
                named.metrics.iter().copied().filter(|&metric| metric < notes.metrics).collect();
            hits(&rank(shifts), &there)
        })
        .collect()
}
