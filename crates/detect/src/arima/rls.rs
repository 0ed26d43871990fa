//! ARIMA by recursive least squares, each metric with coefficients of its own: the detector `arima` (specification 2.5).
//!
//! With h = (xₜ₋₁..xₜ₋ₖ, 1), the coefficients γ minimise Σ wₛλᵗ⁻ˢ(xₛ − γ·hₛ)² + λᵗ‖γ‖², exactly and at every row:
//! K = wPh/(λ + w·hᵀPh), γ ← γ + K(x − γ·h), P ← (P − K(Ph)ᵀ)/λ. It is the online Newton step with the true Hessian.
//! P is symmetric and only its lower half is kept; four metrics are worked on side by side (`lanes`).
//!
//! **When it fails.** After a long calm the coefficients describe the calm. Guards: nothing is learnt while the lags don't
//! move (P would grow without bound), and P starts anew where it has grown too large. See [`super`] for the rest.
//!
//! **Parameters.** k = [`ORDER`] lags of normalised values, not differenced, [`ORDER_OF_MANY`] above [`FEW`] metrics, so
//! that ten thousand fit into 4 MiB; λ = 1 − period/[`MEMORY`], with at least [`MIN_SAMPLES`].
//!
//! **Cost.** About 4(k+1)² flops a metric and row; (k+1)(k+2)/2 + 2k + 4 numbers a metric: 520 bytes, of many 210.
//!
//! **Source.** Ljung and Söderström, Theory and Practice of Recursive Identification, 1983; specification 2.5.

use super::inconsistent;
use super::inverse::{pooled, times};
use super::lags::{Lags, MOST, SavedLags};
use super::lanes::{LANES, Lane, Lanes, give, take};
use crate::detector::{DetectError, DetectorKind};
use crate::identity::Identity;

/// Lags looked back at.
pub const ORDER: usize = 8;
/// The same where there are more than [`FEW`] metrics.
pub const ORDER_OF_MANY: usize = 4;
/// Metrics up to which [`ORDER`] holds.
pub const FEW: usize = 256;
/// Memory in seconds, and in samples at least: λ = 0.999 at 2 Hz (specification 2.5).
pub const MEMORY: f64 = 500.0;
/// See [`MEMORY`].
pub const MIN_SAMPLES: f64 = 1_000.0;
/// Lags that differ by less than this teach nothing.
const UNEXCITED: f64 = 1e-9;
/// Mean of P's diagonal above which it starts anew.
const MOST_INVERSE: f64 = 1e6;
/// Largest coefficient that is believed.
const MOST_COEFFICIENT: f64 = 1e6;

/// The identity function.
#[derive(Clone, Debug)]
pub struct Rls {
    order: usize,
    keep: f64,
    lags: Lags,
    /// γ, the constant last.
    coefficients: Lanes,
    /// The lower half of P, row by row.
    inverse: Lanes,
    /// What is left of the first P⁻¹, λᵗ: a merge must not count it twice.
    prior: Vec<f64>,
    expected: Vec<f64>,
}

/// How it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedRls {
    /// Histories.
    #[prost(message, optional, tag = "1")]
    pub lags: Option<SavedLags>,
    /// k + 1 for each metric, the constant last.
    #[prost(double, repeated, tag = "2")]
    pub coefficients: Vec<f64>,
    /// (k+1)(k+2)/2 for each metric: the lower half of P, row by row.
    #[prost(double, repeated, tag = "3")]
    pub inverse: Vec<f64>,
    /// One for each metric.
    #[prost(double, repeated, tag = "4")]
    pub prior: Vec<f64>,
}

impl Rls {
    fn of(width: usize) -> Self {
        let order = if width <= FEW { ORDER } else { ORDER_OF_MANY };
        Self {
            order,
            keep: 1.0 - 1.0 / MIN_SAMPLES,
            lags: Lags::new(width, order, 0),
            coefficients: Lanes::new(width, order + 1),
            inverse: Lanes::filled(width, &unit(order + 1)),
            prior: vec![1.0; width],
            expected: vec![f64::NAN; width],
        }
    }

    /// A metric's coefficients, of the newest lag first, the constant last.
    pub fn coefficients(&self, metric: usize) -> Vec<f64> {
        let mut coefficients = vec![0.0; self.order + 1];
        self.coefficients.copy(metric, &mut coefficients);
        coefficients
    }

    /// Learns a block of four metrics; `N` is the number of coefficients.
    ///
    /// Hot: no allocation, no branch in the loops.
    fn learn_block<const N: usize>(&mut self, block: usize, row: &[f64], weight: f64) {
        let mut h = [[1.0; LANES]; N];
        let (mut lowest, mut highest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        for (i, slot) in h.iter_mut().take(N - 1).enumerate() {
            *slot = *self.lags.lag(block, i);
            for lane in 0..LANES {
                lowest[lane] = lowest[lane].min(slot[lane]);
                highest[lane] = highest[lane].max(slot[lane]);
            }
        }
        let (xs, forecasts) = (take(row, block), take(&self.expected, block));
        // A metric that has nothing to teach has weight 0 and forgets nothing.
        let (mut error, mut weights, mut keep) = ([0.0; LANES], [0.0; LANES], [1.0; LANES]);
        for lane in 0..LANES {
            let e = xs[lane] - forecasts[lane];
            if e.is_finite() && highest[lane] - lowest[lane] > UNEXCITED {
                error[lane] = e.clamp(-MOST, MOST);
                weights[lane] = weight;
                keep[lane] = 1.0 - (1.0 - self.keep) * weight;
                if let Some(prior) = self.prior.get_mut(block * LANES + lane) {
                    *prior *= keep[lane];
                }
            }
        }
        let inverse = self.inverse.block_mut(block);
        let coefficients = self.coefficients.block_mut(block);
        let mut along = [[0.0; LANES]; N];
        let mut rows: &[Lane] = inverse;
        for i in 0..N {
            let (row, rest) = rows.split_at(i + 1);
            rows = rest;
            let (own, mut sum) = (h[i], [0.0; LANES]);
            for j in 0..i {
                for lane in 0..LANES {
                    sum[lane] += row[j][lane] * h[j][lane];
                    along[j][lane] += row[j][lane] * own[lane];
                }
            }
            for lane in 0..LANES {
                along[i][lane] = sum[lane] + row[i][lane] * own[lane];
            }
        }
        let mut gain = keep;
        for (ph, h) in along.iter().zip(&h) {
            for lane in 0..LANES {
                gain[lane] += weights[lane] * ph[lane] * h[lane];
            }
        }
        let mut grow = [1.0; LANES];
        for lane in 0..LANES {
            // Below `keep` only where P has stopped being positive: then it ends in the guard below.
            gain[lane] = if gain[lane] >= keep[lane] { weights[lane] / gain[lane] } else { f64::NAN };
            grow[lane] = 1.0 / keep[lane];
        }
        for (c, ph) in coefficients.iter_mut().zip(&along) {
            for lane in 0..LANES {
                c[lane] += gain[lane] * ph[lane] * error[lane];
            }
        }
        let (mut trace, mut sum) = ([0.0; LANES], [0.0; LANES]);
        let mut rows: &mut [Lane] = inverse;
        for i in 0..N {
            let (row, rest) = rows.split_at_mut(i + 1);
            rows = rest;
            let mut pull = [0.0; LANES];
            for lane in 0..LANES {
                pull[lane] = gain[lane] * along[i][lane] * grow[lane];
            }
            for j in 0..=i {
                for lane in 0..LANES {
                    row[j][lane] = row[j][lane] * grow[lane] - pull[lane] * along[j][lane];
                }
            }
            for lane in 0..LANES {
                trace[lane] += row[i][lane];
                sum[lane] += coefficients[i][lane].abs();
            }
        }
        let sound = |lane: usize| trace[lane] <= MOST_INVERSE * N as f64 && sum[lane] <= MOST_COEFFICIENT;
        if !(0..LANES).all(sound) {
            for lane in (0..LANES).filter(|&lane| !sound(lane)) {
                self.start_anew(block * LANES + lane);
            }
        }
    }

    /// P starts anew, from coefficients that are kept where they are numbers.
    #[cold]
    fn start_anew(&mut self, metric: usize) {
        let Some(prior) = self.prior.get_mut(metric) else { return };
        // What stands on the diagonal from now on vouches for the coefficients, and counts.
        *prior = 0.0;
        let mut coefficients = vec![0.0; self.order + 1];
        self.coefficients.copy(metric, &mut coefficients);
        let size: f64 = coefficients.iter().map(|c| c.abs()).sum();
        if size.is_nan() || size > MOST_COEFFICIENT {
            coefficients.fill(0.0);
            self.coefficients.put(metric, &coefficients);
        }
        self.inverse.put(metric, &unit(self.order + 1));
    }

    /// A metric's P in full, row by row.
    fn full(&self, metric: usize) -> Vec<f64> {
        let n = self.order + 1;
        let at = |i: usize, j: usize| if i >= j { i * (i + 1) / 2 + j } else { j * (j + 1) / 2 + i };
        (0..n * n).map(|place| self.inverse.get(metric, at(place / n, place % n))).collect()
    }

    fn set_full(&mut self, metric: usize, full: &[f64]) {
        let n = self.order + 1;
        let mut at = 0;
        for i in 0..n {
            for j in 0..=i {
                self.inverse.set(metric, at, full[i * n + j]);
                at += 1;
            }
        }
    }
}

impl Identity for Rls {
    type Saved = SavedRls;
    const KIND: DetectorKind = DetectorKind::Arima;
    const VERSION: u16 = 1;
    const LOOKS_BACK: u32 = ORDER as u32;

    fn new() -> Self {
        Self::of(0)
    }

    fn tune(&mut self, period: f64) {
        self.keep = 1.0 - period / MEMORY.max(MIN_SAMPLES * period);
    }

    /// What was learnt with another number of lags can't be kept: it is learnt afresh.
    fn rearrange(&mut self, from: &[Option<usize>]) {
        let old = std::mem::replace(self, Self::of(from.len()));
        self.keep = old.keep;
        if old.order != self.order {
            return;
        }
        self.coefficients = old.coefficients.rearranged(from, &vec![0.0; self.order + 1]);
        self.inverse = old.inverse.rearranged(from, &unit(self.order + 1));
        self.prior =
            from.iter().map(|at| at.and_then(|at| old.prior.get(at)).copied().unwrap_or(1.0)).collect();
        self.lags = old.lags;
        self.lags.rearrange(from);
    }

    fn expect(&mut self, _row: &[f64], expected: &mut [f64]) {
        for block in 0..self.lags.blocks() {
            let coefficients = self.coefficients.block(block);
            let mut forecast: Lane = coefficients[self.order];
            for (i, c) in coefficients.iter().take(self.order).enumerate() {
                let lag = self.lags.lag(block, i);
                for lane in 0..LANES {
                    forecast[lane] += c[lane] * lag[lane];
                }
            }
            for (f, known) in forecast.iter_mut().zip(self.lags.known(block)) {
                *f = if known { *f } else { f64::NAN };
            }
            give(&forecast, &mut self.expected, block);
        }
        expected.copy_from_slice(&self.expected);
    }

    fn learn(&mut self, row: &[f64], weight: f64) {
        if weight > 0.0 {
            for block in 0..self.lags.blocks() {
                if self.order == ORDER {
                    self.learn_block::<{ ORDER + 1 }>(block, row, weight);
                } else {
                    self.learn_block::<{ ORDER_OF_MANY + 1 }>(block, row, weight);
                }
            }
        }
        self.lags.push(row, &self.expected);
        self.expected.fill(f64::NAN);
    }

    fn gap(&mut self) {
        self.lags.forget();
    }

    /// With h' = Th, T = (a·I, b; 0, 1): γ stays, the constant becomes a·c + b(1 − Σγ), and P becomes T⁻ᵀPT⁻¹.
    fn reframe(&mut self, metric: usize, a: f64, b: f64) {
        if (a, b) == (1.0, 0.0) || !(a > 0.0 && a.is_finite() && b.is_finite()) {
            return;
        }
        let (k, n) = (self.order, self.order + 1);
        let mut gamma = self.coefficients(metric);
        gamma[k] = a * gamma[k] + b * (1.0 - gamma[..k].iter().sum::<f64>());
        self.coefficients.put(metric, &gamma);
        let p = self.full(metric);
        // The last column of T⁻¹.
        let u: Vec<f64> = (0..n).map(|i| if i == k { 1.0 } else { -b / a }).collect();
        let pu = times(&p, &u);
        let mut rewritten = p;
        for i in 0..n {
            for j in 0..n {
                rewritten[i * n + j] = match (i == k, j == k) {
                    (false, false) => rewritten[i * n + j] / (a * a),
                    (true, false) => pu[j] / a,
                    (false, true) => pu[i] / a,
                    (true, true) => u.iter().zip(&pu).map(|(u, p)| u * p).sum(),
                };
            }
        }
        self.set_full(metric, &rewritten);
        self.prior[metric] = 0.0;
        if !rewritten.iter().chain(&gamma).all(|x| x.abs() <= MOST_COEFFICIENT) {
            self.start_anew(metric);
        }
        self.lags.reframe(metric, a, b);
    }

    fn save(&self) -> SavedRls {
        SavedRls {
            lags: Some(self.lags.save()),
            coefficients: self.coefficients.save(),
            inverse: self.inverse.save(),
            prior: self.prior.clone(),
        }
    }

    fn restore(&mut self, saved: SavedRls) -> Result<(), DetectError> {
        let width = self.lags.width();
        let n = self.order + 1;
        let most = MOST_INVERSE * n as f64;
        let lags = saved.lags.and_then(|lags| self.lags.restored(&lags));
        let coefficients = Lanes::restore(width, n, &saved.coefficients, MOST_COEFFICIENT);
        let inverse = Lanes::restore(width, n * (n + 1) / 2, &saved.inverse, most);
        let prior = saved.prior.len() == width && saved.prior.iter().all(|p| (0.0..=1.0).contains(p));
        let (Some(lags), Some(coefficients), Some(inverse), true) = (lags, coefficients, inverse, prior)
        else {
            return Err(inconsistent(Self::KIND, "lags, coefficients or their certainty"));
        };
        (self.lags, self.coefficients, self.inverse, self.prior) = (lags, coefficients, inverse, saved.prior);
        self.expected.fill(f64::NAN);
        Ok(())
    }

    /// Exact: the result is the ridge regression over the rows of both (specification 10.1).
    fn merge(&mut self, other: SavedRls) -> Result<(), DetectError> {
        let mut theirs = self.clone();
        theirs.restore(other)?;
        for metric in 0..self.lags.width() {
            let (mine, yours) = (self.full(metric), theirs.full(metric));
            let both = pooled(
                (&mine, &self.coefficients(metric)),
                (&yours, &theirs.coefficients(metric)),
                theirs.prior[metric],
            );
            if let Some((p, gamma)) = both
                && gamma.iter().chain(&p).all(|x| x.abs() <= MOST_COEFFICIENT)
            {
                self.set_full(metric, &p);
                self.coefficients.put(metric, &gamma);
            }
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.lags.bytes()
            + self.coefficients.bytes()
            + self.inverse.bytes()
            + size_of::<f64>() * (self.prior.capacity() + self.expected.capacity())
    }
}

/// The lower half of the n × n unit matrix, row by row.
fn unit(n: usize) -> Vec<f64> {
    (0..n).flat_map(|i| (0..=i).map(move |j| if i == j { 1.0 } else { 0.0 })).collect()
}

#[cfg(test)]
#[path = "rls_tests.rs"]
mod tests;
