//! Three metrics or fewer: each is worth a thorough look of its own ([`super::univariate`]), and there is no company to ask.

use larnax_core::{Metric, MetricVerdict, Row, Verdict};

use super::univariate::{Context, Series};
use crate::detector::Tuning;

/// The most metrics that count as few. More than that tell something together.
pub(super) const MOST: usize = 3;
/// Seconds and values that a series must have seen before it is left alone with its judgement: what is rarer than once a
/// week can't be known sooner, and until then bands judge.
const EXPERIENCE: (f64, f64) = (3_600.0, 60.0);
/// Weight of what is learnt while an anomaly lasts: enough to know afterwards that such values happen, and little enough to
/// hold an anomaly for hours.
const SUSPECT: f64 = 0.1;

/// A series per metric; none when there are many metrics.
#[derive(Debug, Default)]
pub(super) struct Few(pub(super) Vec<Series>);

/// What was found in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The largest state: above 1 while an anomaly lasts.
    pub state: f64,
    /// The largest onset: above 1 where something begins.
    pub onset: f64,
    /// Whose state it is.
    pub metric: Option<usize>,
}

impl Few {
    pub(super) fn rearrange(&mut self, from: &[Option<usize>]) {
        if from.len() > MOST {
            self.0.clear();
            return;
        }
        let old = std::mem::take(&mut self.0);
        let kept = |at: &Option<usize>| at.and_then(|at| old.get(at).cloned()).unwrap_or_default();
        self.0 = from.iter().map(kept).collect();
    }

    /// Judges a row. None, and the verdict is as it was, while too little is known or there are many metrics.
    pub(super) fn judge(
        &mut self,
        metrics: &[Metric],
        row: Row<'_>,
        tuning: Tuning,
        verdict: &mut Verdict,
    ) -> Option<Found> {
        let mut found = Found { state: 0.0, onset: 0.0, metric: None };
        let experienced = !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|series| series.seen() >= EXPERIENCE.1.max(EXPERIENCE.0 / tuning.period.max(1e-3)));
        let tail = tuning.tail / self.0.len().max(1) as f64;
        let slots = verdict.metrics.iter_mut().zip(metrics).zip(row.values);
        for (i, (series, ((out, metric), &x))) in self.0.iter_mut().zip(slots).enumerate() {
            let context = Context { period: tuning.period, tail, bounds: metric.bounds };
            let judged = series.judge(x, row.time, &context);
            if !experienced {
                continue;
            }
            *out = MetricVerdict {
                expected: judged.expected,
                lower: judged.expected - judged.half_width,
                upper: judged.expected + judged.half_width,
                deviation: judged.deviation,
            };
            found.onset = found.onset.max(judged.onset);
            if judged.state > found.state {
                (found.state, found.metric) = (judged.state, Some(i));
            }
        }
        experienced.then_some(found)
    }

    pub(super) fn learn(&mut self, weight: f64) {
        let weight = if weight > 0.0 { weight.max(SUSPECT) } else { 0.0 };
        self.0.iter_mut().for_each(|series| series.learn(weight));
    }

    pub(super) fn gap(&mut self) {
        self.0.iter_mut().for_each(Series::gap);
    }

    pub(super) fn adopt(&mut self) {
        self.0.iter_mut().for_each(Series::adopt);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Series::state_bytes).sum()
    }
}
