//! What one series is expected to do.
//!
//! **Two predictors.** The *level* is the slow mean with its deviation; the *local forecast* is a mean over the last
//! [`LOCAL_SECONDS`] with the root mean square of its own errors. A value is judged by the one that it is nearer to: a
//! series that stands is held to its level, one that wanders (memory, caches, disk use) is held to where it just was,
//! and a step is far from both. A ramp (a clock, an uptime) is followed with its mean slope.
//!
//! **Three questions.** Is this value a spike, has the series shifted, and does that last? The second looks at the residual
//! averaged over [`SHIFT_SECONDS`] (`sustained`), each sample bounded, so that a burst of two seconds does not count as a shift. Without
//! it, a machine whose cpu peaks for a second now and then could be pinned at 100 % without anybody being told. The third
//! looks at the distance from the level over [`LASTING_SECONDS`], of series that stand: where bursts of a minute are usual,
//! a step no higher than they are shows only in that it stays.
//!
//! **Limits from records.** A band is the larger of k₀ robust deviations and a multiple of the largest surprise that was
//! taken as normal ([`crate::normalise::Record`]). The multiple falls from many to 1.5 as samples come in: for tails that
//! fall with the third power (as Student's t with three degrees of freedom) the chance that the next value exceeds
//! a·record among n is about a⁻³/n, so that m series together flag about [`FLAG_SHARE`] of the samples at
//! a = (m/(0.02·n))^⅓. A series whose record is no larger than that of normal values needs no such caution.
//!
//! **When it fails.** A series that was constant (an error counter at 0) can't raise a flag alone when it moves for the
//! first ten times, because nothing says what is much: it is noted, shows up in contributions and counts in the joint
//! error. Faults slower than minutes in a wandering series are followed. What is a spike in a bursty series has to exceed
//! the bursts by half.
//!
//! **Cost.** 20 numbers and about 30 ns a series and sample.

use larnax_core::Bounds;

use crate::normalise::{Moments, Record, gain};
use crate::row_context::RowContext;
use crate::sustained::{Distance, Sustained};

/// Memory of the local forecast in seconds; at least four samples.
pub const LOCAL_SECONDS: f64 = 20.0;
/// Memory of the shift in seconds; at least one and a half samples.
pub const SHIFT_SECONDS: f64 = 6.0;
/// Memory of what lasts, in seconds; at least ten samples.
pub const LASTING_SECONDS: f64 = 120.0;
/// Share of the samples that may be flagged in the time in which records are young; the tracker asks for 3 in 5.
pub const FLAG_SHARE: f64 = 0.02;
/// How far beyond an old record a value has to be.
pub(crate) const RECORD_MARGIN: f64 = 1.5;
/// A record within this multiple of what the largest of n normal values is expected to be shows no heavy tail,
const LIGHT_TAIL: f64 = 1.25;
/// provided that there were this many values to show one.
const TAIL_SEEN: f64 = 500.0;
/// A deviation is at least this share of the level, for series that stand and that wander: smaller changes are real but
/// not worth a page.
pub(crate) const RELATIVE_FLOOR: f64 = 0.001;
pub(crate) const RELATIVE_FLOOR_WANDERING: f64 = 0.01;
/// A deviation is at least this many of the smallest steps that the series makes (counts going from 0 to 1, 4 kB pages).
pub(crate) const STEP_FLOOR: f64 = 0.4;
/// Winsorising after warm-up, in deviations.
pub(crate) const WINSOR: f64 = 6.0;
/// Changes that a series must have made before it may raise a flag alone (specification 0.5).
pub(crate) const MOVING_CHANGES: u32 = 10;
/// The deviation that a series gets at most before that.
pub(crate) const STILL_CAP: f64 = 0.8;
/// Samples before a band is shown.
pub const MIN_SHOWN: f64 = 10.0;
/// Samples before a band is relied on.
pub const MIN_READY: f64 = 60.0;
/// The least deviation, in half-widths, of a value that can't be.
pub(crate) const IMPOSSIBLE: f64 = 2.0;
/// Deviations that are told apart.
pub(crate) const MAX_DEVIATION: f64 = 1e4;
/// No sound mean, error or record is larger: values are at most [`MAX_VALUE`], forecasts of them a few dozen times that.
pub(crate) const LARGEST: f64 = 1e124;
/// Values beyond this are treated as missing: their squares would overflow.
pub const MAX_VALUE: f64 = 1e120;
/// What one series may add to the joint error, in joint units; at 8 it has reached its own limit and speaks for itself.
pub const JOINT_CLIP: f64 = 8.0;

/// What is known of one series; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Band {
    /// Values learnt, by weight.
    #[prost(double, tag = "1")]
    pub seen: f64,
    /// Seconds learnt over.
    #[prost(double, tag = "2")]
    pub age: f64,
    /// The level.
    #[prost(double, tag = "3")]
    pub mean: f64,
    /// Variance around the level.
    #[prost(double, tag = "4")]
    pub var: f64,
    /// Mean of the last seconds.
    #[prost(double, tag = "5")]
    pub local: f64,
    /// Mean square of the local errors.
    #[prost(double, tag = "6")]
    pub innovation: f64,
    /// Mean of the local errors: not 0 on a ramp.
    #[prost(double, tag = "7")]
    pub drift: f64,
    /// Largest residual of a single sample.
    #[prost(double, tag = "8")]
    pub spike: f64,
    /// The same, undecided.
    #[prost(double, tag = "9")]
    pub spike_pending: f64,
    /// The residual in deviations, averaged over seconds.
    #[prost(double, tag = "10")]
    pub shift: f64,
    /// Largest shift.
    #[prost(double, tag = "11")]
    pub shift_record: f64,
    /// The same, undecided.
    #[prost(double, tag = "12")]
    pub shift_pending: f64,
    /// The last value.
    #[prost(double, tag = "13")]
    pub last: f64,
    /// The smallest change that is not 0.
    #[prost(double, tag = "14")]
    pub step: f64,
    /// How often it changed, up to some number.
    #[prost(uint32, tag = "15")]
    pub changes: u32,
    /// Seconds since it was last there.
    #[prost(double, tag = "16")]
    pub missing: f64,
    /// Mean square of the shift.
    #[prost(double, tag = "17")]
    pub shift_square: f64,
    /// The distance from the level in deviations, averaged over minutes.
    #[prost(float, tag = "18")]
    pub lasting: f32,
    /// Its largest.
    #[prost(float, tag = "19")]
    pub lasting_record: f32,
    /// The same, undecided.
    #[prost(float, tag = "20")]
    pub lasting_pending: f32,
}

/// What depends on how many values a series has seen. Most series of a row have seen the same number.
#[derive(Clone, Copy, Debug)]
pub struct Caution {
    pub(crate) seen: f64,
    /// How far beyond its record a value has to be.
    margin: f64,
    /// The largest of so many normal values, in deviations; 0 while too few to tell.
    expected_record: f64,
}

impl Caution {
    /// Of a series that has seen `seen` values.
    pub fn at(seen: f64, row: &RowContext) -> Self {
        let margin = (row.moving / (FLAG_SHARE * seen.max(1.0))).cbrt().max(RECORD_MARGIN);
        let expected_record = if seen < TAIL_SEEN { 0.0 } else { (2.0 * seen.ln()).sqrt() };
        Self { seen, margin, expected_record }
    }

    /// How far beyond a record a value has to be.
    pub(crate) fn margin(&self, record: f64, scale: f64) -> f64 {
        if record <= LIGHT_TAIL * self.expected_record * scale { RECORD_MARGIN } else { self.margin }
    }
}

/// What a band says about a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judged {
    /// The value.
    pub value: f64,
    /// The expected value.
    pub expected: f64,
    /// Half the width of the band around it.
    pub half_width: f64,
    /// Signed, in half-widths.
    pub deviation: f64,
    /// Distance from the nearer of the two forecasts, in the unit of the series.
    pub surprise: f64,
    /// Signed, in joint units: 8 at the limit of an old band.
    pub joint: f64,
}

impl Band {
    /// Whether it moves: it may raise a flag alone.
    pub fn moves(&self) -> bool {
        self.changes >= MOVING_CHANGES
    }

    /// Whether its correlation time is longer than the local memory, so that the level says little: of white noise
    /// around a level the local errors have the variance of the level, of a random walk a small part of it.
    pub fn wanders(&self) -> bool {
        self.innovation < 0.5 * self.var
    }

    /// Whether a band can be shown.
    pub fn shown(&self) -> bool {
        self.seen >= MIN_SHOWN
    }

    /// Whether it can be relied on.
    pub fn ready(&self, warm_up: f64) -> bool {
        self.seen >= MIN_READY && self.age >= warm_up
    }

    /// Judges a value; moves only the shift, which is a measurement and no part of what is learnt.
    ///
    /// Hot: no allocation.
    pub fn judge(&mut self, x: f64, bounds: &Bounds, row: &RowContext, caution: &mut Caution) -> Judged {
        if caution.seen != self.seen {
            *caution = Caution::at(self.seen, row);
        }
        let wanders = self.wanders();
        let step = STEP_FLOOR * self.step;
        let level_floor = (RELATIVE_FLOOR * self.mean.abs()).max(step);
        let level_scale = self.var.sqrt().max(level_floor);
        let stretch = 1.0 + row.held / row.local_memory;
        let forecast = if self.drift * self.drift > 0.25 * self.innovation {
            self.local + self.drift * stretch
        } else {
            self.local
        };
        let relative = if wanders { RELATIVE_FLOOR_WANDERING } else { RELATIVE_FLOOR };
        let local_floor = (relative * self.local.abs()).max(step);
        let mut local_scale = self.innovation.sqrt().max(local_floor);
        if wanders {
            // A series that wanders can be anywhere after a while, so its band opens with the time it was not followed:
            // with that time and not with its root as for a random walk, because caches move in leaps.
            local_scale *= stretch;
        }
        let half_width = |scale: f64| {
            (row.k0 * scale).max(caution.margin(self.spike, scale) * self.spike).max(bounds.least)
        };
        let (level_width, local_width) = (half_width(level_scale), half_width(local_scale));
        let (from_level, from_local) = (x - self.mean, x - forecast);
        let by_level = from_level.abs() * local_width <= from_local.abs() * level_width;
        let (expected, residual, scale, floor, half_width) = if by_level {
            (self.mean, from_level, level_scale, level_floor, level_width)
        } else {
            (forecast, from_local, local_scale, local_floor, local_width)
        };
        let (mut deviation, mut width) = (ratio(residual, half_width), half_width);
        let mut shift = self.shifts();
        let left = Distance { value: residual, scale, least: bounds.least, gain: row.shift_gain, k0: row.k0 };
        let limit = shift.shift(&left, self.shift_square, floor, caution);
        self.shift = shift.mean;
        let shifted = ratio(shift.mean, limit);
        if shifted.abs() > deviation.abs().max(1.0) {
            (deviation, width) = (shifted, limit * scale);
        }
        if !wanders {
            let mut lasting = self.lastings();
            let away = Distance { value: from_level, scale: level_scale, gain: row.lasting_gain, ..left };
            let limit = lasting.lasting(&away, caution);
            self.lasting = lasting.mean as f32;
            let lasts = ratio(lasting.mean, limit);
            if lasts.abs() > deviation.abs().max(1.0) {
                (deviation, width) = (lasts, limit * level_scale);
            }
        }
        let joint_scale = scale.max(RECORD_MARGIN * self.spike / row.k0).max(bounds.least / row.k0);
        // What is below the least change that counts says nothing about all series together either.
        let counted = if residual.abs() < bounds.least { 0.0 } else { bounds.counts(residual) };
        let mut joint = ratio(counted, joint_scale).clamp(-JOINT_CLIP, JOINT_CLIP);
        if !self.moves() {
            deviation = deviation.clamp(-STILL_CAP, STILL_CAP);
            joint = joint.clamp(-0.5 * JOINT_CLIP, 0.5 * JOINT_CLIP);
        }
        deviation = bounds.counts(deviation);
        if bounds.excludes(x) && deviation.abs() <= 1.0 {
            deviation = IMPOSSIBLE.copysign(if x < bounds.lowest { -1.0 } else { 1.0 });
        }
        let surprise = from_level.abs().min(from_local.abs());
        Judged { value: x, expected, half_width: width, deviation, surprise, joint }
    }

    /// Learns a value that was judged as `judged`.
    ///
    /// Hot: no allocation.
    pub fn learn(&mut self, x: f64, judged: &Judged, weight: f64, row: &RowContext) {
        self.learn_without_season(x, x, judged, weight, row);
    }

    /// The same of `x`, what the season leaves of `raw`. How fine the steps of a series are, only `raw` tells.
    ///
    /// Hot: no allocation.
    pub fn learn_without_season(&mut self, raw: f64, x: f64, judged: &Judged, weight: f64, row: &RowContext) {
        self.missing = 0.0;
        if self.seen == 0.0 {
            *self = Self { seen: weight, mean: x, local: x, last: raw, ..Self::default() };
            return;
        }
        let change = (raw - self.last).abs();
        self.last = raw;
        if change > 0.0 {
            self.changes = self.changes.saturating_add(1).min(1_000);
            self.step = if self.step > 0.0 { self.step.min(change) } else { change };
        }
        self.seen += weight;
        self.age += row.dt;
        let ready = self.ready(row.warm_up);
        let gain = weight * gain(self.seen, row.dt, row.memory);
        let level_bound =
            if ready { WINSOR * self.var.sqrt().max(0.2 * judged.half_width) } else { f64::MAX };
        let mut level = Moments { mean: self.mean, var: self.var };
        level.learn(self.mean + (x - self.mean).clamp(-level_bound, level_bound), gain);
        (self.mean, self.var) = (level.mean, level.var);
        let local_bound =
            if ready { WINSOR * self.innovation.sqrt().max(0.2 * judged.half_width) } else { f64::MAX };
        let error = (x - self.local).clamp(-local_bound, local_bound);
        self.innovation += gain * (error * error - self.innovation);
        self.drift += gain * (error - self.drift);
        self.shift_square += gain * (self.shift * self.shift - self.shift_square);
        // The nearer to the edge of its band, the less it is followed: a step must not be learnt while it is being noticed.
        let trust = (1.0 - judged.deviation * judged.deviation).max(0.0);
        let local_gain = if self.wanders() { row.late_gain } else { row.local_gain };
        let local_gain = local_gain * if ready { trust } else { 1.0 };
        self.local += weight * local_gain.max(1.0 / self.seen.max(1.0)) * (x - self.local);
        if self.shown() {
            let gain = if ready { row.local_gain } else { 1.0 };
            let (mut spike, mut shift, mut lasting) = (self.spikes(), self.shifts(), self.lastings());
            spike.learn(judged.surprise * weight, row.fade, gain);
            shift.record.learn(shift.mean.abs() * weight, row.fade, gain);
            let gain = if ready { row.lasting_gain } else { 1.0 };
            lasting.record.learn(lasting.mean.abs() * weight, row.fade, gain);
            self.keep(spike, shift.record, lasting.record);
        }
    }

    /// Notes a value of a row that was flagged.
    pub fn suspect(&mut self, judged: &Judged) {
        self.missing = 0.0;
        self.spike_pending = self.spike_pending.max(judged.surprise);
        self.shift_pending = self.shift_pending.max(self.shift.abs());
        self.lasting_pending = self.lasting_pending.max(self.lasting.abs());
    }

    /// The stretch of flagged rows is over.
    pub fn settle(&mut self, was_anomaly: bool) {
        let (mut spike, mut shift, mut lasting) = (self.spikes(), self.shifts(), self.lastings());
        spike.settle(was_anomaly);
        shift.record.settle(was_anomaly);
        lasting.record.settle(was_anomaly);
        self.keep(spike, shift.record, lasting.record);
    }

    /// An anomaly has left it at `x`, outside its band: it goes on from there. `raw` is the same with its season.
    pub fn reseat(&mut self, raw: f64, x: f64) {
        (self.mean, self.local, self.last) = (x, x, raw);
        (self.drift, self.shift, self.lasting) = (0.0, 0.0, 0.0);
        self.seen = self.seen.min(MIN_READY);
    }

    /// There are no samples for a while: what was measured over seconds and minutes is over.
    pub fn gap(&mut self) {
        (self.shift, self.lasting) = (0.0, 0.0);
    }

    /// Learns its level afresh; what it was seen to do stays known.
    pub fn adopt(&mut self) {
        *self = Self {
            spike: self.spike,
            shift_record: self.shift_record,
            lasting_record: self.lasting_record,
            step: self.step,
            changes: self.changes,
            ..Self::default()
        };
    }

    /// Adds what another instance learnt about the same series.
    pub fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        if self.seen <= 0.0 {
            *self = other.clone();
            (self.shift, self.lasting) = (0.0, 0.0);
            (self.spike_pending, self.shift_pending, self.lasting_pending) = (0.0, 0.0, 0.0);
            return;
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.merge(&Moments { mean: other.mean, var: other.var }, share);
        (self.mean, self.var) = (moments.mean, moments.var);
        self.innovation += (other.innovation - self.innovation) * share;
        self.drift += (other.drift - self.drift) * share;
        self.shift_square += (other.shift_square - self.shift_square) * share;
        self.spike = self.spike.max(other.spike);
        self.shift_record = self.shift_record.max(other.shift_record);
        self.lasting_record = self.lasting_record.max(other.lasting_record);
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
        let averages = [self.shift, self.lasting.into()];
        let records = [
            self.shift_record,
            self.shift_pending,
            self.lasting_record.into(),
            self.lasting_pending.into(),
            self.shift_square.sqrt(),
        ];
        let sizes = [
            self.seen,
            self.age,
            self.missing,
            self.spike,
            self.spike_pending,
            self.step,
            self.var.sqrt(),
            self.innovation.sqrt(),
        ];
        within(&[self.mean, self.local, self.drift, self.last], LARGEST)
            && within(&averages, MAX_DEVIATION)
            && within(&records, MAX_DEVIATION)
            && within(&sizes, LARGEST)
            && records.iter().chain(&sizes).all(|x| *x >= 0.0)
    }

    fn spikes(&self) -> Record {
        Record { value: self.spike, pending: self.spike_pending }
    }

    fn shifts(&self) -> Sustained {
        let record = Record { value: self.shift_record, pending: self.shift_pending };
        Sustained { mean: self.shift, record }
    }

    fn lastings(&self) -> Sustained {
        let record = Record { value: self.lasting_record.into(), pending: self.lasting_pending.into() };
        Sustained { mean: self.lasting.into(), record }
    }

    fn keep(&mut self, spike: Record, shift: Record, lasting: Record) {
        (self.spike, self.spike_pending) = (spike.value, spike.pending);
        (self.shift_record, self.shift_pending) = (shift.value, shift.pending);
        (self.lasting_record, self.lasting_pending) = (lasting.value as f32, lasting.pending as f32);
    }
}

/// Whether all are numbers between -`most` and `most`.
pub(crate) fn within(numbers: &[f64], most: f64) -> bool {
    numbers.iter().all(|x| x.abs() <= most)
}

/// `a / b`, where nothing over nothing is nothing; bounded.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 {
        0.0
    } else if b > 0.0 {
        (a / b).clamp(-MAX_DEVIATION, MAX_DEVIATION)
    } else {
        MAX_DEVIATION.copysign(a)
    }
}
