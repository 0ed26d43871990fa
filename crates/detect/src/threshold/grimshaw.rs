//! The generalised Pareto distribution: fitted to excesses, and extrapolated.
//!
//! Excesses over a high level are, in the limit, distributed so whatever the errors are drawn from (Pickands, Balkema, de
//! Haan): one shape γ says how heavy the tail is (0 exponential, 1/3 as Student's t with three degrees of freedom), one
//! scale σ how wide. The likelihood has to be searched in one dimension only (Grimshaw 1993).

/// Points at which each side is looked at for roots.
const GRID: usize = 24;
/// Halvings of an interval with a root in it: enough for 1e-12 of its width.
const HALVINGS: usize = 40;
/// The smallest excess counts as at least this share of the largest, so that an excess of 0 opens no endless interval.
const SMALLEST: f64 = 1e-8;

/// P(Y > y) = (1 + γ·y/σ)^(−1/γ), for γ → 0 e^(−y/σ).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pareto {
    /// The shape γ.
    pub shape: f64,
    /// The scale σ.
    pub scale: f64,
    /// Logarithm of the likelihood of what it was fitted to.
    pub likelihood: f64,
}

impl Pareto {
    /// The most likely one (Grimshaw's procedure, specification 5.8): all roots of w(θ) = u·v − 1 for θ = γ/σ, and the
    /// exponential. None without a positive excess.
    pub fn fit(excesses: &[f64]) -> Option<Self> {
        let n = excesses.len() as f64;
        let mean = excesses.iter().sum::<f64>() / n;
        let largest = excesses.iter().copied().fold(0.0, f64::max);
        if !(mean > 0.0 && largest.is_finite()) {
            return None;
        }
        let smallest = excesses.iter().copied().fold(f64::MAX, f64::min).max(SMALLEST * largest);
        let mut best = Self { shape: 0.0, scale: mean, likelihood: -n * (1.0 + mean.ln()) };
        let mut consider = |theta: f64| {
            let shape = excesses.iter().map(|y| (theta * y).ln_1p()).sum::<f64>() / n;
            let scale = shape / theta;
            if scale > 0.0 && scale.is_finite() {
                // Σ ln(1 + θY) is n·γ.
                let likelihood = -n * scale.ln() - (1.0 + 1.0 / shape) * n * shape;
                if likelihood > best.likelihood {
                    best = Self { shape, scale, likelihood };
                }
            }
        };
        let edge = -1.0 / largest;
        search(excesses, edge * (1.0 - 1e-9), edge * 1e-6, &mut consider);
        let spread = mean - smallest;
        let (low, high) = (2.0 * spread / (mean * smallest), 2.0 * spread / (smallest * smallest));
        // Grimshaw's bounds are for the far root. The one that matters, of a shape a little above 0, lies below `low`.
        search(excesses, 1e-6 / mean, low.max(1e-5 / mean), &mut consider);
        search(excesses, low.max(1e-6 / mean), high.max(1e-5 / mean), &mut consider);
        Some(best)
    }

    /// The excess that is exceeded with probability `tail`, of which a share `rate` are excesses at all.
    pub fn beyond(&self, tail: f64, rate: f64) -> f64 {
        let ratio = (tail / rate).clamp(1e-300, 1.0);
        if self.shape.abs() < 1e-9 {
            -self.scale * ratio.ln()
        } else {
            self.scale / self.shape * (ratio.powf(-self.shape) - 1.0)
        }
    }
}

/// w(θ), of which a root is a stationary point of the likelihood.
fn w(excesses: &[f64], theta: f64) -> f64 {
    let n = excesses.len() as f64;
    let (mut u, mut v) = (0.0, 0.0);
    for y in excesses {
        let s = 1.0 + theta * y;
        u += s.ln();
        v += 1.0 / s;
    }
    (1.0 + u / n) * (v / n) - 1.0
}

/// Hands every root between `from` and `to`, of the same sign, to `found`: a grid in the logarithm, then bisection.
fn search(excesses: &[f64], from: f64, to: f64, found: &mut impl FnMut(f64)) {
    let step = (to / from).powf(1.0 / GRID as f64);
    if !step.is_finite() || step <= 0.0 || step == 1.0 {
        return;
    }
    let (mut a, mut at_a) = (from, w(excesses, from));
    for _ in 0..GRID {
        let (b, at_b) = (a * step, w(excesses, a * step));
        if at_a * at_b < 0.0 {
            let (mut low, mut high) = (a, b);
            for _ in 0..HALVINGS {
                let middle = 0.5 * (low + high);
                if w(excesses, middle) * at_a > 0.0 { low = middle } else { high = middle }
            }
            found(0.5 * (low + high));
        }
        (a, at_a) = (b, at_b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_shape_that_excesses_were_drawn_with() {
        for shape in [-0.3, 0.0, 0.33, 0.8] {
            let quantile = |p: f64| Pareto { shape, scale: 2.0, likelihood: 0.0 }.beyond(1.0 - p, 1.0);
            let excesses: Vec<f64> = (0..500).map(|i| quantile((f64::from(i) + 0.5) / 500.0)).collect();
            let fit = Pareto::fit(&excesses).unwrap();
            assert!((fit.shape - shape).abs() < 0.05 && (fit.scale - 2.0).abs() < 0.1, "{shape}: {fit:?}");
        }
    }

    #[test]
    fn there_is_always_an_answer_for_excesses_and_none_for_nothing() {
        assert_eq!(Pareto::fit(&[]), None);
        assert_eq!(Pareto::fit(&[0.0, 0.0]), None);
        for excesses in [&[1.0][..], &[1.0, 1.0, 1.0], &[0.0, 1e-300, 1e300], &[f64::MIN_POSITIVE; 3]] {
            let fit = Pareto::fit(excesses);
            assert!(fit.is_none_or(|fit| !fit.beyond(1e-9, 0.02).is_nan()), "{excesses:?}: {fit:?}");
        }
    }
}
