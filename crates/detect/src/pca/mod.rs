//! Online principal components: what a metric should be, given what the others are.
//!
//! At most [`MOST_RANK`] directions in which metrics move together are followed without a covariance matrix (candid
//! covariance-free incremental PCA); each row, one of them in turn is made orthogonal again to those before it. With the
//! variances λᵢ along directions wᵢ and the mean variance σ² of what is left, the covariance of a row is
//! Σ λᵢwᵢwᵢᵀ + σ²(I − Σ wᵢwᵢᵀ) (probabilistic PCA). What is expected of a metric is its mean *given all the others* under
//! it: x̂ = x − r/(1 − Σ sᵢwᵢ²), with r = x − Σ sᵢwᵢ(wᵢ·x) and sᵢ = 1 − σ²/λᵢ. The plain reconstruction, the alternative, lets
//! a metric vouch for itself: one that has a direction of its own is reconstructed whatever it is. As many directions
//! count as explain [`EXPLAINED`] of the variance; where nothing moves together every sᵢ is near 0 and x̂ is the mean.
//!
//! **When it fails.** What goes up everywhere as it always does together is normal at any height; only how metrics stand
//! to each other is judged. Of two metrics that are the same, it can't say which one is wrong. Metrics that wander on their
//! own are not explained by others.
//!
//! **Parameters.** Memory of [`MEMORY`] seconds, at least [`MIN_SAMPLES`].
//!
//! **Cost.** 9 multiplications a metric and direction; 88 bytes a metric.
//!
//! **Source.** Weng, Zhang, Hwang, "Candid covariance-free incremental principal component analysis", PAMI 2003; Tipping and
//! Bishop, "Probabilistic principal component analysis", JRSS B 1999.

mod pooled;

use crate::detector::{DetectError, DetectorKind};
use crate::identity::Identity;

/// Most directions; fewer than half of the metrics in any case, so that something is left to be explained by them.
pub const MOST_RANK: usize = 8;
/// Share of the variance that directions are to explain.
pub const EXPLAINED: f64 = 0.9;
/// Memory in seconds, and in samples at least.
pub const MEMORY: f64 = 3_600.0;
/// See [`MEMORY`].
pub const MIN_SAMPLES: f64 = 1_000.0;
/// Among few rows new ones count for more: 1 + l with l = 2 (Weng et al. recommend 2 to 4).
const AMNESIC: f64 = 3.0;
/// Squared length below which there is no direction.
const NOTHING: f64 = 1e-12;
/// The variance that is left is at least this share of the mean variance: copies of one metric must not be infinitely sure.
const LEAST_NOISE: f64 = 1e-3;
/// How often missing values are filled in with what the directions make of them.
const FILL: usize = 3;
/// Largest number that is believed.
const MOST: f64 = 1e6;

/// The identity function.
#[derive(Clone, Debug, Default)]
pub struct Pca {
    width: usize,
    rank: usize,
    /// `rank` rows of `width`: each direction times the variance along it.
    components: Vec<f64>,
    /// Squared lengths of the components.
    squares: Vec<f64>,
    /// sᵢ/|vᵢ|² for the directions that count, 0 for the others.
    shrinkage: Vec<f64>,
    /// Mean squared length of a row.
    total: f64,
    /// Rows learnt, by weight.
    seen: f64,
    /// Rows learnt: whose turn it is to be made orthogonal.
    turn: u64,
    period: f64,
    /// Σ sᵢwᵢ² of each metric: how much it vouches for itself.
    own: Vec<f64>,
    /// What is left of the row that is learnt; before, the row with missing values filled in.
    rest: Vec<f64>,
    guess: Vec<f64>,
}

/// How it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedPca {
    /// Components, one after the other, the same number of values for each metric.
    #[prost(double, repeated, tag = "1")]
    pub components: Vec<f64>,
    /// Mean squared length of a row.
    #[prost(double, tag = "2")]
    pub total: f64,
    /// Rows learnt, by weight.
    #[prost(double, tag = "3")]
    pub seen: f64,
    /// Rows learnt.
    #[prost(uint64, tag = "4")]
    pub turn: u64,
}

impl Pca {
    fn of(width: usize) -> Self {
        Self::with(width, MOST_RANK.min(width / 2))
    }

    fn with(width: usize, rank: usize) -> Self {
        Self {
            width,
            rank,
            components: vec![0.0; width * rank],
            squares: vec![0.0; rank],
            shrinkage: vec![0.0; rank],
            period: 1.0,
            own: vec![0.0; width],
            rest: vec![0.0; width],
            guess: vec![0.0; width],
            ..Self::default()
        }
    }

    /// The directions, each times the variance along it, largest first.
    pub fn components(&self) -> impl Iterator<Item = &[f64]> {
        self.components.chunks_exact(self.width.max(1))
    }

    /// How many directions count, and the mean variance that they leave.
    fn count(&self) -> (usize, f64) {
        let (mut explained, mut counted) = (0.0, 0);
        for square in &self.squares {
            if explained >= EXPLAINED * self.total || *square <= NOTHING {
                break;
            }
            explained += square.sqrt();
            counted += 1;
        }
        let left = (self.total - explained).max(0.0) / (self.width - counted).max(1) as f64;
        (counted, left.max(LEAST_NOISE * self.total / self.width.max(1) as f64))
    }

    /// Follows what [`Pca::count`] says.
    fn shrink(&mut self) {
        for (square, v) in self.squares.iter_mut().zip(self.components.chunks_exact(self.width.max(1))) {
            *square = dot(v, v);
        }
        let (counted, noise) = self.count();
        for (i, (s, square)) in self.shrinkage.iter_mut().zip(&self.squares).enumerate() {
            *s = if i < counted { (1.0 - noise / square.sqrt()).max(0.0) / square } else { 0.0 };
        }
        self.own.fill(0.0);
        for (v, &s) in self.components.chunks_exact(self.width.max(1)).zip(&self.shrinkage) {
            self.own.iter_mut().zip(v).for_each(|(own, v)| *own += s * v * v);
        }
    }

    /// Copies a row, a missing value becoming what the directions make of the others.
    fn fill(&mut self, row: &[f64]) {
        let mut whole = true;
        for (slot, &x) in self.rest.iter_mut().zip(row) {
            whole &= x.is_finite();
            *slot = if x.is_finite() { x } else { 0.0 };
        }
        for _ in 0..if whole { 0 } else { FILL } {
            self.guess.fill(0.0);
            for (v, &s) in self.components.chunks_exact(self.width.max(1)).zip(&self.shrinkage) {
                let along = s * dot(v, &self.rest);
                self.guess.iter_mut().zip(v).for_each(|(g, v)| *g += along * v);
            }
            for ((slot, &x), &guess) in self.rest.iter_mut().zip(row).zip(&self.guess) {
                *slot = if x.is_finite() { x } else { guess };
            }
        }
    }

    fn learn_filled(&mut self, weight: f64) {
        let n = self.seen + weight;
        let forget = self.period / MEMORY.max(MIN_SAMPLES * self.period);
        let gain = weight * (AMNESIC / n).max(forget).min(1.0);
        let mean_gain = weight * (1.0 / n).max(forget).min(1.0);
        self.total += mean_gain * (dot(&self.rest, &self.rest) - self.total);
        for v in self.components.chunks_exact_mut(self.width.max(1)) {
            let square = dot(v, v);
            if square <= NOTHING * NOTHING.sqrt() {
                if dot(&self.rest, &self.rest) > NOTHING {
                    v.copy_from_slice(&self.rest);
                }
                break;
            }
            let pull = gain * dot(&self.rest, v) / square.sqrt();
            for (v, u) in v.iter_mut().zip(&self.rest) {
                *v = (1.0 - gain) * *v + pull * u;
            }
            let square = dot(v, v);
            if square > 0.0 {
                let along = dot(&self.rest, v) / square;
                for (u, v) in self.rest.iter_mut().zip(v) {
                    *u -= along * *v;
                }
            }
        }
        self.orthogonalise((self.turn % self.rank.max(1) as u64) as usize);
        self.turn = self.turn.wrapping_add(1);
        self.seen = n;
        self.shrink();
        if !(self.total.is_finite() && self.squares.iter().all(|s| s.is_finite())) {
            *self = Self { period: self.period, ..Self::with(self.width, self.rank) };
        }
    }

    /// Makes a component orthogonal to those before it.
    fn orthogonalise(&mut self, i: usize) {
        let (before, rest) = self.components.split_at_mut(i * self.width);
        let Some(v) = rest.get_mut(..self.width) else { return };
        for w in before.chunks_exact(self.width.max(1)) {
            let square = dot(w, w);
            if square > NOTHING * NOTHING.sqrt() {
                let along = dot(v, w) / square;
                v.iter_mut().zip(w).for_each(|(v, w)| *v -= along * w);
            }
        }
    }
}

impl Identity for Pca {
    type Saved = SavedPca;
    const KIND: DetectorKind = DetectorKind::Pca;
    const VERSION: u16 = 1;
    const LOOKS_BACK: u32 = 0;

    fn new() -> Self {
        Self::of(0)
    }

    fn tune(&mut self, period: f64) {
        self.period = period;
    }

    fn rearrange(&mut self, from: &[Option<usize>]) {
        let old = std::mem::replace(self, Self::of(from.len()));
        (self.period, self.seen, self.turn) = (old.period, old.seen, old.turn);
        let places = self.components.chunks_exact_mut(from.len().max(1));
        for (new, v) in places.zip(old.components.chunks_exact(old.width.max(1))) {
            for (slot, at) in new.iter_mut().zip(from) {
                *slot = at.and_then(|at| v.get(at)).copied().unwrap_or(0.0);
            }
        }
        // New metrics are at their means as far as is known; the variance of the others stays.
        let kept = from.iter().flatten().count().min(old.width);
        self.total = old.total * kept as f64 / old.width.max(1) as f64;
        self.shrink();
    }

    fn expect(&mut self, row: &[f64], expected: &mut [f64]) {
        if self.seen <= 0.0 {
            expected.fill(0.0);
            return;
        }
        self.fill(row);
        expected.fill(0.0);
        for (v, &s) in self.components.chunks_exact(self.width.max(1)).zip(&self.shrinkage) {
            if s > 0.0 {
                let along = s * dot(v, &self.rest);
                expected.iter_mut().zip(v).for_each(|(e, v)| *e += along * v);
            }
        }
        for ((e, &x), &own) in expected.iter_mut().zip(&self.rest).zip(&self.own) {
            *e = x - (x - *e) / (1.0 - own).max(LEAST_NOISE);
        }
    }

    fn learn(&mut self, row: &[f64], weight: f64) {
        if weight > 0.0 && self.width > 0 {
            self.fill(row);
            self.learn_filled(weight);
        }
    }

    fn gap(&mut self) {}

    fn save(&self) -> SavedPca {
        SavedPca { components: self.components.clone(), total: self.total, seen: self.seen, turn: self.turn }
    }

    fn restore(&mut self, saved: SavedPca) -> Result<(), DetectError> {
        let sound = saved.components.len() == self.components.len()
            && saved.components.iter().all(|x| x.abs() <= MOST)
            && [saved.total, saved.seen].iter().all(|x| x.is_finite() && *x >= 0.0);
        if !sound {
            let reason = "components of another size, or not finite";
            return Err(DetectError::inconsistent(Self::KIND.as_str(), reason));
        }
        self.components = saved.components;
        (self.total, self.seen, self.turn) = (saved.total, saved.seen, saved.turn);
        self.shrink();
        Ok(())
    }

    /// Exact for what the directions span: the result has the largest directions of the mean of both covariances.
    fn merge(&mut self, other: SavedPca) -> Result<(), DetectError> {
        let mut theirs = self.clone();
        theirs.restore(other)?;
        if theirs.seen > 0.0 && self.width > 0 {
            let share = theirs.seen / (self.seen + theirs.seen);
            self.components = pooled::components(self, &theirs, share);
            self.total += share * (theirs.total - self.total);
            self.seen += theirs.seen;
            self.shrink();
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let numbers = self.components.capacity() + 3 * self.rest.capacity() + 2 * self.rank;
        numbers * size_of::<f64>()
    }
}

/// Inner product, four sums side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a4, a1) = a.as_chunks::<4>();
    let (b4, b1) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a4.iter().zip(b4) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a1.iter().zip(b1).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests;
