//! How rare a signal is: its distance from its own running mean in running deviations, as decades of a Gaussian upper tail.
//!
//! That promises too much on heavy tails; [`crate::auto::alarm`] makes up for it.

use crate::normalise::Moments;

/// How large a signal usually is; also the form in which it is saved.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Usual {
    #[prost(double, tag = "1")]
    mean: f64,
    #[prost(double, tag = "2")]
    var: f64,
    #[prost(double, tag = "3")]
    count: f64,
}

impl Usual {
    /// How surprising a signal is, in decades.
    pub fn surprise(&self, signal: f64) -> f64 {
        decades((signal - self.mean) / self.deviation())
    }

    /// How large a signal must be to lie so many deviations above its mean.
    pub fn signal(&self, deviations: f64) -> f64 {
        self.mean + deviations * self.deviation()
    }

    /// Takes in a signal; `gain` is the least.
    pub fn learn(&mut self, signal: f64, gain: f64, weight: f64) {
        self.count += weight;
        let mut moments = Moments { mean: self.mean, var: self.var };
        moments.learn(signal, weight * (1.0 / self.count.max(1.0)).max(gain));
        (self.mean, self.var) = (moments.mean, moments.var);
    }

    /// What the signal measures has changed: what was learnt counts as `count` samples from now on.
    pub fn renew(&mut self, count: f64) {
        self.count = self.count.min(count);
    }

    /// Adds what another instance saw.
    pub fn merge(&mut self, other: &Self) {
        let share = other.count / (self.count + other.count).max(1.0);
        let apart = other.mean - self.mean;
        self.var += share * (other.var - self.var) + share * (1.0 - share) * apart * apart;
        self.mean += share * apart;
        self.count += other.count;
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        self.mean.is_finite() && [self.var, self.count].iter().all(|x| x.is_finite() && *x >= 0.0)
    }

    fn deviation(&self) -> f64 {
        self.var.sqrt() + 1e-9
    }
}

/// −log10 of the upper tail of the Gaussian distribution, to 0.01.
pub fn decades(z: f64) -> f64 {
    use std::f64::consts::{LN_10, SQRT_2, TAU};
    if z > 3.0 {
        // Mills' ratio: 1 − Φ(z) ≈ φ(z)·z/(z² + 1).
        return (z * z / 2.0 + (z * TAU.sqrt()).ln() + (1.0 / (z * z)).ln_1p()) / LN_10;
    }
    // Abramowitz and Stegun 7.1.26 for the complementary error function, to 1.5e-7.
    let x = z.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let upper = 0.5 * polynomial * (-x * x).exp();
    -(if z >= 0.0 { upper } else { 1.0 - upper }).log10()
}

/// The z-score whose upper tail has so many decades: the inverse of [`decades`] above 1 decade, to 0.05.
pub fn quantile(decades: f64) -> f64 {
    let twice = 2.0 * std::f64::consts::LN_10 * decades.max(1.0);
    (twice - twice.ln() - std::f64::consts::TAU.ln()).max(1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_are_those_of_the_gaussian_tail() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.158_655), (2.0, 0.022_750), (3.0, 0.001_350), (5.0, 2.8665e-7)] {
            assert!((decades(z) + f64::log10(p)).abs() < 0.01, "{z}: {}", decades(z));
        }
        for d in [2.0, 3.3, 5.8, 12.0] {
            assert!((decades(quantile(d)) - d).abs() < 0.2, "{d}: {}", decades(quantile(d)));
        }
    }
}
