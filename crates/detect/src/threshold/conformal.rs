//! Ranks among past errors (conformal prediction, Laxhammar and Falkman; Vovk).
//!
//! Of n exchangeable errors and one more, this one is among the k largest with probability k/(n + 1), whatever they are
//! drawn from. A thousand errors of the last hour or so are kept, sorted. One in a thousand is the rarest that ranks can
//! tell: beyond it the tail of the twenty largest is extrapolated as a power (Hill 1975), which asks too much of light
//! tails rather than too little of heavy ones. Where errors aren't exchangeable, it adapts (Gibbs and Candès 2021): each
//! false alarm halves the probability that is aimed at, and time undoes it; in the logarithm, because at a probability of
//! one in a million a step of theirs would make it negative.

/// Errors that are kept.
const KEPT: usize = 1_000;
/// Seconds that they cover, at least.
const MEMORY: f64 = 3_600.0;
/// Largest errors whose tail is extrapolated.
const TAIL: usize = 20;
/// Fewer errors say nothing about limits.
const MIN_ERRORS: usize = 100;
/// Most halvings.
const MAX_CAUTION: f64 = 40.0;

/// The errors; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Conformal {
    /// In ascending order.
    #[prost(double, repeated, tag = "1")]
    errors: Vec<f64>,
    /// Errors taken in; says which one makes room.
    #[prost(uint64, tag = "2")]
    taken: u64,
    /// Seconds since the last one was taken in.
    #[prost(double, tag = "3")]
    since: f64,
    /// How many times the probability is halved.
    #[prost(double, tag = "4")]
    caution: f64,
    /// Mean of the logarithms of the largest errors over the one before them.
    #[prost(double, tag = "5")]
    slope: f64,
}

impl Conformal {
    /// How likely an error is to be as large as this one: (1 + how many are) / (n + 1).
    pub fn p(&self, error: f64) -> f64 {
        let smaller = self.errors.partition_point(|e| *e < error);
        (1 + self.errors.len() - smaller) as f64 / (self.errors.len() + 1) as f64
    }

    /// The error that is exceeded with probability `tail`; none while too little is known.
    pub fn limit(&self, tail: f64) -> Option<f64> {
        let n = self.errors.len();
        if n < MIN_ERRORS {
            return None;
        }
        let tail = tail * (-self.caution).exp2();
        let allowed = tail * (n + 1) as f64;
        if allowed >= TAIL as f64 {
            return self.errors.get(n.saturating_sub(allowed as usize)).copied();
        }
        let base = self.errors.get(n - TAIL)?.max(f64::MIN_POSITIVE);
        Some(base * (TAIL as f64 / allowed.max(1e-300)).powf(self.slope)).filter(|limit| limit.is_finite())
    }

    /// Takes in an error that was no anomaly, `dt` seconds after the one before.
    pub fn learn(&mut self, error: f64, dt: f64, fade: f64) {
        self.caution *= fade;
        self.since += dt;
        if self.errors.len() >= MIN_ERRORS && self.since < MEMORY / KEPT as f64 {
            return;
        }
        self.since = 0.0;
        self.take(error);
    }

    /// An error beyond the limit was no anomaly.
    pub fn learn_false_alarm(&mut self, error: f64) {
        if self.errors.last().is_some_and(|largest| error > *largest) {
            self.caution = (self.caution + 1.0).min(MAX_CAUTION);
        }
        self.take(error);
    }

    fn take(&mut self, error: f64) {
        if self.errors.capacity() < KEPT {
            self.errors.reserve_exact(KEPT - self.errors.len());
        }
        if self.errors.len() >= KEPT {
            // Any one with the same probability, as a reservoir, but the same one in every run: multiples of the golden ratio
            // visit all positions evenly.
            let share = self.taken.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let at = ((share * self.errors.len() as u64) >> 32) as usize;
            self.errors.remove(at.min(self.errors.len() - 1));
        }
        self.taken = self.taken.wrapping_add(1);
        let at = self.errors.partition_point(|e| *e < error);
        self.errors.insert(at, error);
        self.measure();
    }

    fn measure(&mut self) {
        let Some(base) = self.errors.len().checked_sub(TAIL).and_then(|at| self.errors.get(at)) else {
            return;
        };
        let base = base.max(f64::MIN_POSITIVE);
        let logs = self.errors.iter().rev().take(TAIL - 1).map(|e| (e / base).ln());
        self.slope = logs.sum::<f64>() / (TAIL - 1) as f64;
    }

    /// Adds what another instance learnt.
    pub fn merge(&mut self, other: &Self) {
        self.errors.extend_from_slice(&other.errors);
        self.errors.sort_unstable_by(f64::total_cmp);
        let step = self.errors.len().div_ceil(KEPT).max(1);
        // From the top, so that the largest stays.
        self.errors = self.errors.iter().rev().copied().step_by(step).collect();
        self.errors.reverse();
        self.taken = self.taken.wrapping_add(other.taken);
        self.caution = self.caution.max(other.caution);
        self.measure();
    }

    /// Whether every number in it is one that this program can have written.
    pub fn is_sound(&self) -> bool {
        self.errors.len() <= KEPT
            && self.errors.is_sorted()
            && self
                .errors
                .iter()
                .chain([&self.since, &self.caution, &self.slope])
                .all(|x| x.is_finite() && *x >= 0.0)
            && self.caution <= MAX_CAUTION
    }

    /// Bytes of memory that it holds elsewhere.
    pub fn bytes(&self) -> usize {
        self.errors.capacity() * size_of::<f64>()
    }
}
