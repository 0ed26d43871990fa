//! Peaks over a threshold (SPOT, Siffer et al., KDD 2017): the tail of the errors, fitted and extrapolated.
//!
//! The first thousand errors give a level, their 98 % quantile. What later errors have beyond it goes into a generalised
//! Pareto distribution ([`super::grimshaw`]), of which the limit is the quantile that is as rare as asked for. So the limit
//! follows how heavy the tail is instead of assuming it. Errors are judged relative to their moving level (as DSPOT, but a
//! ratio: errors are positive). Fails where errors come in clusters: peaks of one burst are counted as many.

use super::grimshaw::Pareto;

/// Errors that the first level is taken from (the paper's calibration).
const CALIBRATION: usize = 1_000;
/// Share of the errors that are beyond the level.
const SHARE: f64 = 0.02;
/// Peaks that are kept: the newest.
const PEAKS: usize = 500;
/// A tail is not fitted to fewer.
const MIN_PEAKS: usize = 10;
/// The fit is renewed when this share of the peaks is new: it costs as much as a thousand rows.
const RENEW: usize = 20;
/// Where the share of peaks is this many times too large or too small, the level is wrong.
const OFF: f64 = 3.0;
/// The share of peaks is counted over at least this many samples.
const MIN_SAMPLES: f64 = 10_000.0;

/// The peaks and what was fitted to them; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Spot {
    /// What a peak is beyond; 0 while calibrating.
    #[prost(double, tag = "1")]
    level: f64,
    /// While calibrating all errors, then the excesses over the level, the oldest at `next` once there are enough.
    #[prost(double, repeated, tag = "2")]
    peaks: Vec<f64>,
    #[prost(uint32, tag = "3")]
    next: u32,
    /// Errors, and peaks among them, fading.
    #[prost(double, tag = "4")]
    seen: f64,
    #[prost(double, tag = "5")]
    beyond: f64,
    #[prost(double, tag = "6")]
    shape: f64,
    #[prost(double, tag = "7")]
    scale: f64,
    /// Peaks since the fit.
    #[prost(uint32, tag = "8")]
    fresh: u32,
}

impl Spot {
    /// The error that is exceeded with probability `tail`; none while too little is known.
    pub fn limit(&self, tail: f64) -> Option<f64> {
        let fit = Pareto { shape: self.shape, scale: self.scale, likelihood: 0.0 };
        (self.level > 0.0 && self.scale > 0.0)
            .then(|| self.level + fit.beyond(tail, self.beyond / self.seen.max(1.0)))
            .filter(|limit| limit.is_finite())
    }

    /// Takes in an error that was no anomaly. Of what was learnt a day ago half counts, by `fade`.
    pub fn learn(&mut self, error: f64, weight: f64, fade: f64) {
        if self.level <= 0.0 {
            if self.peaks.capacity() < CALIBRATION {
                self.peaks.reserve_exact(CALIBRATION - self.peaks.len());
            }
            self.peaks.push(error);
            if self.peaks.len() >= CALIBRATION {
                self.calibrate();
            }
            return;
        }
        let fade = fade.max(1.0 - 1.0 / MIN_SAMPLES);
        self.seen = self.seen * fade + weight;
        self.beyond *= fade;
        if error <= self.level {
            if self.beyond * OFF < SHARE * self.seen {
                // The errors have become smaller: nothing is known of the tail below the level.
                *self = Self { peaks: std::mem::take(&mut self.peaks), ..Self::default() };
                self.peaks.clear();
            }
            return;
        }
        self.beyond += weight;
        let excess = error - self.level;
        match self.peaks.get_mut(self.next as usize).filter(|_| self.seen > 0.0) {
            Some(oldest) => *oldest = excess,
            None => self.peaks.push(excess),
        }
        self.next = (self.next + 1) % PEAKS as u32;
        self.fresh += 1;
        if self.beyond > OFF * SHARE * self.seen && self.peaks.len() > 4 * MIN_PEAKS {
            self.raise();
        }
        if self.fresh as usize * RENEW >= self.peaks.len() {
            self.fit();
        }
    }

    fn calibrate(&mut self) {
        self.peaks.sort_unstable_by(f64::total_cmp);
        let at = ((1.0 - SHARE) * self.peaks.len() as f64) as usize;
        let level = self.peaks.get(at).copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        self.seen = self.peaks.len() as f64;
        self.start_over(level, 0.0);
        self.beyond = self.peaks.len() as f64;
        self.fit();
    }

    /// Half of the peaks become ordinary errors.
    fn raise(&mut self) {
        let before = self.peaks.len() as f64;
        self.peaks.sort_unstable_by(f64::total_cmp);
        let middle = self.peaks.get(self.peaks.len() / 2).copied().unwrap_or(0.0);
        self.start_over(self.level + middle, self.level);
        self.beyond *= self.peaks.len() as f64 / before;
        self.fit();
    }

    /// Keeps what is beyond a new level.
    fn start_over(&mut self, level: f64, old: f64) {
        self.peaks.retain(|excess| excess + old > level);
        self.peaks.iter_mut().for_each(|excess| *excess = *excess + old - level);
        self.level = level;
        self.next = (self.peaks.len() % PEAKS) as u32;
    }

    fn fit(&mut self) {
        self.fresh = 0;
        if self.peaks.len() < MIN_PEAKS {
            (self.shape, self.scale) = (0.0, 0.0);
        } else if let Some(fit) = Pareto::fit(&self.peaks) {
            (self.shape, self.scale) = (fit.shape, fit.scale);
        }
    }

    /// Adds what another instance learnt.
    pub fn merge(&mut self, other: &Self) {
        if other.level <= 0.0 {
            return;
        }
        if self.level <= 0.0 {
            self.clone_from(other);
            return;
        }
        let (lower, higher) = if self.level < other.level { (&*self, other) } else { (other, &*self) };
        let mut merged = lower.clone();
        let before = merged.peaks.len().max(1) as f64;
        merged.start_over(higher.level, lower.level);
        merged.beyond *= merged.peaks.len() as f64 / before;
        // Every second one of each side, where both together are too many.
        let step = (merged.peaks.len() + higher.peaks.len()).div_ceil(PEAKS).max(1);
        merged.peaks.extend_from_slice(&higher.peaks);
        merged.peaks = merged.peaks.iter().copied().step_by(step).collect();
        merged.next = (merged.peaks.len() % PEAKS) as u32;
        merged.seen += higher.seen;
        merged.beyond += higher.beyond;
        merged.fit();
        *self = merged;
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        let most = if self.level > 0.0 { PEAKS } else { CALIBRATION };
        self.peaks.len() <= most
            && (self.next as usize) < PEAKS
            && self.fresh <= PEAKS as u32
            && self.shape.is_finite()
            && [self.level, self.seen, self.beyond, self.scale]
                .iter()
                .chain(&self.peaks)
                .all(|x| x.is_finite() && *x >= 0.0)
    }

    /// Bytes of memory that it holds elsewhere.
    pub fn bytes(&self) -> usize {
        self.peaks.capacity() * size_of::<f64>()
    }
}
