//! Forecasts all metrics of the next row together with a small recurrent network that never stops learning.
//!
//! **What it is.** One LSTM cell (Hochreiter & Schmidhuber 1997; forget gate, Gers et al. 2000) of 32 hidden units reads the
//! normalised row z and what it carries from the rows before: with u = \[h; 1; z\] and a = W·u, the gates are i, f, o = σ(a) and
//! g = tanh(a), the memory c ← f∘c + i∘g, the output h = o∘tanh(c). The next row is expected to be z + V·\[h; 1\]. V starts
//! at 0: an untaught network forecasts that nothing changes, so it starts no worse than the last value, and a metric that
//! it learns nothing about stays there.
//!
//! **How it learns.** On every row: the error of the forecast just made (Huber's loss: squared up to 1, linear beyond) is led
//! back through the last 16 steps (truncated back-propagation); the gradient, cut to length 1, goes to Adam. The gates of the
//! window are those of when it was seen, up to 16 updates ago: computing them again would cost a third more.
//!
//! **Sparse training** ([`Lstm::learning_every`]), for small devices: only each n-th row is learnt, together with, at half
//! weight, the row after a window drawn from a reservoir of 64 earlier ones. A forecast is made for every row.
//!
//! **When it fails.** It needs some hundred rows to be better than the last value, and forecasts no further than its memory of
//! some dozens of rows: daily patterns are beyond it. White noise it learns to forecast by its mean, as it should.
//! A slow leak is forecast well, and so not seen. Values that are rarely anything but 0 teach it nothing.
//!
//! **Missing values.** The forecast stands in for a missing value, five times; then nothing is expected of the metric until
//! it is back. Values that are missing teach nothing. After a gap nothing is expected until the window is full again.
//!
//! **Merging** is federated averaging, on trial (`federated`, `trial`).
//!
//! **Many metrics.** Cost grows with the number of inputs, so at most [`MAX_INPUTS`] metrics are inputs: where there are
//! more, they are spread evenly over the schema, which is in order of names, and keep their place as long as they live.
//! The others are expected to stay at their last value.
//!
//! **Cost.** For 28 metrics 8,732 parameters, 217 KiB; a row, learning included, takes 26 µs on one core of an AMD EPYC
//! with baseline x86-64, 13 µs when each fourth is learnt, and at most 60 µs however many metrics (`benches/lstm.rs`). Same results on every CPU, to the last bit: only operations that IEEE 754 rounds exactly, in a fixed order.
//!
//! Source: specification 4.2; merging: 10.2.

mod adam;
mod cell;
mod federated;
mod inputs;
mod math;
mod replay;
mod saved;
#[cfg(test)]
mod tests;
mod train;
mod trial;
mod window;

use self::adam::Adam;
use self::cell::{Carry, Gates, HIDDEN, STEPS, Step, Weights};
use self::inputs::{choose_inputs, take};
use self::replay::Replay;
use self::trial::Trial;
use self::window::Window;
use crate::detector::{DetectError, DetectorKind};
use crate::identity::Identity;

pub use self::saved::Saved;

/// Metrics that the network sees, at most: keeps it below a megabyte and its cost bounded.
pub const MAX_INPUTS: usize = 128;
/// Normalised values are at most this ([`crate::identity::Identity`]).
const LARGEST_VALUE: f64 = 20.0;
/// What goes into the cell is at most this (specification 4.2): it knows "far out" and saturates no further.
const LARGEST_INPUT: f32 = 5.0;
/// How often in a row the forecast stands in for a missing value (specification 0.2).
const STAND_INS: u8 = 5;
/// Where the generator starts: any number will do, but the same everywhere, so that models can be averaged.
const SEED: u64 = 0x1a57_4ec7_0000_0001;

/// The network.
#[derive(Clone, Debug)]
pub struct Lstm {
    /// Learns each so many rows.
    every: u32,
    /// Which metrics are inputs, ascending.
    inputs: Vec<usize>,
    weights: Weights,
    adam: Adam,
    /// Weights that were fine.
    checkpoint: Weights,
    /// Updates since the last checkpoint, or since it had to be used.
    clean_updates: u32,
    carry: Carry,
    window: Window,
    replay: Replay,
    /// State of the random generator.
    seed: u64,
    /// Last value of each metric or what stood in for it; NaN when there is none.
    last: Vec<f32>,
    /// How often in a row each metric was missing.
    missing: Vec<u8>,
    /// What the next row should be.
    forecast: Vec<f32>,
    /// Rows learnt or passed over since the last one that was learnt.
    waiting: u32,
    /// Unflagged rows in a row.
    unflagged: u32,
    /// Rows learnt from, by weight.
    seen: f64,
    /// After a merge, until it is known whether that was good.
    trial: Option<Trial>,
    scratch: Scratch,
}

/// Buffers of a sample, kept to save allocations.
#[derive(Clone, Debug)]
struct Scratch {
    gradient: Weights,
    /// What the loss says about the gates: of the window, then of the replayed one.
    deltas: Vec<Gates>,
    /// Steps of the replayed window.
    steps: Vec<Step>,
    /// By how much each input changed.
    changes: Vec<f32>,
}

impl Lstm {
    /// One that learns each `every`-th row only ("sparse training"), for small devices. 0 is taken as 1.
    pub fn learning_every(every: u32) -> Self {
        let mut lstm = Self {
            every: every.max(1),
            inputs: Vec::new(),
            weights: Weights::zeros(0),
            adam: Adam::new(0),
            checkpoint: Weights::zeros(0),
            clean_updates: 0,
            carry: Carry::default(),
            window: Window::new(0),
            replay: Replay::new(0),
            seed: SEED,
            last: Vec::new(),
            missing: Vec::new(),
            forecast: Vec::new(),
            waiting: 0,
            unflagged: 0,
            seen: 0.0,
            trial: None,
            scratch: Scratch {
                gradient: Weights::zeros(0),
                deltas: vec![[[0.0; HIDDEN]; 4]; 2 * STEPS],
                steps: vec![Step::default(); STEPS],
                changes: Vec::new(),
            },
        };
        lstm.start_over();
        lstm
    }

    fn is_sparse(&self) -> bool {
        self.every > 1
    }

    /// Parameters that are trained.
    pub fn parameters(&self) -> usize {
        self.weights.parts().iter().map(|part| part.len()).sum()
    }

    /// The weights of one that knows nothing: as far from 0 as keeps sums at about 1 (Glorot & Bengio 2010), memory kept
    /// rather than forgotten (Gers et al. 2000), a forecast of no change.
    fn start_over(&mut self) {
        let scale = 1.0 / ((self.inputs.len() + HIDDEN) as f32).sqrt();
        let [cell, readout, offset] = self.weights.parts_mut();
        let mut seed = SEED;
        cell.iter_mut().for_each(|w| *w = scale * math::uniform(&mut seed));
        readout.fill(0.0);
        offset.fill(0.0);
        if let Some(bias) = self.weights.cell.get_mut(HIDDEN) {
            *bias = [[0.0; HIDDEN], [1.0; HIDDEN], [0.0; HIDDEN], [0.0; HIDDEN]];
        }
        self.adam.reset();
        self.adam.updates = 0;
        self.checkpoint.copy_from(&self.weights);
        (self.clean_updates, self.seen) = (0, 0.0);
    }

    /// There is a number that isn't finite: back to the last checkpoint, and if that leads here at once, to the start.
    fn recover(&mut self) {
        if self.trial.is_some() {
            return self.decide();
        }
        if self.clean_updates == 0 {
            self.start_over();
        } else {
            self.weights.copy_from(&self.checkpoint);
            self.adam.reset();
            self.clean_updates = 0;
        }
        self.gap();
    }

    /// A row has gone by. Hot: no allocation.
    fn advance(&mut self, row: &[f64]) {
        for (m, &x) in row.iter().enumerate() {
            let (last, missing) = (&mut self.last[m], &mut self.missing[m]);
            if x.is_finite() {
                (*last, *missing) = (x.clamp(-LARGEST_VALUE, LARGEST_VALUE) as f32, 0);
                continue;
            }
            *missing = missing.saturating_add(1);
            if *missing > STAND_INS {
                *last = f32::NAN;
            } else if self.forecast[m].is_finite() {
                *last = self.forecast[m];
            }
        }
        let width = self.inputs.len();
        let at = self.window.head % STEPS;
        let inputs = &mut self.window.inputs[at * width..(at + 1) * width];
        for (input, &metric) in inputs.iter_mut().zip(&self.inputs) {
            let x = self.last[metric];
            *input = if x.is_finite() { x.clamp(-LARGEST_INPUT, LARGEST_INPUT) } else { 0.0 };
        }
        cell::forward(&self.weights.cell, inputs, &mut self.carry, &mut self.window.steps[at]);
        if let Some(trial) = &mut self.trial {
            trial.advance(inputs);
        }
        self.window.head = (at + 1) % STEPS;
        self.window.filled = (self.window.filled + 1).min(STEPS);
        if !self.foresee() {
            self.recover();
        }
    }

    /// Writes the forecast; false if there is a number in it that isn't finite. Hot: no allocation.
    fn foresee(&mut self) -> bool {
        if !self.window.is_full() {
            self.forecast.fill(f32::NAN);
            return true;
        }
        self.forecast.copy_from_slice(&self.last);
        (0..self.inputs.len()).all(|slot| self.foresee_input(slot))
    }

    /// The same for one input.
    fn foresee_input(&mut self, slot: usize) -> bool {
        let metric = self.inputs[slot];
        let change = self.weights.change(slot, &self.carry.hidden);
        let largest = LARGEST_VALUE as f32;
        self.forecast[metric] = (self.last[metric] + change).clamp(-largest, largest);
        change.is_finite()
    }
}

impl Identity for Lstm {
    type Saved = Saved;
    const KIND: DetectorKind = DetectorKind::Lstm;
    const VERSION: u16 = 1;
    const LOOKS_BACK: u32 = STEPS as u32;

    fn new() -> Self {
        Self::learning_every(1)
    }

    /// The values of a metric are counted otherwise from now on, z' = scale·z + offset with a scale above 0: what was learnt
    /// is rewritten so that the forecast of the metric itself stays (specification 0.5). Exact but for rounding, and for
    /// values that are cut at the limits. What is rescaled a thousandfold or more is forgotten instead.
    fn reframe(&mut self, metric: usize, scale: f64, offset: f64) {
        let possible = scale.is_finite() && scale > 0.0 && offset.is_finite();
        let Some(last) = self.last.get_mut(metric).filter(|_| possible) else { return };
        let move_to = |x: f32, limit: f32| {
            let moved = scale * f64::from(x) + offset;
            moved.clamp(f64::from(-limit), f64::from(limit)) as f32
        };
        *last = move_to(*last, LARGEST_VALUE as f32);
        self.forecast[metric] = move_to(self.forecast[metric], LARGEST_VALUE as f32);
        if let Ok(slot) = self.inputs.binary_search(&metric) {
            let sane = 1e-3..1e3;
            let before = self.trial.as_mut().map(|trial| &mut trial.weights);
            for weights in [&mut self.weights, &mut self.checkpoint].into_iter().chain(before) {
                if sane.contains(&scale) && offset.abs() <= LARGEST_VALUE {
                    weights.reframe(slot, scale as f32, offset as f32);
                } else {
                    weights.forget(slot);
                }
            }
            let width = self.inputs.len();
            for rows in [&mut self.window.inputs, &mut self.replay.inputs] {
                rows.iter_mut().skip(slot).step_by(width).for_each(|x| *x = move_to(*x, LARGEST_INPUT));
            }
            for change in self.replay.changes.iter_mut().skip(slot).step_by(width) {
                *change =
                    (*change * scale as f32).clamp(-2.0 * LARGEST_VALUE as f32, 2.0 * LARGEST_VALUE as f32);
            }
            if self.window.is_full() && !self.foresee_input(slot) {
                self.recover();
            }
        }
    }

    fn rearrange(&mut self, from: &[Option<usize>]) {
        self.decide();
        let old = std::mem::take(&mut self.inputs);
        self.inputs = choose_inputs(from, &old);
        let at =
            |metric: &usize| from.get(*metric).copied().flatten().and_then(|m| old.binary_search(&m).ok());
        let slots: Vec<Option<usize>> = self.inputs.iter().map(at).collect();
        for weights in [&mut self.weights, &mut self.checkpoint, &mut self.adam.mean, &mut self.adam.square] {
            *weights = weights.rearranged(&slots);
        }
        self.scratch.gradient = Weights::zeros(slots.len());
        self.scratch.changes = vec![0.0; slots.len()];
        if self.is_sparse() {
            self.replay = self.replay.rearranged(&slots);
        }
        let rows = self.window.inputs.chunks_exact(old.len().max(1));
        let inputs = rows.flat_map(|row| slots.iter().map(|at| at.map_or(0.0, |at| row[at]))).collect();
        self.window.inputs = if old.is_empty() { vec![0.0; STEPS * slots.len()] } else { inputs };
        self.last = take(from, &self.last, f32::NAN);
        self.forecast = take(from, &self.forecast, f32::NAN);
        self.missing = take(from, &self.missing, 0);
        if self.adam.updates == 0 {
            self.start_over();
        }
    }

    fn expect(&mut self, _row: &[f64], expected: &mut [f64]) {
        expected.fill(f64::NAN);
        expected.iter_mut().zip(&self.forecast).for_each(|(to, &x)| *to = f64::from(x));
    }

    fn learn(&mut self, row: &[f64], weight: f64) {
        if row.len() != self.last.len() {
            return;
        }
        let unflagged = weight > 0.0;
        self.unflagged = if unflagged { self.unflagged.saturating_add(1) } else { 0 };
        if unflagged && self.window.is_full() && !self.inputs.is_empty() {
            self.waiting += 1;
            if self.trial.is_some() {
                self.compare(row);
            } else if self.waiting >= self.every {
                self.waiting = 0;
                self.train(row, weight.min(1.0));
            }
            // The row itself and the window before it, and no window overlaps another.
            if self.is_sparse() && self.window.is_full() && self.unflagged as usize > STEPS {
                self.offer(row);
                self.unflagged = 1;
            }
        }
        self.advance(row);
    }

    fn gap(&mut self) {
        self.carry = Carry::default();
        if let Some(trial) = &mut self.trial {
            trial.carry = Carry::default();
        }
        (self.window.head, self.window.filled) = (0, 0);
        self.unflagged = 0;
        self.last.fill(f32::NAN);
        self.missing.fill(0);
        self.forecast.fill(f32::NAN);
    }

    fn save(&self) -> Saved {
        self.to_saved()
    }

    fn restore(&mut self, saved: Saved) -> Result<(), DetectError> {
        self.take_over(saved)
    }

    fn merge(&mut self, other: Saved) -> Result<(), DetectError> {
        self.take_in(vec![other])
    }

    fn merge_all(&mut self, others: Vec<Saved>) -> Result<(), DetectError> {
        self.take_in(others)
    }

    fn state_bytes(&self) -> usize {
        let Scratch { gradient, deltas, steps, changes } = &self.scratch;
        let weights = [&self.weights, &self.checkpoint, gradient];
        size_of::<Self>()
            + weights.iter().map(|w| w.bytes()).sum::<usize>()
            + self.adam.bytes()
            + self.replay.bytes()
            + self.trial.as_ref().map_or(0, |trial| trial.weights.bytes())
            + (self.window.steps.capacity() + steps.capacity()) * size_of::<Step>()
            + deltas.capacity() * size_of::<Gates>()
            + self.inputs.capacity() * size_of::<usize>()
            + self.missing.capacity()
            + size_of::<f32>()
                * (self.window.inputs.capacity()
                    + changes.capacity()
                    + self.last.capacity()
                    + self.forecast.capacity())
    }
}
