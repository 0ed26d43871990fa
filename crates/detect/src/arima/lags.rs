//! What autoregression looks back at: the last values of each metric, differenced.
//!
//! Kept are k values of ∇ᵈx and the last ∇⁰x..∇ᵈ⁻¹x (specification 2.1). A metric of which nothing is known is taken to
//! have stood at its first value before; the alternative, zeros, makes the first forecasts after a gap far off for what
//! wanders. A missing value is replaced by the forecast, [`MOST_CARRIED`] times in a row; then the history is forgotten.

use super::lanes::{LANES, Lane, Lanes, take};

/// Missing values in a row that forecasts stand in for (specification 0.2).
const MOST_CARRIED: u8 = 5;
/// Nothing is known of this metric's past.
const UNKNOWN: u8 = u8::MAX;
/// The largest normalised value; forecasts that stand in for values are held to it.
pub(crate) const MOST: f64 = 20.0;
/// The largest number that a history can hold: differences of values, in another frame.
const MOST_SAVED: f64 = 1e6;

/// Histories of all metrics.
#[derive(Clone, Debug)]
pub(crate) struct Lags {
    order: usize,
    differences: usize,
    /// ∇ᵈx at t−1..t−k, a ring.
    values: Lanes,
    newest: usize,
    /// ∇⁰x..∇ᵈ⁻¹x at t−1.
    levels: Lanes,
    /// Values in a row that forecasts stood in for, or [`UNKNOWN`].
    carried: Vec<[u8; LANES]>,
}

/// How they are saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedLags {
    /// k values for each metric, the newest first.
    #[prost(double, repeated, tag = "1")]
    pub values: Vec<f64>,
    /// d values for each metric.
    #[prost(double, repeated, tag = "2")]
    pub levels: Vec<f64>,
    /// One for each metric.
    #[prost(bytes = "vec", tag = "3")]
    pub carried: Vec<u8>,
}

impl Lags {
    /// Of `width` metrics of which nothing is known.
    pub(crate) fn new(width: usize, order: usize, differences: usize) -> Self {
        Self {
            order,
            differences,
            values: Lanes::new(width, order),
            newest: 0,
            levels: Lanes::new(width, differences),
            carried: vec![[UNKNOWN; LANES]; width.div_ceil(LANES)],
        }
    }

    /// Blocks of four metrics.
    pub(crate) fn blocks(&self) -> usize {
        self.carried.len()
    }

    /// How many metrics.
    pub(crate) fn width(&self) -> usize {
        self.values.width()
    }

    /// ∇ᵈx of a block, `i` + 1 rows ago.
    pub(crate) fn lag(&self, block: usize, i: usize) -> &Lane {
        let at = self.newest + i;
        &self.values.block(block)[if at < self.order { at } else { at - self.order }]
    }

    /// What an undifferenced forecast starts from: the sum of ∇⁰x..∇ᵈ⁻¹x.
    pub(crate) fn base(&self, block: usize) -> Lane {
        let mut base = [0.0; LANES];
        for level in self.levels.block(block) {
            base.iter_mut().zip(level).for_each(|(b, l)| *b += l);
        }
        base
    }

    /// Whether anything is known of each of four metrics.
    pub(crate) fn known(&self, block: usize) -> [bool; LANES] {
        self.carried[block].map(|c| c != UNKNOWN)
    }

    /// A row has gone by; `expected` stands in for what is missing in it.
    ///
    /// Hot: no allocation.
    pub(crate) fn push(&mut self, row: &[f64], expected: &[f64]) {
        self.newest = (self.newest + self.order - 1) % self.order;
        for block in 0..self.blocks() {
            let (xs, stand_ins) = (take(row, block), take(expected, block));
            for lane in 0..LANES {
                let carried = self.carried[block][lane];
                if carried != UNKNOWN && xs[lane].is_finite() {
                    self.carried[block][lane] = 0;
                    self.follow(block, lane, xs[lane]);
                } else if carried < MOST_CARRIED && stand_ins[lane].is_finite() {
                    self.carried[block][lane] = carried + 1;
                    self.follow(block, lane, stand_ins[lane].clamp(-MOST, MOST));
                } else if xs[lane].is_finite() {
                    self.carried[block][lane] = 0;
                    self.stand(block, lane, xs[lane]);
                } else if carried != UNKNOWN {
                    self.carried[block][lane] = UNKNOWN;
                    self.stand(block, lane, 0.0);
                }
            }
        }
    }

    fn follow(&mut self, block: usize, lane: usize, x: f64) {
        let mut difference = x;
        for level in self.levels.block_mut(block) {
            let last = std::mem::replace(&mut level[lane], difference);
            difference -= last;
        }
        self.values.block_mut(block)[self.newest][lane] = difference;
    }

    /// As if the metric had always stood at `x`.
    fn stand(&mut self, block: usize, lane: usize, x: f64) {
        let value = if self.differences == 0 { x } else { 0.0 };
        self.values.block_mut(block).iter_mut().for_each(|row| row[lane] = value);
        self.levels.block_mut(block).iter_mut().for_each(|row| row[lane] = 0.0);
        if let Some(level) = self.levels.block_mut(block).first_mut() {
            level[lane] = x;
        }
    }

    /// All histories are forgotten.
    pub(crate) fn forget(&mut self) {
        for block in 0..self.blocks() {
            self.carried[block] = [UNKNOWN; LANES];
            for lane in 0..LANES {
                self.stand(block, lane, 0.0);
            }
        }
    }

    /// Other metrics.
    pub(crate) fn rearrange(&mut self, from: &[Option<usize>]) {
        let old = std::mem::replace(self, Self::new(from.len(), self.order, self.differences));
        self.newest = old.newest;
        self.values = old.values.rearranged(from, &vec![0.0; self.order]);
        self.levels = old.levels.rearranged(from, &vec![0.0; self.differences]);
        for (metric, at) in from.iter().enumerate() {
            if let Some(at) = at.filter(|&at| at < old.width()) {
                self.carried[metric / LANES][metric % LANES] = old.carried[at / LANES][at % LANES];
            }
        }
    }

    /// Values of a metric become scale·x + offset.
    pub(crate) fn reframe(&mut self, metric: usize, scale: f64, offset: f64) {
        if self.carried[metric / LANES][metric % LANES] == UNKNOWN {
            return;
        }
        let held = |x: f64| x.clamp(-MOST_SAVED, MOST_SAVED);
        for i in 0..self.order {
            let shift = if self.differences == 0 { offset } else { 0.0 };
            self.values.set(metric, i, held(scale * self.values.get(metric, i) + shift));
        }
        for i in 0..self.differences {
            let shift = if i == 0 { offset } else { 0.0 };
            self.levels.set(metric, i, held(scale * self.levels.get(metric, i) + shift));
        }
    }

    pub(crate) fn save(&self) -> SavedLags {
        let metrics = 0..self.width();
        SavedLags {
            values: metrics
                .clone()
                .flat_map(|m| (0..self.order).map(move |i| self.lag(m / LANES, i)[m % LANES]))
                .collect(),
            levels: self.levels.save(),
            carried: metrics.map(|m| self.carried[m / LANES][m % LANES]).collect(),
        }
    }

    /// What was saved of as many metrics, lags and differences; none where it can't be.
    pub(crate) fn restored(&self, saved: &SavedLags) -> Option<Self> {
        let (width, order, differences) = (self.width(), self.order, self.differences);
        let sound = |&c: &u8| c <= MOST_CARRIED || c == UNKNOWN;
        if saved.carried.len() != width || !saved.carried.iter().all(sound) {
            return None;
        }
        let mut lags = Self::new(width, order, differences);
        lags.values = Lanes::restore(width, order, &saved.values, MOST_SAVED)?;
        lags.levels = Lanes::restore(width, differences, &saved.levels, MOST_SAVED)?;
        for (metric, &carried) in saved.carried.iter().enumerate() {
            lags.carried[metric / LANES][metric % LANES] = carried;
        }
        Some(lags)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes() + self.levels.bytes() + self.carried.capacity() * LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_differences_of_a_square_are_constant_and_its_levels_lead_on() {
        let mut lags = Lags::new(1, 3, 2);
        for t in 0..8 {
            lags.push(&[f64::from(t * t)], &[f64::NAN]);
        }
        assert_eq!([0, 1, 2].map(|i| lags.lag(0, i)[0]), [2.0; 3]);
        assert_eq!(lags.base(0)[0] + lags.lag(0, 0)[0], 64.0);
    }

    #[test]
    fn forecasts_stand_in_for_five_missing_values_and_not_for_more() {
        let mut lags = Lags::new(2, 2, 0);
        lags.push(&[3.0, 1.0], &[f64::NAN; 2]);
        for i in 0..5 {
            lags.push(&[f64::NAN, 1.0], &[4.0 + f64::from(i), 1.0]);
            assert_eq!((lags.known(0)[0], lags.lag(0, 0)[0]), (true, 4.0 + f64::from(i)));
        }
        lags.push(&[f64::NAN, 1.0], &[9.0, 1.0]);
        assert_eq!(lags.known(0)[..2], [false, true]);
        lags.push(&[7.0, 1.0], &[f64::NAN; 2]);
        assert_eq!((lags.known(0)[0], lags.lag(0, 0)[0], lags.lag(0, 1)[0]), (true, 7.0, 7.0));
    }
}
