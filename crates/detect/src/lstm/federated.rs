//! What several networks learnt, in one: federated averaging (McMahan et al. 2017; specification 10.2).
//!
//! From each of the others comes the difference of its cell's weights from this one's, cut to their median length: no one
//! rules by having strayed furthest. (The specification cuts to a length of 1, from the start of a round; models that come as
//! files have no common start, and are further apart than that after a minute.) The mean of the differences, each by the
//! rows that were learnt, is added. From [`MANY`] networks on the mean is trimmed (Yin et al. 2018): of each weight
//! the largest and smallest tenth is left out, so that a few that went wrong don't rule the others. The readout stays
//! this one's own, as do the last steps: what a device is used to is personal.
//!
//! The result is on trial ([`Trial`]): it stays only if it forecasts rows to come no more than 2 % worse. There are no rounds,
//! so nothing is discounted by age, and training is not drawn back to what was merged (FedProx): between two merges a device
//! is to follow its own machine.

use super::saved::Saved;
use super::trial::Trial;
use super::{HIDDEN, Lstm};
use crate::detector::DetectError;

/// Networks from which on there are enough to leave some out,
const MANY: usize = 10;
/// and the share that is left out at either end.
const TRIMMED: f64 = 0.1;
/// By how much another one's cell differs, and how many rows it learnt.
struct Difference {
    weights: Vec<f32>,
    seen: f64,
}

impl Difference {
    fn length(&self) -> f64 {
        self.weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt()
    }
}

impl Lstm {
    /// Adds what others learnt.
    pub(super) fn take_in(&mut self, saved: Vec<Saved>) -> Result<(), DetectError> {
        let mut others = saved.into_iter().map(|saved| self.checked(saved)).collect::<Result<Vec<_>, _>>()?;
        others.retain(|other| other.seen > 0.0);
        let mut merged = self.clone();
        if self.seen == 0.0 {
            let most = others.iter().zip(0..).max_by(|(a, _), (b, _)| a.seen.total_cmp(&b.seen));
            let Some((_, most)) = most else { return Ok(()) };
            let start = others.swap_remove(most);
            (merged.weights, merged.checkpoint) = (start.weights, start.checkpoint);
            (merged.adam, merged.seen, merged.clean_updates) = (start.adam, start.seen, 0);
        }
        if !others.is_empty() {
            let mut differences: Vec<_> = others.iter().map(|other| merged.difference(other)).collect();
            cut(&mut differences);
            let cell = merged.weights.cell.as_flattened_mut().as_flattened_mut();
            cell.iter_mut().zip(mean(merged.seen, &differences)).for_each(|(w, mean)| *w += mean);
            merged.checkpoint.copy_from(&merged.weights);
            merged.clean_updates = 0;
            merged.seen += others.iter().map(|other| other.seen).sum::<f64>();
        }
        if self.seen > 0.0 && !others.is_empty() {
            merged.trial = Some(Trial::of(self));
        }
        *self = merged;
        Ok(())
    }

    /// What is different in the cell of another one; nothing in the rows of metrics that it doesn't know.
    fn difference(&self, other: &Self) -> Difference {
        let shared = HIDDEN + 1;
        let inputs = self.inputs.iter().map(|metric| other.inputs.binary_search(metric).ok());
        let rows = (0..shared).map(Some).chain(inputs.map(|at| at.map(|at| shared + at)));
        let mut weights = vec![0.0; self.weights.parts()[0].len()];
        let width = self.weights.cell.first().map_or(1, |row| row.as_flattened().len());
        for ((to, mine), row) in weights.chunks_exact_mut(width).zip(&self.weights.cell).zip(rows) {
            let theirs = row.and_then(|row| other.weights.cell.get(row)).map(|row| row.as_flattened());
            // A metric that is new to it has zeros for weights.
            let Some(theirs) = theirs.filter(|row| row.iter().any(|&w| w != 0.0)) else { continue };
            for ((to, mine), theirs) in to.iter_mut().zip(mine.as_flattened()).zip(theirs) {
                *to = theirs - mine;
            }
        }
        Difference { weights, seen: other.seen }
    }
}

/// Makes none longer than the median; of an even number, the upper one.
fn cut(differences: &mut [Difference]) {
    let mut lengths: Vec<f64> = differences.iter().map(Difference::length).collect();
    lengths.sort_unstable_by(f64::total_cmp);
    let Some(&median) = lengths.get(lengths.len() / 2) else { return };
    for difference in differences {
        let length = difference.length();
        if length > median {
            difference.weights.iter_mut().for_each(|w| *w *= (median / length) as f32);
        }
    }
}

/// The mean of differences, each by the rows learnt, and of none from one that learnt `seen` rows itself.
fn mean(seen: f64, differences: &[Difference]) -> impl Iterator<Item = f32> {
    let clients = differences.len() + 1;
    let trimmed = if clients < MANY { 0 } else { (TRIMMED * clients as f64) as usize };
    let mut all: Vec<(f32, f64)> = Vec::with_capacity(clients);
    let weights = differences.first().map_or(0, |difference| difference.weights.len());
    (0..weights).map(move |at| {
        all.clear();
        all.push((0.0, seen));
        all.extend(differences.iter().map(|of| (of.weights.get(at).copied().unwrap_or_default(), of.seen)));
        if trimmed > 0 {
            all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        }
        let kept = &all[trimmed..clients - trimmed];
        let total: f64 = kept.iter().map(|(_, seen)| seen).sum();
        let sum: f64 = kept.iter().map(|(w, seen)| f64::from(*w) * seen).sum();
        (sum / total) as f32
    })
}
