//! How the network learns a row: the gradient of the forecast's error, and the step against it.

use super::cell::{self, HIDDEN, STEPS, Units, Weights};
use super::{LARGEST_VALUE, Lstm, Scratch};

/// Weight of a window that is learnt again (specification 4.2).
pub(super) const REPLAY_WEIGHT: f32 = 0.5;
/// Clean updates between checkpoints (specification 4.3).
const CHECKPOINT: u32 = 1000;

impl Lstm {
    /// Learns that `row` came after the window. Hot: no allocation.
    pub(super) fn train(&mut self, row: &[f64], weight: f64) {
        self.find_gradient(row);
        if !self.adam.update(&mut self.weights, &self.scratch.gradient, weight as f32) {
            return self.recover();
        }
        self.seen += weight;
        self.clean_updates += 1;
        if self.clean_updates >= CHECKPOINT {
            self.checkpoint.copy_from(&self.weights);
            self.clean_updates = 1;
        }
    }

    /// Writes the gradient of the loss of `row` and of a replayed window into the scratch buffer. Hot: no allocation.
    pub(super) fn find_gradient(&mut self, row: &[f64]) {
        let Scratch { gradient, deltas, steps, changes } = &mut self.scratch;
        for part in [gradient.readout.as_flattened_mut(), &mut gradient.offset] {
            part.fill(0.0);
        }
        observe(&self.inputs, &self.last, row, changes);
        let (now, before) = deltas.split_at_mut(STEPS);
        let about = blame(&self.weights, gradient, &self.carry.hidden, changes, 1.0);
        let head = self.window.head % STEPS;
        let (newer, older) = self.window.steps.split_at(head);
        cell::backward(&self.weights.cell, older.iter().chain(newer), about, now);

        let width = self.inputs.len();
        let replayed = self.replay.draw(&mut self.seed);
        if let Some((mut carry, inputs, changes)) = replayed {
            for (step, inputs) in steps.iter_mut().zip(inputs.chunks_exact(width)) {
                cell::forward(&self.weights.cell, inputs, &mut carry, step);
            }
            let about = blame(&self.weights, gradient, &carry.hidden, changes, REPLAY_WEIGHT);
            cell::backward(&self.weights.cell, steps.iter(), about, before);
        }
        let used = if replayed.is_some() { 2 * STEPS } else { STEPS };
        // What came in at each of the steps, for one row of weights.
        let mut column = [1.0; 2 * STEPS];
        for (k, gradient) in gradient.cell.iter_mut().enumerate() {
            if k < HIDDEN {
                let all = older.iter().chain(newer).chain(steps.iter());
                column.iter_mut().zip(all).for_each(|(x, step)| *x = step.before.hidden[k]);
            } else if k == HIDDEN {
                column = [1.0; 2 * STEPS];
            } else {
                let at = k - HIDDEN - 1;
                let (newer, older) = self.window.inputs.split_at(head * width);
                let again = replayed.map_or(&[][..], |(_, inputs, _)| inputs);
                let all = [older, newer, again].into_iter().flat_map(|rows| rows.chunks_exact(width));
                column.iter_mut().zip(all).for_each(|(x, row)| *x = row[at]);
            }
            cell::products(gradient, &deltas[..used], &column);
        }
    }

    /// Puts the window that ends before `row` up for the reservoir. Hot: no allocation.
    pub(super) fn offer(&mut self, row: &[f64]) {
        let width = self.inputs.len();
        let head = self.window.head % STEPS;
        let Some((start, inputs, changes)) = self.replay.offer(&mut self.seed) else { return };
        *start = self.window.steps[head].before;
        let (newer, older) = self.window.inputs.split_at(head * width);
        inputs[..older.len()].copy_from_slice(older);
        inputs[older.len()..].copy_from_slice(newer);
        observe(&self.inputs, &self.last, row, changes);
    }
}

/// By how much each input changed to `row`; NaN where that isn't known.
fn observe(inputs: &[usize], last: &[f32], row: &[f64], changes: &mut [f32]) {
    for (change, &metric) in changes.iter_mut().zip(inputs) {
        let x = row[metric];
        let x = if x.is_finite() { x.clamp(-LARGEST_VALUE, LARGEST_VALUE) as f32 } else { f32::NAN };
        *change = x - last[metric];
    }
}

/// Adds the readout's gradient of the Huber loss of a forecast; what the loss says about the hidden units.
fn blame(weights: &Weights, gradient: &mut Weights, hidden: &Units, changes: &[f32], weight: f32) -> Units {
    let mut about = [0.0; HIDDEN];
    let readout = weights.readout.iter().zip(&weights.offset);
    let gradients = gradient.readout.iter_mut().zip(&mut gradient.offset);
    for (((row, offset), (d_row, d_offset)), change) in readout.zip(gradients).zip(changes) {
        let error = cell::dot_units(row, hidden) + offset - change;
        if !change.is_nan() {
            let slope = weight * error.clamp(-1.0, 1.0);
            cell::add_scaled(&mut about, row, slope);
            cell::add_scaled(d_row, hidden, slope);
            *d_offset += slope;
        }
    }
    about
}
