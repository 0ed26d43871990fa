//! Which is better: what came of a merge, or what was there before it?
//!
//! The rows that a network still holds can't tell, because it learnt them: it would find itself better than any other. So
//! both forecast the next [`ROWS`] rows that are not flagged, neither learns, and the merged weights stay unless they are
//! more than [`WORSE`] worse (specification 10.2).

use super::cell::{self, Carry, Step, Weights};
use super::{LARGEST_VALUE, Lstm};

/// Rows that both forecast.
pub(super) const ROWS: u32 = 200;
/// How much larger the loss may become,
const WORSE: f64 = 0.02;
/// and the loss of a metric that is as good as none.
const NO_LOSS: f64 = 1e-6;

/// What was there before, while it isn't known which is better.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) weights: Weights,
    pub(super) carry: Carry,
    /// Rows that both have forecast.
    pub(super) rows: u32,
    /// Sums of the losses of the weights from before, and of the merged ones.
    pub(super) losses: [f64; 2],
}

impl Trial {
    /// Of a network that is about to take others in.
    pub(super) fn of(lstm: &Lstm) -> Self {
        Self { weights: lstm.weights.clone(), carry: lstm.carry, rows: 0, losses: [0.0; 2] }
    }

    /// Steps forward. Hot: no allocation.
    pub(super) fn advance(&mut self, inputs: &[f32]) {
        cell::forward(&self.weights.cell, inputs, &mut self.carry, &mut Step::default());
    }
}

impl Lstm {
    /// Both have forecast `row`. Hot: no allocation.
    pub(super) fn compare(&mut self, row: &[f64]) {
        let Some(trial) = &mut self.trial else { return };
        trial.rows += 1;
        for (slot, &metric) in self.inputs.iter().enumerate() {
            let change = (row[metric].clamp(-LARGEST_VALUE, LARGEST_VALUE) as f32) - self.last[metric];
            if change.is_nan() {
                continue;
            }
            let both = [(&trial.weights, &trial.carry), (&self.weights, &self.carry)];
            for (loss, (weights, carry)) in trial.losses.iter_mut().zip(both) {
                let error = f64::from((weights.change(slot, &carry.hidden) - change).abs());
                *loss += if error <= 1.0 { 0.5 * error * error } else { error - 0.5 };
            }
        }
        if trial.rows >= ROWS || !trial.losses.iter().all(|loss| loss.is_finite()) {
            self.decide();
        }
    }

    /// Ends the trial with what is known.
    pub(super) fn decide(&mut self) {
        let Some(Trial { weights, carry, rows, losses: [before, merged] }) = self.trial.take() else {
            return;
        };
        let nothing = NO_LOSS * f64::from(rows) * self.inputs.len() as f64;
        if !merged.is_finite() || merged > (1.0 + WORSE) * before + nothing {
            self.weights.copy_from(&weights);
            self.checkpoint.copy_from(&weights);
            self.clean_updates = 0;
            self.carry = carry;
        }
    }
}
