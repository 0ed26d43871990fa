//! ARIMA by online gradient descent: γ ← Π(γ − step·g), |γᵢ| ≤ 1 (specification 2.2).
//!
//! The step is 0.5/√(10⁻⁸ + Σ‖g‖²), which needs neither the length of the series nor a bound of the gradient (AdaGrad;
//! Duchi, Hazan, Singer, JMLR 2011); its regret against the best fixed coefficients grows with √T.
//!
//! **When it fails.** Steps only become smaller: rules that change after days are followed slowly; lags that are alike
//! (slow series) make it slow along the directions in which they differ, where [`super::ons`] is not. See
//! [`super::shared`] for the rest.

use super::shared::{Shared, Step};
use crate::detector::DetectorKind;

/// ARIMA by online gradient descent.
pub type Ogd = Shared<Gradient>;

/// AdaGrad's numerator, and what keeps its denominator from 0 (specification 2.2).
const STEP: f64 = 0.5;
const TINY: f64 = 1e-8;
/// Coefficients stay within ±1 (specification 2.2).
const MOST: f64 = 1.0;

/// The step.
#[derive(Clone, Debug, Default)]
pub struct Gradient {
    /// Sum of the squared gradients.
    squares: f64,
}

impl Step for Gradient {
    const KIND: DetectorKind = DetectorKind::ArimaOgd;

    fn new(_order: usize) -> Self {
        Self::default()
    }

    fn step(&mut self, coefficients: &mut [f64], gradient: &[f64]) {
        let square: f64 = gradient.iter().map(|g| g * g).sum();
        if !square.is_finite() {
            return;
        }
        self.squares = (self.squares + square).min(f64::MAX);
        let size = STEP / (TINY + self.squares).sqrt();
        for (c, g) in coefficients.iter_mut().zip(gradient) {
            *c = (*c - size * g).clamp(-MOST, MOST);
        }
    }

    fn save(&self) -> Vec<f64> {
        vec![self.squares]
    }

    fn restore(_order: usize, saved: &[f64]) -> Option<Self> {
        match saved {
            &[squares] if squares.is_finite() && squares >= 0.0 => Some(Self { squares }),
            _ => None,
        }
    }

    fn merge(&mut self, coefficients: &mut [f64], other: &Self, others: &[f64], share: f64) {
        for (mine, theirs) in coefficients.iter_mut().zip(others) {
            *mine += share * (theirs - *mine);
        }
        self.squares = (self.squares + other.squares).min(f64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arima::shared::tests::{follows_the_golden_vector, follows_the_reference};

    /// The step of the theory's golden vector: it stays the same, and nothing is projected.
    #[derive(Clone, Debug)]
    struct Fixed;

    impl Step for Fixed {
        const KIND: DetectorKind = DetectorKind::ArimaOgd;

        fn new(_order: usize) -> Self {
            Self
        }

        fn step(&mut self, coefficients: &mut [f64], gradient: &[f64]) {
            coefficients.iter_mut().zip(gradient).for_each(|(c, g)| *c -= 0.05 * g);
        }

        fn save(&self) -> Vec<f64> {
            Vec::new()
        }

        fn restore(_order: usize, _saved: &[f64]) -> Option<Self> {
            Some(Self)
        }

        fn merge(&mut self, _mine: &mut [f64], _other: &Self, _others: &[f64], _share: f64) {}
    }

    #[test]
    fn a_fixed_step_follows_the_golden_vector() {
        follows_the_golden_vector(include_str!("../../tests/golden/arima_ogd.json"), Fixed);
    }

    #[test]
    fn three_metrics_follow_the_reference() {
        follows_the_reference("ogd", Gradient::default());
    }
}
