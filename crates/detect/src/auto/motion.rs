//! How one metric moves: its level, its edges, and what is left of it when its peers have been asked.
//!
//! An *edge* is the distance from where the metric just was; in units of the metric's usual edge it says whether something
//! happened to it now. The unit is the larger of the root mean square of its edges and a sixteenth of its record: a metric
//! that leaps once a day needs a larger leap to count (habituation), which matters more than any other constant here. A
//! value never moves a scale by more than [`WINSOR`] scales, so that a fault does not widen what it is measured by.

use larnax_core::Bounds;

use crate::normalise::Moments;

/// A scale is at least this share of the range that the metric has covered.
const RANGE_FLOOR: f64 = 1e-3;
/// The same of its level.
const LEVEL_FLOOR: f64 = 1e-4;
/// The deviation of the level is at least this many such floors.
const LEVEL_FLOORS: f64 = 10.0;
/// A scale is at least one so-manyth of the record.
const RECORD_SHARE: f64 = 16.0;
/// Smallest scale of what peers leave, in deviations.
const RESIDUAL_FLOOR: f64 = 0.01;
/// A value moves a scale by at most this many scales,
const WINSOR: f64 = 5.0;
/// and level and deviation by at most this many deviations.
const LEVEL_WINSOR: f64 = 3.0;
/// Standardised values are clipped here.
const STANDARD_CLIP: f64 = 30.0;
/// How many units are told apart.
const MOST: f64 = 1e3;
/// Winsorising begins after this many values, records after half as many.
pub(super) const YOUNG: f64 = 100.0;

/// What is known of one metric; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Motion {
    /// Values learnt, by weight.
    #[prost(double, tag = "1")]
    pub seen: f64,
    /// The level.
    #[prost(double, tag = "2")]
    pub mean: f64,
    /// Variance around it.
    #[prost(double, tag = "3")]
    pub var: f64,
    /// Where it just was.
    #[prost(double, tag = "4")]
    pub recent: f64,
    /// Mean square of edges.
    #[prost(double, tag = "5")]
    pub edge_square: f64,
    /// Largest edge, fading.
    #[prost(double, tag = "6")]
    pub edge_record: f64,
    /// Lowest and highest value.
    #[prost(float, tag = "7")]
    pub low: f32,
    #[prost(float, tag = "8")]
    pub high: f32,
    /// What its peers leave of it, in deviations, averaged over seconds.
    #[prost(float, tag = "9")]
    pub residual: f32,
    /// Mean square of that.
    #[prost(float, tag = "10")]
    pub residual_square: f32,
    /// Largest of that, fading.
    #[prost(float, tag = "11")]
    pub residual_record: f32,
    /// Whether it ever changed.
    #[prost(bool, tag = "12")]
    pub moves: bool,
}

/// Of the row that was scored last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The value; NaN where it is missing or was never there before.
    pub value: f64,
    /// Its edge, in units of the metric, without a sign.
    pub edge: f64,
    /// How much it stands out, in usual edges or residuals, with the sign of the edge or residual.
    pub part: f64,
}

/// What is the same for all metrics of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// The least gain: seconds since the row before, over the memory.
    pub gain: f64,
    /// Gain of [`Motion::recent`].
    pub recent_gain: f64,
    /// Gain of [`Motion::residual`].
    pub residual_gain: f32,
    /// Fading of records.
    pub fade: f64,
    /// The most that one metric counts.
    pub cap: f64,
    /// There was no row just before: edges would reach across a gap.
    pub fresh: bool,
    /// Whether residuals may be learnt and count.
    pub compared: bool,
}

impl Motion {
    /// The smallest scale.
    fn floor(&self) -> f64 {
        let range = f64::from(self.high) - f64::from(self.low);
        (RANGE_FLOOR * range).max(LEVEL_FLOOR * self.mean.abs())
    }

    /// One deviation of the level, in units of the metric.
    fn deviation(&self, bounds: &Bounds) -> f64 {
        self.var.sqrt().max(LEVEL_FLOORS * self.floor()).max(bounds.least)
    }

    /// The edge of a value with its sign, its size in usual edges, and the value in deviations.
    pub(super) fn judge(&self, x: f64, bounds: &Bounds, pace: &Pace) -> (f64, f64, f64) {
        let away = if pace.fresh { 0.0 } else { x - self.recent };
        let scale = self.edge_square.sqrt().max(self.floor()).max(self.edge_record / RECORD_SHARE);
        let size = ratio(bounds.counts(away).abs(), scale.max(bounds.least)).min(pace.cap);
        let standard = ratio(x - self.mean, self.deviation(bounds)).clamp(-STANDARD_CLIP, STANDARD_CLIP);
        (away, size, standard)
    }

    /// Takes in what the peers leave of the value just judged; its size in usual residuals.
    pub(super) fn compare(&mut self, residual: f32, bounds: &Bounds, pace: &Pace) -> f64 {
        self.residual += pace.residual_gain * (residual - self.residual);
        if !pace.compared {
            return 0.0;
        }
        let left = f64::from(self.residual);
        let least = ratio(bounds.least, self.deviation(bounds)).min(1.0);
        let scale = f64::from(self.residual_square)
            .sqrt()
            .max(RESIDUAL_FLOOR.max(least))
            .max(f64::from(self.residual_record) / RECORD_SHARE);
        ratio(bounds.counts(left).abs(), scale).min(pace.cap)
    }

    /// Learns a value that was judged; `gain` is for levels and scales, `weight` for records.
    pub(super) fn learn(&mut self, seen: &Seen, weight: f64, pace: &Pace) {
        let x = seen.value;
        if self.seen == 0.0 {
            let only = x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            *self = Self { seen: 1.0, mean: x, recent: x, low: only, high: only, ..Self::default() };
            return;
        }
        self.moves |= x != self.recent;
        let gain = weight * (1.0 / (self.seen + 1.0)).max(pace.gain).min(1.0);
        let young = self.seen < 2.0 * YOUNG;
        let floor = self.floor();
        let (mut from_mean, mut square) = (x - self.mean, seen.edge * seen.edge);
        if !young {
            let bound = (LEVEL_WINSOR * LEVEL_WINSOR * self.var + floor * floor).sqrt();
            from_mean = from_mean.clamp(-bound, bound);
            square = square.min(WINSOR * WINSOR * self.edge_square.max(floor * floor));
        }
        self.mean += gain * from_mean;
        self.var += gain * (from_mean * from_mean - self.var);
        if !pace.fresh {
            self.edge_square += gain * (square - self.edge_square);
            self.edge_record *= pace.fade;
            if self.seen >= YOUNG && seen.edge > self.edge_record {
                self.edge_record += weight * (seen.edge - self.edge_record);
            }
        }
        let single = x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        (self.low, self.high) = (self.low.min(single), self.high.max(single));
        self.seen += 1.0;
    }

    /// Learns how large residuals are.
    pub(super) fn learn_residual(&mut self, compared: f64, weight: f64, pace: &Pace) {
        let size = self.residual.abs();
        let gain = (weight * (1.0 / (compared + 1.0)).max(pace.gain).min(1.0)) as f32;
        let mut square = size * size;
        if compared >= YOUNG {
            let floor = (RESIDUAL_FLOOR * RESIDUAL_FLOOR) as f32;
            square = square.min((WINSOR * WINSOR) as f32 * self.residual_square.max(floor));
            self.residual_record *= pace.fade as f32;
            if size > self.residual_record {
                self.residual_record += weight as f32 * (size - self.residual_record);
            }
        }
        self.residual_square += gain * (square - self.residual_square);
    }

    /// The row has gone by, learnt or not.
    pub(super) fn follow(&mut self, x: f64, pace: &Pace) {
        if pace.fresh {
            self.recent = x;
        } else {
            self.recent += pace.recent_gain * (x - self.recent);
        }
    }

    /// It is where it is normal to be: a level that is elsewhere is learnt anew from there. How it moves stays known.
    pub(super) fn adopt(&mut self) {
        self.residual = 0.0;
        if (self.recent - self.mean).abs() > LEVEL_WINSOR * self.deviation(&Bounds::NONE) {
            self.mean = self.recent;
            self.seen = self.seen.min(YOUNG);
        }
    }

    /// Weight, mean and deviation, for merging.
    pub(super) fn moments(&self) -> (f64, f64, f64) {
        (self.seen, self.mean, self.deviation(&Bounds::NONE))
    }

    /// Adds what another instance learnt about the same metric. Level and scales exactly, by moments.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.seen <= 0.0 {
            return;
        }
        if self.seen <= 0.0 {
            *self = Self { residual: 0.0, ..other.clone() };
            return;
        }
        let seen = self.seen + other.seen;
        let share = other.seen / seen;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.merge(&Moments { mean: other.mean, var: other.var }, share);
        (self.mean, self.var) = (moments.mean, moments.var);
        self.edge_square += (other.edge_square - self.edge_square) * share;
        self.residual_square += (other.residual_square - self.residual_square) * share as f32;
        self.edge_record = self.edge_record.max(other.edge_record);
        self.residual_record = self.residual_record.max(other.residual_record);
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
        self.moves |= other.moves;
        self.seen = seen;
    }

    /// Whether every number in it is one that this program can have written.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = [self.mean, self.recent, f64::from(self.low), f64::from(self.high)];
        let not_negative = [
            self.seen,
            self.var,
            self.edge_square,
            self.edge_record,
            f64::from(self.residual_square),
            f64::from(self.residual_record),
        ];
        self.low <= self.high
            && self.residual.is_finite()
            && self.residual.abs() < 1e6
            && numbers.iter().all(|x| x.is_finite() && x.abs() < 1e121)
            && not_negative.iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

/// `a / b`, where nothing over nothing is nothing; bounded.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 {
        0.0
    } else if b > 0.0 {
        (a / b).clamp(-MOST, MOST)
    } else {
        MOST.copysign(a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larnax_core::Direction;

    const PACE: Pace = Pace {
        gain: 1e-4,
        recent_gain: 0.5,
        residual_gain: 0.2,
        fade: 0.999,
        cap: 50.0,
        fresh: false,
        compared: true,
    };

    fn feed(motion: &mut Motion, x: f64) -> f64 {
        let (edge, size, _) = motion.judge(x, &Bounds::NONE, &PACE);
        motion.learn(&Seen { value: x, edge: edge.abs(), part: 0.0 }, 1.0, &PACE);
        motion.follow(x, &PACE);
        size
    }

    fn swinging(n: usize) -> Motion {
        let mut motion = Motion::default();
        (0..n).for_each(|i| {
            feed(&mut motion, (i % 7) as f64);
        });
        motion
    }

    #[test]
    fn a_leap_counts_less_each_time_it_has_been_seen() {
        let mut motion = swinging(500);
        let first = feed(&mut motion, 100.0);
        (0..50).for_each(|i| {
            feed(&mut motion, (i % 7) as f64);
        });
        let second = feed(&mut motion, 100.0);
        assert!(first > 30.0 && second < 17.0, "{first} {second}");
    }

    #[test]
    fn less_than_the_least_is_at_most_one_and_the_other_direction_is_nothing() {
        let motion = swinging(500);
        let bounds = Bounds { least: 50.0, ..Bounds::NONE };
        assert!(motion.judge(40.0, &bounds, &PACE).1 <= 1.0);
        let below = Bounds { direction: Direction::Below, ..Bounds::NONE };
        assert_eq!(motion.judge(40.0, &below, &PACE).1, 0.0);
    }

    #[test]
    fn merging_is_exact_in_level_and_variance() {
        let (mut a, mut b, mut whole) = (Motion::default(), Motion::default(), Motion::default());
        let pace = Pace { gain: 0.0, ..PACE };
        let teach =
            |motion: &mut Motion, x: f64| motion.learn(&Seen { value: x, edge: 0.0, part: 0.0 }, 1.0, &pace);
        for i in 0..100 {
            let x = f64::from(i * 37 % 100);
            teach(if i < 50 { &mut a } else { &mut b }, x);
            teach(&mut whole, x);
        }
        a.merge(&b);
        assert!((a.mean - whole.mean).abs() < 1e-9);
    }
}
