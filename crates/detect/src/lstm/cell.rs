//! One LSTM cell of fixed width: its weights, a step forward, and the way back through a window.

use super::math::{logistic, tanh};

/// Hidden units.
pub(super) const HIDDEN: usize = 32;
/// Steps of the window that errors are led back through.
pub(super) const STEPS: usize = 16;

/// One number per hidden unit.
pub(super) type Units = [f32; HIDDEN];
/// One number per gate and hidden unit; gates in the order input, forget, output, candidate.
pub(super) type Gates = [Units; 4];

/// Everything that is trained; also the shape of its gradient and of the optimiser's moments.
///
/// Row-major by what comes in, all gates side by side: a step forward then only adds scaled rows, which needs no sum across
/// lanes, and a metric that comes or goes is a row that comes or goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Weights {
    /// From the hidden units of the step before ([`HIDDEN`] rows), from 1 (one row), from each input (D rows).
    pub(super) cell: Vec<Gates>,
    /// What each hidden unit adds to the forecast of each input: D rows.
    pub(super) readout: Vec<Units>,
    /// What is added to each forecast regardless: D numbers.
    pub(super) offset: Vec<f32>,
}

impl Weights {
    pub(super) fn zeros(inputs: usize) -> Self {
        Self {
            cell: vec![[[0.0; HIDDEN]; 4]; HIDDEN + 1 + inputs],
            readout: vec![[0.0; HIDDEN]; inputs],
            offset: vec![0.0; inputs],
        }
    }

    /// Flat views of all numbers.
    pub(super) fn parts(&self) -> [&[f32]; 3] {
        [self.cell.as_flattened().as_flattened(), self.readout.as_flattened(), &self.offset]
    }

    /// The same, to be written.
    pub(super) fn parts_mut(&mut self) -> [&mut [f32]; 3] {
        [self.cell.as_flattened_mut().as_flattened_mut(), self.readout.as_flattened_mut(), &mut self.offset]
    }

    /// Copies numbers; both have the same shape.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for (mine, theirs) in self.parts_mut().into_iter().zip(other.parts()) {
            mine.copy_from_slice(theirs);
        }
    }

    /// The same for other inputs; of new ones all numbers are 0, so that what was learnt about the others still holds.
    pub(super) fn rearranged(&self, from: &[Option<usize>]) -> Self {
        let mut other = Self::zeros(from.len());
        let shared = HIDDEN + 1;
        other.cell[..shared].copy_from_slice(&self.cell[..shared]);
        for (to, at) in from.iter().enumerate() {
            let Some(at) = *at else { continue };
            other.cell[shared + to] = self.cell[shared + at];
            other.readout[to] = self.readout[at];
            other.offset[to] = self.offset[at];
        }
        other
    }

    /// An input is counted otherwise from now on, x' = scale·x + offset: the same outputs, counted the same way.
    pub(super) fn reframe(&mut self, input: usize, scale: f32, offset: f32) {
        let (shared, inputs) = self.cell.split_at_mut(HIDDEN + 1);
        let (row, bias) = (inputs[input].as_flattened_mut(), shared[HIDDEN].as_flattened_mut());
        for (w, bias) in row.iter_mut().zip(bias) {
            *w /= scale;
            *bias -= *w * offset;
        }
        self.readout[input].iter_mut().for_each(|v| *v *= scale);
        self.offset[input] *= scale;
    }

    /// Nothing is known about an input any more.
    pub(super) fn forget(&mut self, input: usize) {
        self.cell[HIDDEN + 1 + input] = [[0.0; HIDDEN]; 4];
        self.readout[input] = [0.0; HIDDEN];
        self.offset[input] = 0.0;
    }

    /// By how much an input is expected to change.
    pub(super) fn change(&self, input: usize, hidden: &Units) -> f32 {
        dot_units(&self.readout[input], hidden) + self.offset[input]
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<f32>()
            * (self.cell.capacity() * 4 * HIDDEN + self.readout.capacity() * HIDDEN + self.offset.capacity())
    }
}

/// What the cell carries from one step to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Carry {
    /// Output of the hidden units.
    pub(super) hidden: Units,
    /// Their memory.
    pub(super) memory: Units,
}

/// What a step leaves behind for the way back; the inputs are kept apart, D per step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// What came in.
    pub(super) before: Carry,
    /// Gates, after their activation.
    pub(super) gates: Gates,
    /// tanh of the memory afterwards.
    pub(super) squashed: Units,
}

/// A step forward. Hot: no allocation.
pub(super) fn forward(weights: &[Gates], inputs: &[f32], carry: &mut Carry, step: &mut Step) {
    let Some((recurrent, rest)) = weights.split_at_checked(HIDDEN) else { return };
    let Some((bias, rows)) = rest.split_first() else { return };
    step.before = *carry;
    for (gate, out) in step.gates.iter_mut().enumerate() {
        // One gate at a time: its sums stay in registers.
        let mut sum = bias[gate];
        for (row, &x) in recurrent.iter().zip(&carry.hidden) {
            add_scaled(&mut sum, &row[gate], x);
        }
        for (row, &x) in rows.iter().zip(inputs) {
            add_scaled(&mut sum, &row[gate], x);
        }
        *out = sum;
    }
    let [input, forget, output, candidate] = &mut step.gates;
    for gate in [&mut *input, &mut *forget, &mut *output] {
        gate.iter_mut().for_each(|x| *x = logistic(*x));
    }
    candidate.iter_mut().for_each(|x| *x = tanh(*x));
    for j in 0..HIDDEN {
        carry.memory[j] = forget[j] * carry.memory[j] + input[j] * candidate[j];
        step.squashed[j] = tanh(carry.memory[j]);
        carry.hidden[j] = output[j] * step.squashed[j];
    }
}

/// Leads what the loss says about the last output back through `steps`, latest last, and writes what it says about the
/// gates of each, before activation, into `deltas`. Hot: no allocation.
pub(super) fn backward<'a>(
    weights: &[Gates],
    steps: impl DoubleEndedIterator<Item = &'a Step>,
    mut about_hidden: Units,
    deltas: &mut [Gates],
) {
    let recurrent = &weights[..HIDDEN.min(weights.len())];
    let mut about_memory = [0.0; HIDDEN];
    for (step, delta) in steps.rev().zip(deltas.iter_mut().rev()) {
        let [input, forget, output, candidate] = &step.gates;
        let [d_input, d_forget, d_output, d_candidate] = delta;
        for j in 0..HIDDEN {
            let (i, f, o, g) = (input[j], forget[j], output[j], candidate[j]);
            let squashed = step.squashed[j];
            d_output[j] = about_hidden[j] * squashed * o * (1.0 - o);
            let dc = about_memory[j] + about_hidden[j] * o * (1.0 - squashed * squashed);
            d_input[j] = dc * g * i * (1.0 - i);
            d_forget[j] = dc * step.before.memory[j] * f * (1.0 - f);
            d_candidate[j] = dc * i * (1.0 - g * g);
            about_memory[j] = dc * f;
        }
        for (about, row) in about_hidden.iter_mut().zip(recurrent) {
            *about = dot(row, delta);
        }
    }
}

/// One row of the gradient: over all steps, what came in times what the loss says about the gates. For all rows together
/// a small matrix product, in which each row is written once. Hot: no allocation.
pub(super) fn products(gradient: &mut Gates, deltas: &[Gates], inputs: &[f32]) {
    for (gate, out) in gradient.iter_mut().enumerate() {
        let mut sum = [0.0; HIDDEN];
        for (delta, &x) in deltas.iter().zip(inputs) {
            add_scaled(&mut sum, &delta[gate], x);
        }
        *out = sum;
    }
}

#[inline(always)]
pub(super) fn add_scaled(sum: &mut Units, row: &Units, x: f32) {
    for (sum, &w) in sum.iter_mut().zip(row) {
        *sum += w * x;
    }
}

/// Inner product over all gates, in 16 sums that are added in a fixed order.
#[inline(always)]
fn dot(a: &Gates, b: &Gates) -> f32 {
    let mut lanes = [0.0; 16];
    let pairs = a.as_flattened().as_chunks::<16>().0.iter().zip(b.as_flattened().as_chunks::<16>().0);
    for (a, b) in pairs {
        for j in 0..16 {
            lanes[j] += a[j] * b[j];
        }
    }
    total(lanes)
}

/// Inner product over the hidden units.
#[inline(always)]
pub(super) fn dot_units(a: &Units, b: &Units) -> f32 {
    let mut lanes = [0.0; 16];
    for j in 0..16 {
        lanes[j] = a[j] * b[j] + a[j + 16] * b[j + 16];
    }
    total(lanes)
}

#[inline(always)]
fn total(mut lanes: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
    }
    lanes[0]
}
