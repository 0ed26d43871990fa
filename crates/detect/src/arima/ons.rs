//! ARIMA by the online Newton step: γ ← γ − P·g/η with P = (εI + Σ g·gᵀ)⁻¹ (specification 2.3).
//!
//! P follows each gradient by Sherman and Morrison's formula. Regret grows with log T, where gradient descent's grows with
//! √T. η = ε = 1, which suits normalised values; AutoAD4j's η = ½·min(1/k, 4GD) makes first steps that are too large.
//!
//! **When it fails.** P only shrinks, so that a rule that changes is followed ever more slowly. See [`super::shared`] for
//! the rest.
//!
//! **Source.** Hazan, Agarwal, Kale, Machine Learning 2007; Liu et al., AAAI 2016.

use super::inverse::pooled;
use super::shared::{Shared, Step};
use crate::detector::DetectorKind;

/// ARIMA by the online Newton step.
pub type Ons = Shared<Newton>;

/// η and ε.
const RATE: f64 = 1.0;
const EPSILON: f64 = 1.0;
/// Coefficients stay within ±2, clipped one by one: the projection in the norm of P⁻¹ costs more and brings nothing
/// (specification 2.3).
const MOST: f64 = 2.0;

/// The step.
#[derive(Clone, Debug)]
pub struct Newton {
    /// P, row by row.
    inverse: Vec<f64>,
    /// P·g.
    direction: Vec<f64>,
}

impl Newton {
    fn forget(&mut self) {
        let order = self.direction.len();
        self.inverse.fill(0.0);
        self.inverse.iter_mut().step_by(order + 1).for_each(|p| *p = 1.0 / EPSILON);
    }
}

impl Step for Newton {
    const KIND: DetectorKind = DetectorKind::ArimaOns;

    fn new(order: usize) -> Self {
        let mut newton = Self { inverse: vec![0.0; order * order], direction: vec![0.0; order] };
        newton.forget();
        newton
    }

    fn step(&mut self, coefficients: &mut [f64], gradient: &[f64]) {
        let order = gradient.len();
        let mut along = 1.0;
        for ((d, row), g) in self.direction.iter_mut().zip(self.inverse.chunks_exact(order)).zip(gradient) {
            *d = row.iter().zip(gradient).map(|(p, g)| p * g).sum();
            along += *d * g;
        }
        if !(along.is_finite() && along >= 1.0) {
            // Rounding has made P something that it can't be.
            self.forget();
            return;
        }
        for (row, &di) in self.inverse.chunks_exact_mut(order).zip(&self.direction) {
            row.iter_mut().zip(&self.direction).for_each(|(p, dj)| *p -= di * dj / along);
        }
        for (c, d) in coefficients.iter_mut().zip(&self.direction) {
            // P·g with the new P is the old P·g over `along`.
            *c = (*c - d / (RATE * along)).clamp(-MOST, MOST);
        }
    }

    fn save(&self) -> Vec<f64> {
        self.inverse.clone()
    }

    fn restore(order: usize, saved: &[f64]) -> Option<Self> {
        let sound = saved.len() == order * order && saved.iter().all(|p| p.abs() <= 1.0 / EPSILON + 1e-9);
        sound.then(|| Self { inverse: saved.to_vec(), direction: vec![0.0; order] })
    }

    /// Exact: what both learnt is Σ g·gᵀ and the coefficients weighted with it. εI counts once.
    fn merge(&mut self, coefficients: &mut [f64], other: &Self, others: &[f64], _share: f64) {
        if let Some((inverse, both)) =
            pooled((&self.inverse, coefficients), (&other.inverse, others), EPSILON)
        {
            self.inverse = inverse;
            coefficients.iter_mut().zip(both).for_each(|(c, b)| *c = b.clamp(-MOST, MOST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arima::shared::tests::{follows_the_golden_vector, follows_the_reference};

    #[test]
    fn it_follows_the_golden_vector() {
        follows_the_golden_vector(include_str!("../../tests/golden/arima_ons.json"), Newton::new(3));
    }

    #[test]
    fn three_metrics_follow_the_reference() {
        follows_the_reference("ons", Newton::new(3));
    }

    #[test]
    fn merging_adds_up_the_gradients_of_both() {
        let gradients = [[0.3, -1.0, 0.2], [1.0, 0.5, -0.4], [0.1, 0.1, 2.0], [-0.7, 0.9, 0.3]];
        let (mut a, mut b, mut both) = (Newton::new(3), Newton::new(3), Newton::new(3));
        for (i, gradient) in gradients.iter().enumerate() {
            let mut unused = [0.0; 3];
            if i < 2 { &mut a } else { &mut b }.step(&mut unused, gradient);
            both.step(&mut unused, gradient);
        }
        a.merge(&mut [0.1, 0.2, 0.3], &b, &[0.3, 0.2, 0.1], 0.5);
        for (merged, pooled) in a.inverse.iter().zip(&both.inverse) {
            assert!((merged - pooled).abs() < 1e-12);
        }
    }
}
