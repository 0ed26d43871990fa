//! The last steps of the network, which errors are led back through.

use super::cell::{STEPS, Step};

/// The last [`STEPS`] steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// A ring.
    pub(super) steps: Vec<Step>,
    /// D inputs for each.
    pub(super) inputs: Vec<f32>,
    /// Where the next one goes; when the ring is full, also the oldest.
    pub(super) head: usize,
    /// How many there are.
    pub(super) filled: usize,
}

impl Window {
    pub(super) fn new(width: usize) -> Self {
        Self { steps: vec![Step::default(); STEPS], inputs: vec![0.0; STEPS * width], head: 0, filled: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == STEPS
    }
}
