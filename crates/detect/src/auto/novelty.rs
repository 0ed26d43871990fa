//! Two kinds of novelty, and how rare a signal is.
//!
//! **Beyond the range.** A value outside everything seen in the last 30 to 60 days. That the next of n exchangeable values
//! is the largest has probability 1/(n + 1) whatever they are drawn from, and how far records exceed each other is
//! learnt from the records of the series itself, as an exponential tail in the logarithm. So this signal keeps its promise
//! on heavy tails without assuming a distribution.
//!
//! **Unlike any shape.** The distance of the last twelve z-scores to the nearest of 64 earlier stretches, which are
//! kept because they were far from each other; the one that was longest of no use is replaced.
//!
//! **How rare.** A signal's distance from its own running mean in running deviations, as decades of a Gaussian upper tail.
//! That promises too much on heavy tails; [`crate::auto::alarm`] makes up for it.
//!
//! Cost: 768 multiplications; 64 · 12 numbers in `f32`.

use crate::normalise::Moments;

/// Values in a shape.
pub const LAGS: usize = 12;
/// Shapes that are kept.
const SHAPES: usize = 64;
/// A shape is kept for its distance while there is room: this many mean distances,
const NEW: f64 = 0.5;
/// and this many where it replaces another.
const REPLACE: f64 = 1.5;
/// The range is remembered for one to two of these, in seconds: 30 days.
const GENERATION: f64 = 30.0 * 86_400.0;
/// Values before the range means anything.
const MIN_RANGE: f64 = 50.0;
/// How far records exceed each other, before any was seen, and after how many of them half of that is forgotten. A tenth in
/// the logarithm of distances from the middle lies between a Gaussian (0.06 at a thousand values) and Student's t.
const RECORD_EXCESS: f64 = 0.1;
const RECORD_PRIOR: f64 = 16.0;
/// One record moves that by at most so much.
const RECORD_CLIP: f64 = 0.5;

/// The range of the last 30 to 60 days, in two generations; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Range {
    /// Both generations.
    #[prost(double, tag = "1")]
    low: f64,
    #[prost(double, tag = "2")]
    high: f64,
    /// The younger one.
    #[prost(double, tag = "3")]
    young_low: f64,
    #[prost(double, tag = "4")]
    young_high: f64,
    /// Seconds since the younger one began.
    #[prost(double, tag = "5")]
    young_age: f64,
    /// Records, and the sum of the logarithms of how far each exceeded the one before.
    #[prost(double, tag = "6")]
    records: f64,
    #[prost(double, tag = "7")]
    excess: f64,
}

impl Range {
    /// How surprising it is, in decades, that `x` comes after `seen` values in `age` seconds; 0 inside the range.
    pub fn surprise(&self, x: f64, seen: f64, age: f64) -> f64 {
        let beyond = self.beyond(x);
        if seen <= MIN_RANGE || beyond <= 0.0 {
            return 0.0;
        }
        let remembered = seen * (2.0 * GENERATION / age.max(1.0)).min(1.0);
        let scale = (RECORD_PRIOR * RECORD_EXCESS + self.excess) / (RECORD_PRIOR + self.records);
        remembered.log10() + (1.0 + 2.0 * beyond).log10() / scale
    }

    /// Takes in a value `elapsed` seconds after the one before.
    pub fn learn(&mut self, x: f64, seen: f64, elapsed: f64, weight: f64) {
        if seen < 1.0 {
            *self = Self { low: x, high: x, young_low: x, young_high: x, ..Self::default() };
            return;
        }
        self.young_age += elapsed;
        if self.young_age > GENERATION {
            (self.low, self.high) = (self.young_low, self.young_high);
            (self.young_low, self.young_high, self.young_age) = (x, x, 0.0);
        }
        let beyond = self.beyond(x);
        if beyond > 0.0 && seen > MIN_RANGE {
            self.records += weight;
            self.excess += weight * (1.0 + 2.0 * beyond).ln().min(RECORD_CLIP);
        }
        self.low += weight * (x - self.low).min(0.0);
        self.high += weight * (x - self.high).max(0.0);
        self.young_low += weight * (x - self.young_low).min(0.0);
        self.young_high += weight * (x - self.young_high).max(0.0);
    }

    /// `x` is normal, whatever was seen before.
    pub fn include(&mut self, x: f64) {
        (self.low, self.young_low) = (self.low.min(x), self.young_low.min(x));
        (self.high, self.young_high) = (self.high.max(x), self.young_high.max(x));
    }

    /// Adds another range.
    pub fn merge(&mut self, other: &Self) {
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
        self.young_low = self.young_low.min(other.young_low);
        self.young_high = self.young_high.max(other.young_high);
        self.young_age = self.young_age.min(other.young_age);
        self.records += other.records;
        self.excess += other.excess;
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        let numbers = [self.low, self.high, self.young_low, self.young_high];
        numbers.iter().all(|x| x.is_finite())
            && self.low <= self.high
            && self.young_low <= self.young_high
            && [self.young_age, self.records, self.excess].iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    /// How far outside, in widths of the range.
    fn beyond(&self, x: f64) -> f64 {
        let width = self.high - self.low;
        if width > 0.0 { (x - self.high).max(self.low - x).max(0.0) / width } else { 0.0 }
    }
}

/// The last twelve z-scores and 64 earlier stretches; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Shapes {
    /// The newest first.
    #[prost(float, repeated, tag = "1")]
    last: Vec<f32>,
    /// How many of `last` are neighbours.
    #[prost(uint32, tag = "2")]
    filled: u32,
    /// `LAGS` numbers for each shape.
    #[prost(float, repeated, tag = "3")]
    kept: Vec<f32>,
    /// At which step each was the nearest.
    #[prost(uint64, repeated, tag = "4")]
    used: Vec<u64>,
    /// Steps learnt.
    #[prost(uint64, tag = "5")]
    step: u64,
    /// Mean distance to the nearest.
    #[prost(double, tag = "6")]
    mean: f64,
}

impl Shapes {
    /// None known. All memory that will ever be needed is taken here.
    pub fn new() -> Self {
        Self {
            last: vec![0.0; LAGS],
            kept: Vec::with_capacity(SHAPES * LAGS),
            used: Vec::with_capacity(SHAPES),
            ..Self::default()
        }
    }

    /// Takes in a z-score; gives the distance of the last twelve to the nearest known shape, and which that is.
    pub fn push(&mut self, z: f64) -> Option<Nearest> {
        self.last.rotate_right(1);
        if let Some(newest) = self.last.first_mut() {
            *newest = z as f32;
        }
        self.filled = (self.filled + 1).min(LAGS as u32);
        if self.filled < LAGS as u32 {
            return None;
        }
        let mut nearest = Nearest { distance: 0.0, shape: None };
        let mut best = f32::INFINITY;
        for (shape, kept) in self.kept.chunks_exact(LAGS).enumerate() {
            // Four sums side by side: one vector instruction each, and the same rounding on every CPU.
            let mut sums = [0.0f32; 4];
            for (a, b) in kept.chunks_exact(4).zip(self.last.chunks_exact(4)) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += (a - b) * (a - b);
                }
            }
            let square = (sums[0] + sums[1]) + (sums[2] + sums[3]);
            if square < best {
                best = square;
                nearest = Nearest { distance: f64::from(square).sqrt(), shape: Some(shape) };
            }
        }
        Some(nearest)
    }

    /// Learns the last twelve values, of which [`Shapes::push`] said what is nearest; `gain` is the least for their mean.
    pub fn learn(&mut self, nearest: Nearest, gain: f64, weight: f64) {
        if weight <= 0.0 {
            return;
        }
        self.step += 1;
        let distance = nearest.distance;
        let room = self.used.len() < SHAPES;
        let replaced = match nearest.shape {
            None => room.then_some(self.used.len()),
            Some(_) if room && distance > NEW * self.mean => Some(self.used.len()),
            Some(_) if !room && distance > REPLACE * self.mean => {
                self.used.iter().enumerate().min_by_key(|(_, used)| **used).map(|(i, _)| i)
            }
            Some(_) => None,
        };
        match replaced {
            Some(i) if i == self.used.len() => {
                self.kept.extend_from_slice(&self.last);
                self.used.push(self.step);
            }
            Some(i) => {
                if let Some(kept) = self.kept.chunks_exact_mut(LAGS).nth(i) {
                    kept.copy_from_slice(&self.last);
                }
                self.touch(i);
            }
            None => self.touch(nearest.shape.unwrap_or(SHAPES)),
        }
        self.mean += weight * (1.0 / self.step as f64).max(gain) * (distance - self.mean);
    }

    /// The next value is not the neighbour of the last one.
    pub fn gap(&mut self) {
        self.filled = 0;
    }

    /// Writes everything in another frame: z becomes `scale`·z + `shift`.
    pub fn reframe(&mut self, scale: f64, shift: f64) {
        self.mean *= scale;
        for z in self.last.iter_mut().chain(&mut self.kept) {
            *z = (scale * f64::from(*z) + shift) as f32;
        }
    }

    /// Takes over shapes of another instance in the same frame, while there is room.
    pub fn merge(&mut self, other: &Self) {
        let room = SHAPES - self.used.len().min(SHAPES);
        for kept in other.kept.chunks_exact(LAGS).take(room) {
            self.kept.extend_from_slice(kept);
            self.used.push(self.step);
        }
        self.mean = self.mean.max(other.mean);
        self.step = self.step.max(other.step);
    }

    /// Makes room as [`Shapes::new`] does, after having been read from saved state.
    pub fn reserve(&mut self) {
        self.kept.reserve_exact((SHAPES * LAGS).saturating_sub(self.kept.len()));
        self.used.reserve_exact(SHAPES.saturating_sub(self.used.len()));
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.last.len() == LAGS
            && self.filled <= LAGS as u32
            && self.used.len() <= SHAPES
            && self.kept.len() == self.used.len() * LAGS
            && self.last.iter().chain(&self.kept).all(|z| z.is_finite() && z.abs() < 1e9)
            && self.used.iter().all(|used| *used <= self.step)
            && self.mean.is_finite()
            && self.mean >= 0.0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        (self.last.capacity() + self.kept.capacity()) * size_of::<f32>()
            + self.used.capacity() * size_of::<u64>()
    }

    fn touch(&mut self, shape: usize) {
        if let Some(used) = self.used.get_mut(shape) {
            *used = self.step;
        }
    }
}

/// The nearest known shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Euclidean, in z-scores; 0 where none is known.
    pub distance: f64,
    shape: Option<usize>,
}

/// How large a signal usually is; also the form in which it is saved.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Usual {
    #[prost(double, tag = "1")]
    mean: f64,
    #[prost(double, tag = "2")]
    var: f64,
    #[prost(double, tag = "3")]
    count: f64,
}

impl Usual {
    /// How surprising a signal is, in decades.
    pub fn surprise(&self, signal: f64) -> f64 {
        decades((signal - self.mean) / self.deviation())
    }

    /// How large a signal must be to lie so many deviations above its mean.
    pub fn signal(&self, deviations: f64) -> f64 {
        self.mean + deviations * self.deviation()
    }

    /// Takes in a signal; `gain` is the least.
    pub fn learn(&mut self, signal: f64, gain: f64, weight: f64) {
        self.count += weight;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.learn(signal, weight * (1.0 / self.count.max(1.0)).max(gain));
        (self.mean, self.var) = (moments.mean, moments.var);
    }

    /// What the signal measures has changed: what was learnt counts as `count` samples from now on.
    pub fn renew(&mut self, count: f64) {
        self.count = self.count.min(count);
    }

    /// Adds what another instance saw.
    pub fn merge(&mut self, other: &Self) {
        let share = other.count / (self.count + other.count).max(1.0);
        let apart = other.mean - self.mean;
        self.var += share * (other.var - self.var) + share * (1.0 - share) * apart * apart;
        self.mean += share * apart;
        self.count += other.count;
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.mean.is_finite() && [self.var, self.count].iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    fn deviation(&self) -> f64 {
        self.var.sqrt() + 1e-9
    }
}

/// −log10 of the upper tail of the Gaussian distribution, to 0.01.
pub fn decades(z: f64) -> f64 {
    use std::f64::consts::{LN_10, SQRT_2, TAU};
    if z > 3.0 {
        // Mills' ratio: 1 − Φ(z) ≈ φ(z)·z/(z² + 1).
        return (z * z / 2.0 + (z * TAU.sqrt()).ln() + (1.0 / (z * z)).ln_1p()) / LN_10;
    }
    // Abramowitz and Stegun 7.1.26 for the complementary error function, to 1.5e-7.
    let x = z.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let upper = 0.5 * polynomial * (-x * x).exp();
    -(if z >= 0.0 { upper } else { 1.0 - upper }).log10()
}

/// The z-score whose upper tail has so many decades: the inverse of [`decades`] above 1 decade, to 0.05.
pub fn quantile(decades: f64) -> f64 {
    let twice = 2.0 * std::f64::consts::LN_10 * decades.max(1.0);
    (twice - twice.ln() - std::f64::consts::TAU.ln()).max(1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_those_of_the_gaussian_tail() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.158_655), (2.0, 0.022_750), (3.0, 0.001_350), (5.0, 2.8665e-7)] {
            assert!((decades(z) + f64::log10(p)).abs() < 0.01, "{z}: {}", decades(z));
        }
        for d in [2.0, 3.3, 5.8, 12.0] {
            assert!((decades(quantile(d)) - d).abs() < 0.2, "{d}: {}", decades(quantile(d)));
        }
    }

    #[test]
    fn a_record_among_a_thousand_is_three_decades_and_more_the_farther_it_is() {
        let mut range = Range::default();
        for i in 0..1_000 {
            range.learn(f64::from(i % 101), f64::from(i), 300.0, 1.0);
        }
        let age = 300_000.0;
        assert_eq!(range.surprise(100.0, 1_000.0, age), 0.0);
        let (barely, far) = (range.surprise(100.001, 1_000.0, age), range.surprise(150.0, 1_000.0, age));
        assert!((barely - 3.0).abs() < 0.01 && far > barely + 2.0, "{barely} {far}");
    }

    #[test]
    fn the_range_of_long_ago_is_forgotten() {
        let mut range = Range::default();
        for i in 0..(100 * 24) {
            let x = if i == 10 { 1e3 } else { f64::from(i % 7) };
            range.learn(x, f64::from(i), 3_600.0, 1.0);
        }
        assert!(range.surprise(500.0, 2_400.0, 100.0 * 86_400.0) > 3.0);
    }

    #[test]
    fn a_shape_that_was_seen_is_near_and_another_is_far() {
        let mut shapes = Shapes::new();
        let mut push = |z: f64| {
            let nearest = shapes.push(z);
            if let Some(nearest) = nearest {
                shapes.learn(nearest, 0.001, 1.0);
            }
            nearest.map_or(0.0, |n| n.distance)
        };
        for i in 0..400 {
            push(f64::from(i % 6));
        }
        assert!(push(f64::from(400 % 6)) < 1e-6);
        assert!(push(15.0) > 4.0);
    }

    #[test]
    fn shapes_do_not_reach_across_a_gap() {
        let mut shapes = Shapes::new();
        (0..LAGS).for_each(|_| {
            shapes.push(1.0);
        });
        assert!(shapes.push(1.0).is_some());
        shapes.gap();
        assert!(shapes.push(1.0).is_none());
    }
}
