//! Verdicts: what a detector says about one sample.

use serde::{Deserialize, Serialize};

use crate::{MetricName, Schema, Timestamp};

/// How far from normal: at most 1 is normal, above 1 is anomalous, everywhere outside a detector. Never negative,
/// always finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(f64);

impl Score {
    /// The largest score that is told apart; what is beyond it (infinities included) becomes it.
    pub const MAX: f64 = 1e6;

    /// Negative numbers and NaN become 0, what is above [`Score::MAX`] becomes that.
    pub fn new(raw: f64) -> Self {
        Self(if raw > 0.0 { raw.min(Self::MAX) } else { 0.0 })
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether it is above 1.
    pub fn is_anomalous(self) -> bool {
        self.0 > 1.0
    }
}

/// How much a verdict can be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Status {
    /// Too little has been seen: no bands yet, the score is 0.
    #[default]
    WarmingUp,
    /// Bands are shown and scores are given, but nothing is alerted yet.
    Provisional,
    /// Normal is known.
    Ready,
    /// Fewer than half of the metrics had a value: no judgement, nothing is learnt.
    Unknown,
}

/// What a detector expects of one metric, and how far the value is from it. All NaN where there is no expectation yet,
/// `deviation` NaN where the value is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricVerdict {
    /// The expected value, in the metric's unit.
    pub expected: f64,
    /// The lower edge of the expected band.
    pub lower: f64,
    /// The upper edge of the expected band.
    pub upper: f64,
    /// Signed distance from the expected value in half-widths of the band: beyond ±1 is outside the band.
    pub deviation: f64,
}

impl MetricVerdict {
    /// No expectation.
    pub const NONE: Self = Self { expected: f64::NAN, lower: f64::NAN, upper: f64::NAN, deviation: f64::NAN };
}

/// What a detector says about one sample. Owned by the caller and reused.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How far from normal the sample is as a whole; it holds while an anomaly lasts.
    pub score: Score,
    /// How strongly this sample alone says that something has begun. Above 1 an anomaly opens at once; 0 where nothing
    /// begins, and where the detector leaves it to the tracker to count anomalous samples.
    pub onset: Score,
    /// How much the verdict can be relied on.
    pub status: Status,
    /// One entry per metric of the schema.
    pub metrics: Vec<MetricVerdict>,
}

/// One metric's part in an anomaly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contribution {
    /// Which metric.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: MetricName,
    /// Signed, in half-widths of its band: +3 is three half-widths above the expected value.
    pub deviation: f64,
    /// Since when it has been outside its band; none where it is inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub since: Option<Timestamp>,
}

impl Verdict {
    /// Makes room for `metrics` metrics and forgets what stood there. Allocates only when it grows.
    pub fn reset(&mut self, metrics: usize) {
        self.score = Score::default();
        self.onset = Score::default();
        self.status = Status::default();
        self.metrics.clear();
        self.metrics.resize(metrics, MetricVerdict::NONE);
    }

    /// The `n` metrics that deviate most, largest first, as positions in the schema. Metrics without a deviation are
    /// left out.
    pub fn top(&self, n: usize) -> Vec<(usize, f64)> {
        let mut top: Vec<(usize, f64)> =
            self.metrics.iter().map(|m| m.deviation).enumerate().filter(|(_, d)| d.is_finite()).collect();
        top.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        top.truncate(n);
        top
    }

    /// The `n` metrics that deviate most, by name.
    pub fn contributions(&self, schema: &Schema, n: usize) -> Vec<Contribution> {
        self.top(n)
            .into_iter()
            .filter(|(i, _)| *i < schema.len())
            .map(|(i, deviation)| Contribution { metric: schema.name(i).clone(), deviation, since: None })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_finite_and_not_negative_whatever_comes_in() {
        for (raw, kept) in [(f64::NAN, 0.0), (-3.0, 0.0), (f64::INFINITY, Score::MAX), (1.5, 1.5)] {
            assert_eq!(Score::new(raw).get(), kept);
        }
        assert!(!Score::new(1.0).is_anomalous() && Score::new(1.0001).is_anomalous());
    }

    #[test]
    fn the_metrics_that_deviate_most_come_first_and_missing_ones_not_at_all() {
        let mut verdict = Verdict::default();
        verdict.reset(4);
        for (i, deviation) in [0.5, f64::NAN, -3.0, 2.0].into_iter().enumerate() {
            verdict.metrics[i].deviation = deviation;
        }
        assert_eq!(verdict.top(2), vec![(2, -3.0), (3, 2.0)]);
    }
}
