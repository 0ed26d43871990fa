//! ARIMA with one set of coefficients for all metrics (AutoAD4j's multivariate form, specification 2.4).
//!
//! Metrics of one machine that move alike teach each other: the coefficients are known after a few rows. The gradient of
//! the squared error is summed over metrics, gᵢ = −2 Σⱼ (xⱼ − x̂ⱼ) ∇ᵈxⱼ,ₜ₋ᵢ, and a [`Step`] says where it leads.
//!
//! **When it fails.** Metrics that follow unlike rules: what is right for a queue is wrong for a temperature; take
//! [`super::rls`]. See [`super`].
//!
//! **Parameters.** [`ORDER`] lags of values differenced [`DIFFERENCES`] times, coefficients 0 at first, so that the first
//! forecast is the last value.
//!
//! **Cost.** 4 multiplications a metric and lag, and the step; 81 bytes a metric.
//!
//! **Source.** Schmidt et al., "Unsupervised anomaly event detection for VNF service monitoring using multivariate online
//! Arima", CloudCom 2018.

use super::inconsistent;
use super::lags::{Lags, MOST, SavedLags};
use super::lanes::{LANES, give, take};
use crate::detector::{DetectError, DetectorKind};
use crate::identity::Identity;

/// Lags looked back at.
pub const ORDER: usize = 8;
/// How often values are differenced.
pub const DIFFERENCES: usize = 1;

/// How coefficients follow the gradient of the squared error.
///
/// Implementations must keep coefficients finite whatever the gradient, and not allocate in [`Step::step`].
pub trait Step: std::fmt::Debug + Clone + Send {
    /// Which detector it makes.
    const KIND: DetectorKind;

    /// One that has learnt nothing, for `order` coefficients.
    fn new(order: usize) -> Self;

    /// Moves the coefficients by a gradient.
    fn step(&mut self, coefficients: &mut [f64], gradient: &[f64]);

    /// What it has learnt.
    fn save(&self) -> Vec<f64>;

    /// The reverse, for `order` coefficients; none where it can't be.
    fn restore(order: usize, saved: &[f64]) -> Option<Self>;

    /// Adds what another one learnt, whose coefficients `others` make up `share` of what both saw.
    fn merge(&mut self, coefficients: &mut [f64], other: &Self, others: &[f64], share: f64);
}

/// The identity function.
#[derive(Clone, Debug)]
pub struct Shared<S> {
    lags: Lags,
    coefficients: Vec<f64>,
    gradient: Vec<f64>,
    step: S,
    /// Rows learnt, by weight.
    seen: f64,
    expected: Vec<f64>,
}

/// How it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedShared {
    /// Histories.
    #[prost(message, optional, tag = "1")]
    pub lags: Option<SavedLags>,
    /// Coefficients.
    #[prost(double, repeated, tag = "2")]
    pub coefficients: Vec<f64>,
    /// What the step has learnt.
    #[prost(double, repeated, tag = "3")]
    pub step: Vec<f64>,
    /// Rows learnt, by weight.
    #[prost(double, tag = "4")]
    pub seen: f64,
}

impl<S: Step> Shared<S> {
    /// With a step of its own and `order` lags of values differenced `differences` times.
    pub(crate) fn with(step: S, order: usize, differences: usize) -> Self {
        Self {
            lags: Lags::new(0, order, differences),
            coefficients: vec![0.0; order],
            gradient: vec![0.0; order],
            step,
            seen: 0.0,
            expected: Vec::new(),
        }
    }

    /// The coefficients, of the newest lag first.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }
}

impl<S: Step> Identity for Shared<S> {
    type Saved = SavedShared;
    const KIND: DetectorKind = S::KIND;
    const VERSION: u16 = 1;
    const LOOKS_BACK: u32 = ORDER as u32;

    fn new() -> Self {
        Self::with(S::new(ORDER), ORDER, DIFFERENCES)
    }

    fn rearrange(&mut self, from: &[Option<usize>]) {
        self.lags.rearrange(from);
        self.expected = vec![f64::NAN; from.len()];
    }

    fn expect(&mut self, _row: &[f64], expected: &mut [f64]) {
        for block in 0..self.lags.blocks() {
            let mut forecast = self.lags.base(block);
            for (i, &c) in self.coefficients.iter().enumerate() {
                forecast.iter_mut().zip(self.lags.lag(block, i)).for_each(|(f, l)| *f += c * l);
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
            self.gradient.fill(0.0);
            for block in 0..self.lags.blocks() {
                let (xs, forecasts) = (take(row, block), take(&self.expected, block));
                let mut error = [0.0; LANES];
                for lane in 0..LANES {
                    let e = xs[lane] - forecasts[lane];
                    error[lane] = if e.is_finite() { e.clamp(-MOST, MOST) } else { 0.0 };
                }
                for (i, g) in self.gradient.iter_mut().enumerate() {
                    let sum: f64 = error.iter().zip(self.lags.lag(block, i)).map(|(e, l)| e * l).sum();
                    *g -= 2.0 * weight * sum;
                }
            }
            self.step.step(&mut self.coefficients, &self.gradient);
            self.seen += weight;
        }
        self.lags.push(row, &self.expected);
        self.expected.fill(f64::NAN);
    }

    fn gap(&mut self) {
        self.lags.forget();
    }

    fn reframe(&mut self, metric: usize, scale: f64, offset: f64) {
        self.lags.reframe(metric, scale, offset);
    }

    fn save(&self) -> SavedShared {
        SavedShared {
            lags: Some(self.lags.save()),
            coefficients: self.coefficients.clone(),
            step: self.step.save(),
            seen: self.seen,
        }
    }

    fn restore(&mut self, saved: SavedShared) -> Result<(), DetectError> {
        let order = self.coefficients.len();
        let lags = saved.lags.and_then(|lags| self.lags.restored(&lags));
        let step = S::restore(order, &saved.step);
        let sound = saved.coefficients.len() == order
            && saved.coefficients.iter().all(|c| c.abs() <= MOST)
            && saved.seen.is_finite()
            && saved.seen >= 0.0;
        let (Some(lags), Some(step), true) = (lags, step, sound) else {
            return Err(inconsistent(Self::KIND, "lags, coefficients or step"));
        };
        (self.lags, self.step, self.coefficients, self.seen) = (lags, step, saved.coefficients, saved.seen);
        self.expected.fill(f64::NAN);
        Ok(())
    }

    fn merge(&mut self, other: SavedShared) -> Result<(), DetectError> {
        let mut theirs = self.clone();
        theirs.restore(other)?;
        if theirs.seen > 0.0 {
            let share = theirs.seen / (self.seen + theirs.seen);
            self.step.merge(&mut self.coefficients, &theirs.step, &theirs.coefficients, share);
            self.seen += theirs.seen;
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.lags.bytes() + size_of::<f64>() * (self.expected.capacity() + self.step.save().len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The golden series sin(0.3t) + 0.1t + 0.5·[t mod 7 = 3], one metric.
    pub(in crate::arima) fn follows_the_golden_vector<S: Step>(golden: &str, step: S) {
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let numbers = |key: &str| -> Vec<f64> {
            golden[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let mut arima = Shared::with(step, 3, 1);
        arima.rearrange(&[None]);
        let (mut forecasts, mut squares) = (Vec::new(), 0.0);
        for t in 0..40i32 {
            let x = (0.3 * f64::from(t)).sin() + 0.1 * f64::from(t) + if t % 7 == 3 { 0.5 } else { 0.0 };
            let mut expected = [0.0];
            arima.expect(&[x], &mut expected);
            // The reference has 0 where nothing is known yet.
            let expected = if expected[0].is_nan() { 0.0 } else { expected[0] };
            forecasts.push(expected);
            squares += (x - expected) * (x - expected);
            arima.learn(&[x], 1.0);
        }
        let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} {b}");
        for (found, reference) in forecasts.iter().zip(numbers("pred_first8")) {
            near(*found, reference);
        }
        near(forecasts[39], golden["pred_last"].as_f64().unwrap());
        near(squares, golden["sse"].as_f64().unwrap());
        for (found, reference) in arima.coefficients().iter().zip(numbers("gamma")) {
            near(*found, reference);
        }
    }

    /// Three metrics with one set of coefficients, computed apart from this program (numpy, straight from the definition).
    pub(in crate::arima) fn follows_the_reference<S: Step>(which: &str, step: S) {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/arima_multi.json")).unwrap();
        let row = |row: &serde_json::Value| -> Vec<f64> {
            row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let mut arima = Shared::with(step, 3, 1);
        arima.rearrange(&[None; 3]);
        let mut expected = [0.0; 3];
        for x in golden["rows"].as_array().unwrap() {
            arima.expect(&row(x), &mut expected);
            arima.learn(&row(x), 1.0);
        }
        let last = row(&golden[which]["last"]);
        let coefficients = row(&golden[which]["coefficients"]);
        for (found, reference) in
            expected.iter().chain(arima.coefficients()).zip(last.iter().chain(&coefficients))
        {
            assert!((found - reference).abs() <= 1e-9 * reference.abs().max(1.0), "{found} {reference}");
        }
    }
}
