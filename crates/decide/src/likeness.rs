//! What tells patterns apart, and how alike two incidents of one pattern are, compared with two patterns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::density::Grid;
use crate::patterns::Pattern;
use crate::signature::Signature;

/// So many similarities are thought of as seen before any was, ...
const PRIOR: u64 = 3;
/// ... with this mean and deviation within a pattern, ...
const WITHIN: (f64, f64) = (0.9, 0.1);
/// ... and these between a pattern and the one that is nearest to it.
const BESIDE: (f64, f64) = (0.5, 0.2);
/// So many pairs of grids are thought of as seen for each kind of metric within patterns, so far apart, and as many between them that
/// are the same: what was seen twice says little.
const PAIRS: f64 = 2.0;
const APART: f64 = 0.1;
/// With fewer patterns nothing is known of which kinds of metrics tell them apart.
pub(crate) const TELLING: usize = 3;

/// How alike two incidents of one pattern are, and two of different ones.
///
/// One threshold for all patterns: of one pattern too few are seen. By pattern, shrunken to that of all, was tried on 48 recorded
/// incidents: as many were known rightly, and of unknown ones more were rejected among ten faults (92 % instead of 84 %), but fewer among
/// thirteen (67 % instead of 73 %).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Likeness {
    /// Of an incident and its pattern.
    pub(crate) within: Spread,
    /// Of an incident and the nearest pattern that it is not of.
    pub(crate) beside: Spread,
}

impl Default for Likeness {
    fn default() -> Self {
        Self { within: Spread::seen(PRIOR, WITHIN), beside: Spread::seen(PRIOR, BESIDE) }
    }
}

impl Likeness {
    /// What is less alike is not of one pattern: as many deviations below what is usual within as above what is usual beside, so that it
    /// is as typical of the one as of the other.
    pub(crate) fn least(&self) -> f64 {
        let (within, beside) = (self.within.deviation(), self.beside.deviation());
        if within + beside > 0.0 && self.within.mean > self.beside.mean {
            (self.within.mean * beside + self.beside.mean * within) / (within + beside)
        } else {
            self.within.mean
        }
    }
}

/// A running mean and sum of squares (Welford).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn seen(count: u64, (mean, deviation): (f64, f64)) -> Self {
        Self { count, mean, squares: count as f64 * deviation * deviation }
    }

    pub(crate) fn add(&mut self, similarity: f64) {
        self.count += 1;
        let off = similarity - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (similarity - self.mean);
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

/// How much each kind of metric counts.
#[derive(Debug, Default)]
pub(crate) struct Weights<'a>(Option<BTreeMap<&'a str, f64>>);

impl<'a> Weights<'a> {
    /// As much as any other.
    pub(crate) const EQUAL: Self = Self(None);

    /// By how much they vary between patterns, compared with within them (ALGORITHMS 7.3 of the design); of those that a signature has.
    pub(crate) fn of(patterns: &'a [Pattern], signature: &'a Signature) -> Self {
        if patterns.len() < TELLING {
            return Self::EQUAL;
        }
        let theirs = patterns.iter().flat_map(Pattern::signatures).flat_map(Signature::names);
        let names = theirs.filter(|name| signature.at(name).is_some()).chain(signature.names());
        let mut weights = BTreeMap::new();
        for name in names {
            weights.entry(name).or_insert_with(|| telling(patterns, name));
        }
        Self(Some(weights))
    }

    /// How alike two signatures are.
    pub(crate) fn similarity(&self, one: &Signature, other: &Signature) -> f64 {
        match &self.0 {
            None => one.similarity(other),
            Some(weights) => one.similarity_by(other, |name| weights.get(name).copied().unwrap_or(0.0)),
        }
    }
}

/// How much a kind of metric tells of which pattern it is.
fn telling(patterns: &[Pattern], name: &str) -> f64 {
    let apart = |one: &Grid, other: &Grid| 1.0 - one.in_common(other);
    let (mut within, mut pairs) = (PAIRS * APART, PAIRS);
    let mut means = Vec::new();
    for pattern in patterns {
        let grids: Vec<Grid> =
            pattern.signatures().filter_map(|one| one.at(name)).map(|seen| seen.grid).collect();
        let Some(mean) = Grid::mean(&grids) else { continue };
        within += grids.iter().map(|grid| apart(grid, &mean)).sum::<f64>();
        pairs += (grids.len() - 1) as f64;
        means.push(mean);
    }
    let Some(all) = Grid::mean(&means) else { return 0.0 };
    let between = means.iter().map(|mean| apart(mean, &all)).sum::<f64>();
    between / ((means.len() - 1) as f64 + PAIRS) / (within / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(within: &[f64], beside: &[f64]) -> Likeness {
        let mut likeness = Likeness::default();
        within.iter().for_each(|one| likeness.within.add(*one));
        beside.iter().for_each(|one| likeness.beside.add(*one));
        likeness
    }

    #[test]
    fn the_threshold_is_between_what_is_usual_within_and_beside_and_nearer_to_what_spreads_less() {
        assert!((Likeness::default().least() - (0.9 - 0.4 / 3.0)).abs() < 1e-9);
        let (tight, loose) = ([0.95; 50], [0.5, 0.7].repeat(25));
        let least = learnt(&tight, &loose).least();
        assert!((0.8..0.95).contains(&least), "{least}");
        let least = learnt(&[0.8, 0.98].repeat(25), &[0.5; 50]).least();
        assert!((0.5..0.75).contains(&least), "{least}");
    }

    #[test]
    fn little_that_was_seen_changes_little() {
        let least = learnt(&[0.2], &[]).least();
        assert!((least - Likeness::default().least()).abs() < 0.25, "{least}");
        // Nothing is known where others are as near as one's own.
        assert!(learnt(&[0.5; 100], &[0.9; 100]).least() >= 0.5);
    }
}
