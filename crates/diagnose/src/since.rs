//! Since when a component has been out of its usual.

use larnax_core::{MetricName, Timestamp};

use crate::onset::{Bocpd, LATE, MAX_DIMENSIONS, backward_cusum};
use crate::sides::{Sorted, Span};
use crate::signals::Moved;

/// How many samples on both sides of an onset are asked for how certain it is.
const LOOKED_AT: usize = 30;
/// BARO's expectation of how many samples a stretch lasts.
const MEAN_RUN: f64 = 50.0;
/// What went at least this part of all its way from one sample to the next made a step.
const STEP: f64 = 0.5;
/// How certain the error is.
const CERTAIN: f64 = 0.9;

/// When something began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Since<'a> {
    pub(crate) time: Timestamp,
    /// The metric that began.
    pub(crate) metric: &'a MetricName,
    /// How far that may be off, in seconds. Never less than the time between samples.
    pub(crate) error: f64,
}

impl Since<'_> {
    /// Whether it surely began before the other one.
    pub(crate) fn before(&self, other: &Since<'_>) -> bool {
        other.time.since(self.time) >= self.error + other.error
    }
}

/// The row at which a metric began to leave what it did: followed back from the first value beyond all normal ones on the side to
/// which it went. None if it never got there. A step is not followed back: what comes before it is noise.
pub(crate) fn row(moved: &Moved<'_>, sorted: &Sorted<'_>, span: &Span) -> Option<usize> {
    let rows = sorted.rows(&span.incident);
    let up = moved.extreme > moved.normal.mean;
    let is_out = |value: &f64| if up { *value > moved.normal.high } else { *value < moved.normal.low };
    let flagged = rows.start + sorted.values().get(rows.clone())?.iter().position(is_out)?;
    let z = |row: usize| sorted.values().get(row).map(|value| moved.normal.z(*value));
    let before = flagged.checked_sub(1).and_then(z);
    let step = before.zip(z(flagged)).map_or(0.0, |(before, at)| (at - before).abs());
    if step >= STEP * moved.z().abs() {
        return Some(flagged);
    }
    // What came long before the incident is no part of it.
    let back = (LATE.as_secs_f64() / sorted.period()).ceil() as usize;
    let from = rows.start.saturating_sub(back);
    let side = if up { 1.0 } else { -1.0 };
    let deviations: Vec<f64> =
        sorted.values().get(from..=flagged)?.iter().map(|value| side * moved.normal.z(*value)).collect();
    Some(from + backward_cusum(&deviations, flagged - from))
}

/// When a component began, by those of its metrics that moved: the earliest of their beginnings. How far it may be off is what
/// Bayesian change-point detection on all of them together makes of it: its distance, and its own spread.
pub(crate) fn since<'a>(moved: &[&Moved<'a>], series: &[Sorted<'_>], span: &Span) -> Option<Since<'a>> {
    let rows = moved.iter().filter_map(|moved| {
        let sorted = series.get(moved.series)?;
        Some((*sorted.times().get(row(moved, sorted, span)?)?, *moved, sorted))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(time, ..)| *time);
    let &(time, earliest, first) = rows.first()?;
    let period = first.period();
    let at = first.times().partition_point(|earlier| *earlier < time);
    let window = at.saturating_sub(LOOKED_AT)..(at + LOOKED_AT).min(first.times().len());
    // Together only where they were sampled together.
    let together: Vec<_> = rows
        .iter()
        .filter(|(_, _, sorted)| sorted.times().get(window.clone()) == first.times().get(window.clone()))
        .take(MAX_DIMENSIONS)
        .collect();
    let mut detection = Bocpd::new(together.len(), MEAN_RUN);
    let mut sample = Vec::with_capacity(together.len());
    let mut error = LOOKED_AT;
    for row in window {
        sample.clear();
        sample.extend(
            together.iter().map(|(_, moved, sorted)| {
                sorted.values().get(row).map_or(0.0, |value| moved.normal.z(*value))
            }),
        );
        detection.push(&sample);
        let length = detection.run_length();
        let began = (row + 1).saturating_sub(length);
        if row < at || began + LOOKED_AT / 2 <= at {
            continue;
        }
        // As soon as it is certain: what changes later is another change.
        let is_certain =
            |half: &usize| detection.probability(length.saturating_sub(*half), length + half) >= CERTAIN;
        if let Some(spread) = (0..LOOKED_AT / 2).find(is_certain) {
            error = began.abs_diff(at).max(spread).min(LOOKED_AT);
            break;
        }
    }
    Some(Since { time, error: period * error.max(1) as f64, metric: earliest.metric })
}
