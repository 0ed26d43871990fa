//! The optimiser: Adam (Kingma & Ba 2015) with a bound on the length of the gradient.

use super::cell::Weights;

/// Decay of the mean and of the mean square of gradients (Kingma & Ba).
const MEAN: f32 = 0.9;
const SQUARE: f32 = 0.999;
/// Keeps the quotient finite (Kingma & Ba).
const EPSILON: f32 = 1e-8;
/// Length to which longer gradients are cut (Pascanu et al. 2013; specification 4.2).
const LONGEST: f32 = 1.0;
/// Step size at first, and after [`SETTLED`] updates; linear between. The specification's 1e-3 and 1e-4 forecast three
/// machines of the Server Machine Dataset worse than these did, and then four others too.
const FIRST_RATE: f32 = 3e-3;
const LAST_RATE: f32 = 3e-4;
const SETTLED: f32 = 20_000.0;
/// Moments smaller than this are 0: subnormal numbers are a hundred times slower on some CPUs.
const NOTHING: f32 = 1e-30;

/// The moments of the gradient.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Adam {
    pub(super) mean: Weights,
    pub(super) square: Weights,
    /// Updates made.
    pub(super) updates: u64,
    /// `MEAN` and `SQUARE` to the power of `updates`. Running products: `powi` differs between platforms.
    pub(super) faded: [f64; 2],
}

impl Adam {
    pub(super) fn new(inputs: usize) -> Self {
        Self { mean: Weights::zeros(inputs), square: Weights::zeros(inputs), updates: 0, faded: [1.0; 2] }
    }

    /// Forgets all gradients, keeps the step size.
    pub(super) fn reset(&mut self) {
        for part in self.mean.parts_mut().into_iter().chain(self.square.parts_mut()) {
            part.fill(0.0);
        }
        self.faded = [1.0; 2];
    }

    /// Takes a step of `share` (0 to 1) of the usual size against the gradient. False, and nothing has changed, if
    /// the gradient holds a number that isn't finite or is longer than can be said. Hot: no allocation.
    pub(super) fn update(&mut self, weights: &mut Weights, gradient: &Weights, share: f32) -> bool {
        let length = gradient.parts().into_iter().map(sum_of_squares).sum::<f32>().sqrt();
        if !length.is_finite() {
            return false;
        }
        self.updates += 1;
        self.faded[0] *= f64::from(MEAN);
        self.faded[1] *= f64::from(SQUARE);
        let done = (self.updates as f32 / SETTLED).min(1.0);
        let rate = share * (FIRST_RATE + (LAST_RATE - FIRST_RATE) * done);
        let rate = rate / (1.0 - self.faded[0]) as f32;
        let unbias = 1.0 / (1.0 - self.faded[1]).sqrt() as f32;
        let cut = LONGEST / length.max(LONGEST);
        let moments = self.mean.parts_mut().into_iter().zip(self.square.parts_mut());
        for ((weights, gradient), (mean, square)) in
            weights.parts_mut().into_iter().zip(gradient.parts()).zip(moments)
        {
            step([cut, rate, unbias], weights, gradient, mean, square);
        }
        true
    }

    pub(super) fn bytes(&self) -> usize {
        self.mean.bytes() + self.square.bytes()
    }
}

/// Numbers that are worked on together.
const LANES: usize = 8;

/// Moves the moments and the weights.
fn step(by: [f32; 3], weights: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]) {
    let (weights, last_weights) = weights.as_chunks_mut::<LANES>();
    let (gradient, last_gradient) = gradient.as_chunks::<LANES>();
    let (mean, last_mean) = mean.as_chunks_mut::<LANES>();
    let (square, last_square) = square.as_chunks_mut::<LANES>();
    for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(mean).zip(square) {
        for j in 0..LANES {
            step_one(by, &mut w[j], g[j], &mut m[j], &mut v[j]);
        }
    }
    for (((w, &g), m), v) in last_weights.iter_mut().zip(last_gradient).zip(last_mean).zip(last_square) {
        step_one(by, w, g, m, v);
    }
}

#[inline(always)]
fn step_one([cut, rate, unbias]: [f32; 3], w: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
    let g = g * cut;
    let mean = MEAN * *m + (1.0 - MEAN) * g;
    let square = SQUARE * *v + (1.0 - SQUARE) * (g * g);
    *m = if mean.abs() < NOTHING { 0.0 } else { mean };
    *v = if square < NOTHING { 0.0 } else { square };
    *w -= rate * *m / (v.sqrt() * unbias + EPSILON);
}

/// In a fixed order.
fn sum_of_squares(numbers: &[f32]) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for chunk in chunks {
        for j in 0..16 {
            lanes[j] += chunk[j] * chunk[j];
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(offset: f32) -> Weights {
        let mut weights = Weights::zeros(1);
        weights.offset[0] = offset;
        weights
    }

    #[test]
    fn the_first_step_is_as_long_as_the_rate_whatever_the_gradient() {
        for gradient in [1e-3, 0.5, 700.0, -700.0] {
            let (mut adam, mut weights) = (Adam::new(1), one(0.0));
            assert!(adam.update(&mut weights, &one(gradient), 1.0));
            assert!((weights.offset[0].abs() - FIRST_RATE).abs() < 1e-6, "{weights:?}");
            assert_eq!(weights.offset[0] < 0.0, gradient > 0.0);
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let (mut adam, mut weights) = (Adam::new(1), one(0.25));
        let before = adam.clone();
        for bad in [f32::NAN, f32::INFINITY, 1e30] {
            assert!(!adam.update(&mut weights, &one(bad), 1.0));
        }
        assert_eq!((adam, weights), (before, one(0.25)));
    }

    #[test]
    fn a_bowl_is_descended() {
        let (mut adam, mut weights) = (Adam::new(1), one(0.3));
        for _ in 0..1000 {
            let gradient = one(weights.offset[0]);
            adam.update(&mut weights, &gradient, 1.0);
        }
        assert!(weights.offset[0].abs() < 0.01, "{weights:?}");
    }
}
