//! The moving threshold over the error of all series together (IFTM's threshold model).
//!
//! Errors are positive and skewed, so the moving mean m and deviation s are of u = ln(e + ε), and T = exp(m + c·s) − ε
//! (specification 1.2). Gaussian tails promise too much on bursty machines, so T is also at least `MARGIN` times the
//! largest error that was taken as normal in about the last day. Fails where errors fall to nothing for hours and come
//! back: the floor `MIN_THRESHOLD` is what keeps that quiet. Three numbers and a record.

use crate::normalise::{Moments, Record, gain};

/// Keeps the logarithm away from 0.
const EPSILON: f64 = 1e-3;
/// The threshold is never below this: half a deviation in the mean over all series.
const MIN_THRESHOLD: f64 = 0.5;
/// How far beyond the record an error has to be. Smaller than for a single series: this is a mean over many.
const MARGIN: f64 = 1.3;
/// Errors before records count: the first ones come from clusters that hardly know anything.
const RECORD_AFTER: f64 = 30.0;
/// Memory in seconds.
const MEMORY: f64 = 3_600.0;
/// The memory covers at least this many samples.
const MIN_SAMPLES: f64 = 200.0;

/// The threshold; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Threshold {
    /// Errors learnt, by weight.
    #[prost(double, tag = "1")]
    pub seen: f64,
    /// Mean of the log-errors.
    #[prost(double, tag = "2")]
    pub mean: f64,
    /// Variance of the log-errors.
    #[prost(double, tag = "3")]
    pub var: f64,
    /// Largest error.
    #[prost(double, tag = "4")]
    pub record: f64,
    /// The same, undecided.
    #[prost(double, tag = "5")]
    pub pending: f64,
}

impl Threshold {
    /// The error above which a row is anomalous, `c` deviations above the mean; infinite before the first error.
    pub fn limit(&self, c: f64) -> f64 {
        if self.seen < 1.0 {
            return f64::INFINITY;
        }
        let moving = (self.mean + c * self.var.sqrt()).exp() - EPSILON;
        moving.max(MARGIN * self.record).max(MIN_THRESHOLD)
    }

    /// Takes in the error of a normal row, `dt` seconds after the one before.
    pub fn learn(&mut self, error: f64, weight: f64, dt: f64, fade: f64) {
        self.seen += weight;
        let memory = MEMORY.max(MIN_SAMPLES * dt);
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.learn((error + EPSILON).ln(), weight * gain(self.seen, dt, memory));
        (self.mean, self.var) = (moments.mean, moments.var);
        if self.seen > RECORD_AFTER {
            let mut record = Record { value: self.record, pending: self.pending };
            record.learn(error * weight, fade, 1.0);
            (self.record, self.pending) = (record.value, record.pending);
        }
    }

    /// Notes the error of a flagged row.
    pub fn suspect(&mut self, error: f64) {
        self.pending = self.pending.max(error);
    }

    /// The stretch of flagged rows is over.
    pub fn settle(&mut self, was_anomaly: bool) {
        let mut record = Record { value: self.record, pending: self.pending };
        record.settle(was_anomaly);
        (self.record, self.pending) = (record.value, record.pending);
    }

    /// Adds what another instance learnt.
    pub fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let difference = other.mean - self.mean;
        self.mean += difference * share;
        self.var =
            self.var * (1.0 - share) + other.var * share + difference * difference * share * (1.0 - share);
        self.record = self.record.max(other.record);
        self.seen = seen;
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        self.mean.is_finite()
            && [self.seen, self.var, self.record, self.pending].iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_multiple_of_deviations_above_the_usual_error() {
        let mut threshold = Threshold::default();
        assert_eq!(threshold.limit(4.0), f64::INFINITY);
        for i in 0..1_000 {
            threshold.learn(if i % 2 == 0 { 1.0 } else { 1.2 }, 1.0, 1.0, 1.0);
        }
        let limit = threshold.limit(4.0);
        assert!((1.3..1.7).contains(&limit), "{limit}");
    }

    #[test]
    fn an_error_that_was_no_anomaly_raises_the_limit_beyond_it() {
        let mut threshold = Threshold::default();
        threshold.learn(1.0, 1.0, 1.0, 1.0);
        assert!(threshold.limit(4.0) < 2.0);
        threshold.suspect(9.0);
        threshold.settle(false);
        assert!(threshold.limit(4.0) > 9.0);
    }

    #[test]
    fn merging_two_equals_learning_both() {
        let (mut a, mut b, mut both) = (Threshold::default(), Threshold::default(), Threshold::default());
        for i in 0..50 {
            let error = 1.0 + f64::from(i % 7) / 10.0;
            if i < 20 { &mut a } else { &mut b }.learn(error, 1.0, 1.0, 1.0);
            both.learn(error, 1.0, 1.0, 1.0);
        }
        a.merge(&b);
        assert!((a.mean - both.mean).abs() < 1e-12 && (a.var - both.var).abs() < 1e-12);
    }
}
