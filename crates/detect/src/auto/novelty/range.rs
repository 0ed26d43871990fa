//! Beyond the range: a value outside everything seen in the last 30 to 60 days.
//!
//! That the next of n exchangeable values is the largest has probability 1/(n + 1) whatever they are drawn from, and how
//! far records exceed each other is learnt from the records of the series itself, as an exponential tail in the logarithm.
//! So this signal keeps its promise on heavy tails without assuming a distribution.

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
