//! One metric of an [`super::Iftm`]: how it is normalised, and how large the errors of its forecasts are.
//!
//! A band is the larger of k₀ deviations of the errors and a multiple of the largest error that was taken as normal, as in
//! [`crate::bands`], whose constants these are; never less than the least change that counts.

use larnax_core::Bounds;

use crate::bands::{
    Caution, IMPOSSIBLE, JOINT_CLIP, LARGEST, MAX_DEVIATION, MIN_READY, MIN_SHOWN, MOVING_CHANGES,
    RECORD_MARGIN, RELATIVE_FLOOR, RELATIVE_FLOOR_WANDERING, STEP_FLOOR, STILL_CAP, WINSOR, ratio, within,
};
use crate::normalise::{Moments, Record, gain};
use crate::row_context::RowContext;
use crate::sustained::{Distance, Sustained};

/// Normalised values are at most this (specification 0.5).
pub const MOST: f64 = 20.0;
/// The deviation that values are normalised by is at least this share of the mean, and not 0 (specification 0.5).
const LEAST_SHARE: f64 = 1e-4;
const LEAST: f64 = 1e-12;
/// Errors before records count, as in [`crate::threshold`]: the first ones come from coefficients that fit what little
/// there was.
const RECORD_AFTER: f64 = 30.0;
/// A value is where the metric usually is within so many deviations of its mean; a ramp that starts over is within 1.7.
const USUAL: f64 = 2.0;
/// A break is taken for one if the last one is older than so many times the rows that a forecast rests on: what breaks more
/// often isn't as it was.
const REST: u32 = 6;

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
    /// The error in deviations, averaged over seconds.
    #[prost(float, tag = "13")]
    pub shift: f32,
    /// Its mean square.
    #[prost(float, tag = "14")]
    pub shift_square: f32,
    /// Its largest.
    #[prost(float, tag = "15")]
    pub shift_record: f32,
    /// The same, undecided.
    #[prost(float, tag = "16")]
    pub shift_pending: f32,
    /// Rows until another break is taken for one.
    #[prost(uint32, tag = "17")]
    pub rest: u32,
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
    pub joint: f32,
    /// Whether what is wrong may be the forecast: the metric jumped to where it usually is, from which it may go on as before.
    pub breaks: bool,
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

    /// It is taken for one. `looks_back` is how many rows a forecast rests on.
    pub fn take_break(&mut self, looks_back: u32) {
        self.rest = REST * looks_back;
    }

    /// Whether nothing is to be expected of a value because forecasts still rest on rows before a break. Once a row.
    pub fn settles(&mut self, x: f64, looks_back: u32) -> bool {
        self.rest = self.rest.saturating_sub(1);
        self.rest >= (REST - 1) * looks_back.max(1) && self.is_usual(x)
    }

    fn is_usual(&self, x: f64) -> bool {
        (x - self.mean).abs() <= USUAL * self.var.sqrt()
    }

    /// What its values are divided by once the mean is subtracted. Changes that are too small to count stay small.
    pub fn scale(&self, bounds: &Bounds, k0: f64) -> f64 {
        self.var.sqrt().max(LEAST_SHARE * self.mean.abs()).max(LEAST).max(bounds.least / k0)
    }

    /// Whether its forecasts are much better than its mean, so that they are worth little when they are old.
    fn wanders(&self) -> bool {
        self.errors > 0.0 && self.square < 0.5 * self.var
    }

    /// Judges a value; moves only the shift, which is a measurement and no part of what is learnt.
    ///
    /// Hot: no allocation.
    pub fn judge(
        &mut self,
        x: f64,
        expected: f64,
        bounds: &Bounds,
        row: &RowContext,
        caution: &Caution,
    ) -> Judged {
        let error = x - expected;
        let wanders = self.wanders();
        let relative = if wanders { RELATIVE_FLOOR_WANDERING } else { RELATIVE_FLOOR };
        let floor = (relative * self.mean.abs()).max(STEP_FLOOR * self.step);
        let mut scale = self.deviation().max(floor);
        if wanders {
            // From the error of one row ahead to the spread of all values, which is the error of any number of rows ahead.
            scale = (scale * (1.0 + row.held / row.local_memory)).min(self.var.sqrt()).max(scale);
        }
        let mut half_width =
            (row.k0 * scale).max(caution.margin(self.record, scale) * self.record).max(bounds.least);
        let joint_scale = scale.max(RECORD_MARGIN * self.record / row.k0);
        // What is too small to count must not count with others either.
        let counted = if error.abs() < bounds.least { 0.0 } else { bounds.counts(error) };
        let mut joint = ratio(counted, joint_scale).clamp(-JOINT_CLIP, JOINT_CLIP);
        let mut deviation = ratio(error, half_width);
        let breaks = self.rest == 0 && deviation.abs() > 1.0 && self.is_usual(x);
        let mut shift = self.shifts();
        let left = Distance { value: error, scale, least: bounds.least, gain: row.shift_gain, k0: row.k0 };
        let limit = shift.shift(&left, self.shift_square.into(), floor, caution);
        self.shift = shift.mean as f32;
        let shifted = ratio(shift.mean, limit);
        if shifted.abs() > deviation.abs().max(1.0) {
            (deviation, half_width) = (shifted, limit * scale);
        }
        if !self.moves() {
            deviation = deviation.clamp(-STILL_CAP, STILL_CAP);
            joint = joint.clamp(-0.5 * JOINT_CLIP, 0.5 * JOINT_CLIP);
        }
        Judged { error, half_width, deviation: bounds.counts(deviation), joint: joint as f32, breaks }
    }

    /// The deviation of a value that can't be, whatever was expected.
    pub fn impossible(deviation: f64, x: f64, bounds: &Bounds) -> f64 {
        let sign = if x < bounds.lowest { -1.0 } else { 1.0 };
        if deviation.abs() > 1.0 { deviation } else { IMPOSSIBLE * sign }
    }

    /// Learns a value, and the error of its forecast if there was one.
    ///
    /// Hot: no allocation.
    pub fn learn(&mut self, x: f64, judged: Option<&Judged>, weight: f64, row: &RowContext) {
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
        self.age += row.dt;
        let ready = self.ready(row.warm_up);
        let width = judged.map_or(0.0, |judged| judged.half_width);
        let bound = |deviation: f64| if ready { WINSOR * deviation.max(0.2 * width) } else { f64::MAX };
        let level_bound = bound(self.var.sqrt());
        let mut level = Moments { mean: self.mean, var: self.var };
        let difference = (x - self.mean).clamp(-level_bound, level_bound);
        level.learn(self.mean + difference, weight * gain(self.seen, row.dt, row.memory));
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
        let gain = weight * gain(self.errors + 1.0, row.dt, row.memory);
        self.square += gain * (error * error - self.square);
        self.shift_square += gain as f32 * (self.shift * self.shift - self.shift_square);
        if self.errors < RECORD_AFTER {
            return;
        }
        let (mut record, mut shift) = (self.spikes(), self.shifts());
        let gain = if ready { row.local_gain } else { 1.0 };
        record.learn(judged.error.abs() * weight, row.fade, gain);
        shift.record.learn(shift.mean.abs() * weight, row.fade, gain);
        self.keep(record, shift.record);
    }

    /// Notes the error of a flagged row.
    pub fn suspect(&mut self, judged: &Judged) {
        self.missing = 0.0;
        self.pending = self.pending.max(judged.error.abs());
        self.shift_pending = self.shift_pending.max(self.shift.abs());
    }

    /// The stretch of flagged rows is over.
    pub fn settle(&mut self, was_anomaly: bool) {
        let (mut record, mut shift) = (self.spikes(), self.shifts());
        record.settle(was_anomaly);
        shift.record.settle(was_anomaly);
        self.keep(record, shift.record);
    }

    /// An anomaly has left it this far from what was expected of it: it goes on from there.
    pub fn reseat(&mut self, judged: &Judged) {
        self.mean += judged.error;
        self.last += judged.error;
        self.shift = 0.0;
        self.seen = self.seen.min(MIN_READY);
    }

    /// Learns its level afresh; what it was seen to do stays known.
    pub fn adopt(&mut self) {
        *self = Self {
            record: self.record,
            shift_record: self.shift_record,
            step: self.step,
            changes: self.changes,
            ..Self::default()
        };
    }

    /// Adds what another instance learnt about the same metric.
    pub fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        if self.seen <= 0.0 {
            *self = Self { pending: 0.0, missing: 0.0, shift: 0.0, shift_pending: 0.0, ..other.clone() };
            return;
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.merge(&Moments { mean: other.mean, var: other.var }, share);
        (self.mean, self.var) = (moments.mean, moments.var);
        if self.errors + other.errors > 0.0 {
            let share = other.errors / (self.errors + other.errors);
            self.square += share * (other.square - self.square);
            self.shift_square += share as f32 * (other.shift_square - self.shift_square);
        }
        self.errors += other.errors;
        self.record = self.record.max(other.record);
        self.shift_record = self.shift_record.max(other.shift_record);
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
        let records =
            [f64::from(self.shift_square).sqrt(), self.shift_record.into(), self.shift_pending.into()];
        let sizes = [
            self.seen,
            self.age,
            self.errors,
            self.missing,
            self.record,
            self.pending,
            self.step,
            self.var.sqrt(),
            self.square.sqrt(),
        ];
        within(&[self.mean, self.last], LARGEST)
            && within(&[self.shift.into()], MAX_DEVIATION)
            && within(&records, MAX_DEVIATION)
            && within(&sizes, LARGEST)
            && records.iter().chain(&sizes).all(|x| *x >= 0.0)
    }

    fn spikes(&self) -> Record {
        Record { value: self.record, pending: self.pending }
    }

    fn shifts(&self) -> Sustained {
        let record = Record { value: self.shift_record.into(), pending: self.shift_pending.into() };
        Sustained { mean: self.shift.into(), record }
    }

    fn keep(&mut self, record: Record, shift: Record) {
        (self.record, self.pending) = (record.value, record.pending);
        (self.shift_record, self.shift_pending) = (shift.value as f32, shift.pending as f32);
    }

    /// Root mean square of the errors; before the first one, the spread of the values.
    fn deviation(&self) -> f64 {
        if self.errors > 0.0 { self.square.sqrt() } else { self.var.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_overflow_when_learnt_from_are_not_sound() {
        assert!(Series::default().is_sound());
        for bad in [
            Series { var: 1e300, ..Series::default() },
            Series { mean: -1e200, ..Series::default() },
            Series { shift: 1e30, ..Series::default() },
            Series { shift_square: -1.0, ..Series::default() },
            Series { record: f64::NAN, ..Series::default() },
        ] {
            assert!(!bad.is_sound(), "{bad:?}");
        }
    }
}
