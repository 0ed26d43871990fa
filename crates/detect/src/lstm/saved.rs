//! How the network is saved and restored.

use super::Lstm;
use super::adam::Adam;
use super::cell::{Carry, Gates, HIDDEN, STEPS, Step, Units, Weights};
use super::math::tanh;
use super::replay::Replay;
use super::trial::Trial;
use super::window::Window;
use crate::detector::DetectError;

/// No sound weight, moment or carried number is larger.
const LARGEST: f32 = 1e6;

/// Everything learnt, and the last steps, so that it goes on as if it had never stopped. Numbers in the order of the
/// network's own arrays.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Saved {
    /// Which metrics are inputs, ascending.
    #[prost(uint32, repeated, tag = "1")]
    inputs: Vec<u32>,
    #[prost(message, optional, tag = "2")]
    weights: Option<SavedWeights>,
    #[prost(message, optional, tag = "3")]
    mean: Option<SavedWeights>,
    #[prost(message, optional, tag = "4")]
    square: Option<SavedWeights>,
    #[prost(uint64, tag = "5")]
    updates: u64,
    /// Two.
    #[prost(double, repeated, tag = "6")]
    faded: Vec<f64>,
    #[prost(double, tag = "7")]
    seen: f64,
    #[prost(uint32, tag = "8")]
    clean_updates: u32,
    #[prost(uint32, tag = "9")]
    waiting: u32,
    #[prost(uint32, tag = "10")]
    unflagged: u32,
    #[prost(fixed64, tag = "11")]
    seed: u64,
    /// Of each metric, NaN where there is none.
    #[prost(float, repeated, tag = "12")]
    last: Vec<f32>,
    /// Of each metric.
    #[prost(uint32, repeated, tag = "13")]
    missing: Vec<u32>,
    /// Hidden units, then their memory.
    #[prost(float, repeated, tag = "14")]
    carry: Vec<f32>,
    /// Of each step: hidden units, memory, gates; tanh of the memory afterwards is computed.
    #[prost(float, repeated, tag = "15")]
    steps: Vec<f32>,
    #[prost(float, repeated, tag = "16")]
    window: Vec<f32>,
    #[prost(uint32, tag = "17")]
    head: u32,
    #[prost(uint32, tag = "18")]
    filled: u32,
    /// Hidden units and memory of each window.
    #[prost(float, repeated, tag = "19")]
    replay_starts: Vec<f32>,
    #[prost(float, repeated, tag = "20")]
    replay_inputs: Vec<f32>,
    #[prost(float, repeated, tag = "21")]
    replay_changes: Vec<f32>,
    #[prost(uint64, tag = "22")]
    offered: u64,
    #[prost(message, optional, tag = "23")]
    trial: Option<SavedTrial>,
}

/// What was there before a merge.
#[derive(Clone, PartialEq, prost::Message)]
struct SavedTrial {
    #[prost(message, optional, tag = "1")]
    weights: Option<SavedWeights>,
    /// As of the network.
    #[prost(float, repeated, tag = "2")]
    carry: Vec<f32>,
    #[prost(uint32, tag = "3")]
    rows: u32,
    /// Two.
    #[prost(double, repeated, tag = "4")]
    losses: Vec<f64>,
}

impl SavedTrial {
    fn new(trial: &Trial) -> Self {
        let weights = Some(SavedWeights::new(&trial.weights));
        let carry = flat(&trial.carry).collect();
        Self { weights, carry, rows: trial.rows, losses: trial.losses.to_vec() }
    }

    fn check(self, inputs: usize) -> Result<Trial, DetectError> {
        sound("the state before a merge", &self.carry, CARRY)?;
        let weights = self.weights.unwrap_or_default().check("the weights before a merge", inputs)?;
        let losses = <[f64; 2]>::try_from(self.losses).ok();
        let losses = losses.filter(|losses| losses.iter().all(|loss| loss.is_finite() && *loss >= 0.0));
        let losses = losses.ok_or_else(|| inconsistent("the losses around a merge can't be"))?;
        Ok(Trial { weights, carry: carries(&self.carry).next().unwrap_or_default(), rows: self.rows, losses })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SavedWeights {
    #[prost(float, repeated, tag = "1")]
    cell: Vec<f32>,
    #[prost(float, repeated, tag = "2")]
    readout: Vec<f32>,
    #[prost(float, repeated, tag = "3")]
    offset: Vec<f32>,
}

fn inconsistent(reason: impl Into<String>) -> DetectError {
    DetectError::inconsistent(<Lstm as crate::identity::Identity>::KIND.as_str(), reason)
}

/// So many sound numbers.
fn sound(what: &str, numbers: &[f32], expected: usize) -> Result<(), DetectError> {
    if numbers.len() != expected {
        return Err(inconsistent(format!("{} numbers of {what}: expected {expected}", numbers.len())));
    }
    match numbers.iter().find(|x| x.is_nan() || x.abs() > LARGEST) {
        Some(x) => Err(inconsistent(format!("{x} among the numbers of {what}: expected at most {LARGEST}"))),
        None => Ok(()),
    }
}

impl SavedWeights {
    fn new(weights: &Weights) -> Self {
        let [cell, readout, offset] = weights.parts().map(<[f32]>::to_vec);
        Self { cell, readout, offset }
    }

    fn check(self, what: &str, inputs: usize) -> Result<Weights, DetectError> {
        let mut weights = Weights::zeros(inputs);
        for (to, part) in weights.parts_mut().into_iter().zip([&self.cell, &self.readout, &self.offset]) {
            sound(what, part, to.len())?;
            to.copy_from_slice(part);
        }
        Ok(weights)
    }
}

fn flat(carry: &Carry) -> impl Iterator<Item = f32> + '_ {
    carry.hidden.iter().chain(&carry.memory).copied()
}

/// Numbers of a [`Carry`].
const CARRY: usize = 2 * HIDDEN;

fn carries(numbers: &[f32]) -> impl Iterator<Item = Carry> + '_ {
    let (units, _) = numbers.as_chunks::<HIDDEN>();
    units.chunks_exact(2).map(|pair| Carry { hidden: pair[0], memory: pair[1] })
}

fn step(numbers: &[Units]) -> Step {
    let mut step = Step::default();
    let [hidden, memory, gates @ ..] = numbers else { return step };
    step.before = Carry { hidden: *hidden, memory: *memory };
    step.gates.copy_from_slice(gates);
    let [input, forget, _, candidate] = &step.gates;
    for j in 0..HIDDEN {
        // As in the step forward, to the bit.
        step.squashed[j] = tanh(forget[j] * memory[j] + input[j] * candidate[j]);
    }
    step
}

impl Lstm {
    pub(super) fn to_saved(&self) -> Saved {
        let gates = |gates: &Gates| gates.as_flattened().to_vec();
        Saved {
            inputs: self.inputs.iter().map(|&i| i as u32).collect(),
            weights: Some(SavedWeights::new(&self.weights)),
            mean: Some(SavedWeights::new(&self.adam.mean)),
            square: Some(SavedWeights::new(&self.adam.square)),
            updates: self.adam.updates,
            faded: self.adam.faded.to_vec(),
            seen: self.seen,
            clean_updates: self.clean_updates,
            waiting: self.waiting,
            unflagged: self.unflagged,
            seed: self.seed,
            last: self.last.clone(),
            missing: self.missing.iter().map(|&n| u32::from(n)).collect(),
            carry: flat(&self.carry).collect(),
            steps: self.window.steps.iter().flat_map(|s| flat(&s.before).chain(gates(&s.gates))).collect(),
            window: self.window.inputs.clone(),
            head: self.window.head as u32,
            filled: self.window.filled as u32,
            replay_starts: self.replay.starts.iter().flat_map(flat).collect(),
            replay_inputs: self.replay.inputs.clone(),
            replay_changes: self.replay.changes.clone(),
            offered: self.replay.offered,
            trial: self.trial.as_ref().map(SavedTrial::new),
        }
    }

    pub(super) fn take_over(&mut self, saved: Saved) -> Result<(), DetectError> {
        *self = self.checked(saved)?;
        Ok(())
    }

    /// One with this one's settings and the saved knowledge.
    pub(super) fn checked(&self, saved: Saved) -> Result<Self, DetectError> {
        let (metrics, inputs) = (self.last.len(), saved.inputs.len());
        let ascending = saved.inputs.is_sorted_by(|a, b| a < b);
        if !ascending
            || inputs != self.inputs.len()
            || saved.inputs.last().is_some_and(|&i| i as usize >= metrics)
        {
            return Err(inconsistent(format!(
                "its {inputs} inputs are not {} ascending positions among {metrics} metrics",
                self.inputs.len()
            )));
        }
        if saved.last.len() != metrics || saved.missing.len() != metrics {
            return Err(inconsistent(format!("{} last values of {metrics} metrics", saved.last.len())));
        }
        let seen: Vec<f32> = saved.last.iter().copied().filter(|x| !x.is_nan()).collect();
        sound("last values", &seen, seen.len())?;
        sound("the state", &saved.carry, CARRY)?;
        sound("the window's steps", &saved.steps, STEPS * 6 * HIDDEN)?;
        sound("the window", &saved.window, STEPS * inputs)?;
        let windows = (saved.replay_starts.len() / CARRY).min(Replay::room(inputs));
        sound("replayed windows", &saved.replay_starts, windows * CARRY)?;
        sound("replayed windows", &saved.replay_inputs, windows * STEPS * inputs)?;
        let changes: Vec<f32> = saved.replay_changes.iter().copied().filter(|x| !x.is_nan()).collect();
        sound("replayed windows", &changes, changes.len())?;
        let faded = <[f64; 2]>::try_from(saved.faded).ok();
        let faded = faded.filter(|faded| faded.iter().all(|f| (0.0..=1.0).contains(f)));
        let (Some(faded), true) = (faded, saved.seen.is_finite() && saved.seen >= 0.0) else {
            return Err(inconsistent("the counts of what was learnt can't be"));
        };
        // A ring that isn't full starts at its first place.
        let head = saved.head as usize;
        let whole = head < STEPS && (saved.filled as usize == STEPS || saved.filled as usize == head);
        if !whole || saved.replay_changes.len() != windows * inputs {
            return Err(inconsistent("its windows are of another length"));
        }
        let weights = |saved: Option<SavedWeights>, what| saved.unwrap_or_default().check(what, inputs);
        let (mean, square) = (weights(saved.mean, "the gradient")?, weights(saved.square, "the gradient")?);
        if square.parts().into_iter().flatten().any(|&x| x < 0.0) {
            return Err(inconsistent("a mean square is negative"));
        }
        let learnt = weights(saved.weights, "the weights")?;

        let mut lstm = Self::learning_every(self.every);
        lstm.scratch = self.scratch.clone();
        lstm.inputs = saved.inputs.iter().map(|&i| i as usize).collect();
        lstm.checkpoint = learnt.clone();
        lstm.weights = learnt;
        lstm.adam = Adam { mean, square, updates: saved.updates, faded };
        (lstm.seen, lstm.seed) = (saved.seen, saved.seed);
        (lstm.clean_updates, lstm.waiting, lstm.unflagged) =
            (saved.clean_updates, saved.waiting, saved.unflagged);
        lstm.trial = saved.trial.map(|trial| trial.check(inputs)).transpose()?;
        lstm.forecast = vec![f32::NAN; metrics];
        lstm.last = saved.last;
        lstm.missing = saved.missing.iter().map(|&n| u8::try_from(n).unwrap_or(u8::MAX)).collect();
        lstm.carry = carries(&saved.carry).next().unwrap_or_default();
        let (units, _) = saved.steps.as_chunks::<HIDDEN>();
        lstm.window = Window {
            steps: units.chunks_exact(6).map(step).collect(),
            inputs: saved.window,
            head,
            filled: saved.filled as usize,
        };
        if lstm.is_sparse() {
            lstm.replay = Replay::new(inputs);
            lstm.replay.offered = saved.offered;
            lstm.replay.starts.extend(carries(&saved.replay_starts));
            lstm.replay.inputs.extend(saved.replay_inputs);
            lstm.replay.changes.extend(saved.replay_changes);
        }
        if !lstm.foresee() {
            return Err(inconsistent("its forecast is not finite"));
        }
        Ok(lstm)
    }
}

/// States in which one thing can't be.
#[cfg(test)]
pub(super) fn damaged(sound: &Saved) -> impl Iterator<Item = Saved> + '_ {
    let damages: [fn(&mut Saved); 13] = [
        |s| s.inputs[1] = 0,
        |s| s.inputs[3] = 4,
        |s| s.weights = None,
        |s| s.weights.as_mut().into_iter().for_each(|w| w.cell[7] = f32::NAN),
        |s| s.weights.as_mut().into_iter().for_each(|w| w.offset.push(0.0)),
        |s| s.square.as_mut().into_iter().for_each(|w| w.readout[0] = -1.0),
        |s| s.faded = vec![0.5],
        |s| s.seen = f64::INFINITY,
        |s| s.last[0] = 1e30,
        |s| s.head = 16,
        |s| s.replay_inputs.truncate(3),
        |s| s.steps.clear(),
        |s| s.trial = Some(SavedTrial::default()),
    ];
    damages.into_iter().map(|damage| {
        let mut bad = sound.clone();
        damage(&mut bad);
        bad
    })
}
