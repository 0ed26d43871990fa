//! Whether the first is named, and how sure that is.

use crate::sides::{Sorted, Span};
use crate::signals::Moved;

/// A cause is named if chance alone would show as much in fewer than one of a hundred incidents.
const CHANCE: f64 = 0.01;
/// What a chance is taken to lie between: beyond, public data have nothing to say.
const MOST: f64 = 1e3;
const LEAST: f64 = 1e-6;
/// Share of those right among those with a chance of 1, and how it grows with each tenth of it, as log-odds: fitted to PetShop, Nezha
/// and Sock Shop, each system weighing the same (docs/diagnose.md has what it is worth on a system that was left out).
const LOG_ODDS: f64 = 0.24;
const LOG_ODDS_PER_TENTH: f64 = 0.70;

/// What is said of the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) known: bool,
    pub(crate) confidence: f64,
}

/// Judges the first by how many metrics would do by chance what one of its own did.
pub(crate) fn judge(chance: f64) -> Judged {
    let tenths = -chance.clamp(LEAST, MOST).log10();
    let odds = (LOG_ODDS + LOG_ODDS_PER_TENTH * tenths).exp();
    Judged { known: chance < CHANCE, confidence: odds / (1.0 + odds) }
}

impl Judged {
    /// Where nothing tells the first from others that may as well have begun it: `rivals` are all of them.
    pub(crate) fn among(self, rivals: usize) -> Self {
        let confidence = self.confidence / rivals.max(1) as f64;
        Self { known: self.known && rivals <= 1, confidence }
    }
}

/// How likely a metric would by chance stay outside of everything that was normal as the unlikeliest of `moved` does.
///
/// If nothing had happened, incident and normal rows could change places: that the more unusual half of the incident's rows are
/// all beyond every normal one has a chance that follows from their numbers alone. Rows that hang together count for fewer
/// (n·(1−ρ)/(1+ρ) of a first-order autoregression). How far beyond they are counts as it would for values with tails as heavy as those
/// of a Cauchy distribution, the chance of which falls with the distance itself. Where there are many metrics, one of them will be
/// unusual: whoever asks multiplies by how many it might have been (Bonferroni).
pub(crate) fn chance<'a>(
    moved: impl Iterator<Item = &'a Moved<'a>>,
    series: &[Sorted<'_>],
    span: &Span,
) -> f64 {
    let one = |moved: &Moved<'_>| {
        let sides = span.sides(series.get(moved.series)?);
        let (normal, incident) = (sides.normal().concat(), sides.incident.len());
        let rho = autocorrelation(&normal, moved.normal.mean);
        let counted = (1.0 - rho) / (1.0 + rho);
        Some(by_chance(normal.len() as f64 * counted, incident as f64 * counted, moved.typical))
    };
    moved.filter_map(one).fold(1.0, f64::min)
}

/// The chance that the upper half of `incident` rows are beyond all `normal` ones, by the factor `beyond`.
fn by_chance(normal: f64, incident: f64, beyond: f64) -> f64 {
    if beyond < 1.0 {
        return 1.0;
    }
    let (normal, incident) = (normal.max(1.0), incident.max(1.0));
    let half = (incident / 2.0).ceil().max(1.0);
    let mut log = -half * beyond.ln();
    for i in 0..half as usize {
        let left = (incident - i as f64).max(1.0);
        log += (left / (normal + left)).ln();
    }
    log.exp()
}

/// Of each value with the next, between 0 and .99.
fn autocorrelation(values: &[f64], mean: f64) -> f64 {
    let square: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let next: f64 = values.iter().zip(values.iter().skip(1)).map(|(a, b)| (a - mean) * (b - mean)).sum();
    if square > 0.0 { (next / square).clamp(0.0, 0.99) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_normal_rows_say_little_and_many_much() {
        assert_eq!(by_chance(1_000.0, 4.0, 0.99), 1.0);
        let (few, many) = (by_chance(20.0, 4.0, 1.0), by_chance(200.0, 4.0, 1.0));
        assert!((few - 4.0 / 24.0 * 3.0 / 23.0).abs() < 1e-12, "{few}");
        assert!(many < few / 50.0);
        assert!(by_chance(20.0, 4.0, 10.0) < few / 50.0);
    }

    #[test]
    fn rows_that_follow_each_other_hang_together() {
        let slow: Vec<f64> = (0..100).map(|i| if i < 50 { 1.0 } else { -1.0 }).collect();
        let fast: Vec<f64> = (0..100).map(|i| f64::from(i % 2) * 2.0 - 1.0).collect();
        assert!(autocorrelation(&slow, 0.0) > 0.95);
        assert_eq!(autocorrelation(&fast, 0.0), 0.0);
        assert_eq!(autocorrelation(&[1.0, 1.0], 1.0), 0.0);
    }

    #[test]
    fn what_chance_would_do_is_not_named() {
        assert!(!judge(0.5).known && judge(0.001).known);
        assert!(judge(1e-9).confidence > judge(0.001).confidence);
        assert!(judge(f64::INFINITY).confidence < 0.2);
    }
}
