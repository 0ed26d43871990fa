//! One metric of an [`super::Iftm`]: how it is normalised, and how large the errors of its forecasts are.
//!
//! A band is the larger of k₀ deviations of the errors and a multiple of the largest error that was taken as normal, as in
//! [`crate::bands`], whose constants these are; never less than the least change that counts.

use larnax_core::Bounds;

use crate::bands::{
    Caution, IMPOSSIBLE, JOINT_CLIP, MIN_READY, MIN_SHOWN, MOVING_CHANGES, RECORD_MARGIN, RELATIVE_FLOOR,
    RELATIVE_FLOOR_WANDERING, STEP_FLOOR, STILL_CAP, WINSOR, ratio,
};
use crate::normalise::{Moments, Record, gain};

/// Normalised values are at most this (specification 0.5).
pub const MOST: f64 = 20.0;
/// The deviation that values are normalised by is at least this share of the mean, and not 0 (specification 0.5).
const LEAST_SHARE: f64 = 1e-4;
const LEAST: f64 = 1e-12;
/// Errors before records count, as in [`crate::threshold`]: the first ones come from coefficients that fit what little
/// there was.
const RECORD_AFTER: f64 = 30.0;

/// What is known of one metric; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Series {
    /// Values learnt, by weight.
    #[prost(double, tag = "1")]
    pub seen: f64,
    /// Seconds learnt over.
    #[prost(double, tag = "2")]
    pub age: f64,
    /// Mean of the values.
    #[prost(double, tag = "3")]
    pub mean: f64,
    /// Their variance.
    #[prost(double, tag = "4")]
    pub var: f64,
    /// Errors learnt, by weight.
    #[prost(double, tag = "5")]
    pub errors: f64,
    /// Mean square of the errors.
    #[prost(double, tag = "6")]
    pub square: f64,
    /// Largest error.
    #[prost(double, tag = "7")]
    pub record: f64,
    /// The same, undecided.
    #[prost(double, tag = "8")]
    pub pending: f64,
    /// The last value.
    #[prost(double, tag = "9")]
    pub last: f64,
    /// The smallest change that is not 0.
    #[prost(double, tag = "10")]
    pub step: f64,
    /// How often it changed, up to some number.
    #[prost(uint32, tag = "11")]
    pub changes: u32,
    /// Seconds since it was last there.
    #[prost(double, tag = "12")]
    pub missing: f64,
}

/// What is the same for all metrics of one row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Seconds since the row before.
    pub dt: f64,
    /// Times the memory of a local forecast that nothing was learnt.
    pub held: f64,
    /// Gain of records after warm-up.
    pub record_gain: f64,
    /// Fading of records.
    pub fade: f64,
    /// Memory of mean and scale in seconds.
    pub memory: f64,
    /// Seconds after which a metric is relied on.
    pub warm_up: f64,
    /// Half-width of a band in deviations.
    pub k0: f64,
}

/// What is said about a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// Value minus expected value, in the metric's unit.
    pub error: f64,
    /// Half the width of the band.
    pub half_width: f64,
    /// Signed, in half-widths.
    pub deviation: f64,
    /// Signed, in deviations of the errors, bounded.
    pub joint: f64,
}

impl Series {
    /// Whether it moves: it may raise a flag alone.
    pub fn moves(&self) -> bool {
        self.changes >= MOVING_CHANGES
    }

    /// Whether it is normalised and judged.
    pub fn shown(&self) -> bool {
        self.seen >= MIN_SHOWN
    }

    /// Whether it can be relied on.
    pub fn ready(&self, warm_up: f64) -> bool {
        self.seen >= MIN_READY && self.age >= warm_up
    }

    /// What its values are divided by once the mean is subtracted. Changes that are too small to count stay small.
    pub fn scale(&self, bounds: &Bounds, k0: f64) -> f64 {
        self.var.sqrt().max(LEAST_SHARE * self.mean.abs()).max(LEAST).max(bounds.least / k0)
    }

    /// Whether its forecasts are much better than its mean, so that they are worth little when they are old.
    fn wanders(&self) -> bool {
        self.errors > 0.0 && self.square < 0.5 * self.var
    }

    /// Judges a value.
    ///
    /// Hot: no allocation.
    pub fn judge(&self, x: f64, expected: f64, bounds: &Bounds, pace: &Pace, caution: &Caution) -> Judged {
        let error = x - expected;
        let wanders = self.wanders();
        let relative = if wanders { RELATIVE_FLOOR_WANDERING } else { RELATIVE_FLOOR };
        let floor = (relative * self.mean.abs()).max(STEP_FLOOR * self.step);
        let mut scale = self.deviation().max(floor);
        if wanders {
            // From the error of one row ahead to the spread of all values, which is the error of any number of rows ahead.
            scale = (scale * (1.0 + pace.held)).min(self.var.sqrt()).max(scale);
        }
        let half_width =
            (pace.k0 * scale).max(caution.margin(self.record, scale) * self.record).max(bounds.least);
        let joint_scale = scale.max(RECORD_MARGIN * self.record / pace.k0);
        // What is too small to count must not count with others either.
        let counted = if error.abs() < bounds.least { 0.0 } else { bounds.counts(error) };
        let mut joint = ratio(counted, joint_scale).clamp(-JOINT_CLIP, JOINT_CLIP);
        let mut deviation = ratio(error, half_width);
        if !self.moves() {
            deviation = deviation.clamp(-STILL_CAP, STILL_CAP);
            joint = joint.clamp(-0.5 * JOINT_CLIP, 0.5 * JOINT_CLIP);
        }
        Judged { error, half_width, deviation: bounds.counts(deviation), joint }
    }

    /// The deviation of a value that can't be, whatever was expected.
    pub fn impossible(deviation: f64, x: f64, bounds: &Bounds) -> f64 {
        let sign = if x < bounds.lowest { -1.0 } else { 1.0 };
        if deviation.abs() > 1.0 { deviation } else { IMPOSSIBLE * sign }
    }

    /// Learns a value, and the error of its forecast if there was one.
    ///
    /// Hot: no allocation.
    pub fn learn(&mut self, x: f64, judged: Option<&Judged>, weight: f64, pace: &Pace) {
        self.missing = 0.0;
        if self.seen == 0.0 {
            *self = Self { seen: weight, mean: x, last: x, ..self.clone() };
            return;
        }
        let change = (x - self.last).abs();
        self.last = x;
        if change > 0.0 {
            self.changes = self.changes.saturating_add(1).min(1_000);
            self.step = if self.step > 0.0 { self.step.min(change) } else { change };
        }
        self.seen += weight;
        self.age += pace.dt;
        let ready = self.ready(pace.warm_up);
        let width = judged.map_or(0.0, |judged| judged.half_width);
        let bound = |deviation: f64| if ready { WINSOR * deviation.max(0.2 * width) } else { f64::MAX };
        let level_bound = bound(self.var.sqrt());
        let mut level = Moments { mean: self.mean, var: self.var };
        let difference = (x - self.mean).clamp(-level_bound, level_bound);
        level.learn(self.mean + difference, weight * gain(self.seen, pace.dt, pace.memory));
        let Some(judged) = judged else {
            (self.mean, self.var) = (level.mean, level.var);
            return;
        };
        // Before the first error the spread of the values is what errors are expected to be, and counts as one of them.
        if self.errors == 0.0 {
            self.square = self.var;
        }
        (self.mean, self.var) = (level.mean, level.var);
        self.errors += weight;
        let error_bound = bound(self.square.sqrt());
        let error = judged.error.clamp(-error_bound, error_bound);
        let gain = weight * gain(self.errors + 1.0, pace.dt, pace.memory);
        self.square += gain * (error * error - self.square);
        if self.errors < RECORD_AFTER {
            return;
        }
        let mut record = Record { value: self.record, pending: self.pending };
        record.learn(judged.error.abs() * weight, pace.fade, if ready { pace.record_gain } else { 1.0 });
        (self.record, self.pending) = (record.value, record.pending);
    }

    /// Notes the error of a flagged row.
    pub fn suspect(&mut self, judged: &Judged) {
        self.missing = 0.0;
        self.pending = self.pending.max(judged.error.abs());
    }

    /// The stretch of flagged rows is over.
    pub fn settle(&mut self, was_anomaly: bool) {
        let mut record = Record { value: self.record, pending: self.pending };
        record.settle(was_anomaly);
        (self.record, self.pending) = (record.value, record.pending);
    }

    /// An anomaly has left it this far from what was expected of it: it goes on from there.
    pub fn reseat(&mut self, judged: &Judged) {
        self.mean += judged.error;
        self.last += judged.error;
        self.seen = self.seen.min(MIN_READY);
    }

    /// Learns its level afresh; what it was seen to do stays known.
    pub fn adopt(&mut self) {
        *self = Self { record: self.record, step: self.step, changes: self.changes, ..Self::default() };
    }

    /// Adds what another instance learnt about the same metric.
    pub fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        if self.seen <= 0.0 {
            *self = Self { pending: 0.0, missing: 0.0, ..other.clone() };
            return;
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.merge(&Moments { mean: other.mean, var: other.var }, share);
        (self.mean, self.var) = (moments.mean, moments.var);
        if self.errors + other.errors > 0.0 {
            self.square += (other.square - self.square) * other.errors / (self.errors + other.errors);
        }
        self.errors += other.errors;
        self.record = self.record.max(other.record);
        self.step = if self.step > 0.0 && other.step > 0.0 {
            self.step.min(other.step)
        } else {
            self.step.max(other.step)
        };
        self.changes = self.changes.saturating_add(other.changes).min(1_000);
        self.age += other.age;
        self.seen = seen;
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        let not_negative = [
            self.seen,
            self.age,
            self.var,
            self.errors,
            self.square,
            self.record,
            self.pending,
            self.step,
            self.missing,
        ];
        self.mean.is_finite()
            && self.last.is_finite()
            && not_negative.iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    /// Root mean square of the errors; before the first one, the spread of the values.
    fn deviation(&self) -> f64 {
        if self.errors > 0.0 { self.square.sqrt() } else { self.var.sqrt() }
    }
}
