//! Identity functions: what a row should have been, from what was seen before (IFTM, Schmidt et al. 2018).
//!
//! `crate::iftm::Iftm` turns any of them into a detector: it normalises each metric, asks for the expected row, judges
//! the error with a threshold ([`crate::threshold`]) and lets the identity function learn.

use std::fmt::Debug;

use crate::detector::{DetectError, DetectorKind};

/// Forecasts or reconstructs rows of normalised values: each metric minus its mean, over its deviation, at most ±20.
///
/// Implementations must not panic on any input, allocate in [`Identity::expect`] or [`Identity::learn`], read a clock or
/// draw random numbers from outside: the same calls give the same answers on every CPU, to 1e-9 relative for `f64` and
/// 1e-4 for `f32`. Missing values are NaN.
pub trait Identity: Debug + Send {
    /// How it is saved.
    type Saved: prost::Message + Default;

    /// Which detector it makes.
    const KIND: DetectorKind;

    /// The newest format that it reads, and the one that it writes.
    const VERSION: u16;

    /// How many earlier rows a forecast rests on, about; 0 where the row itself is looked at. What a forecast expects gets out
    /// of date while nothing is learnt, and is wrong for so many rows after a jump.
    const LOOKS_BACK: u32;

    /// One that knows nothing, of no metrics.
    fn new() -> Self;

    /// Says how many seconds usually lie between rows, before every row. Cheap; memories in seconds become gains by it.
    fn tune(&mut self, _period: f64) {}

    /// Takes other metrics: the one at `i` keeps what was learnt about the one that stood at `from[i]`; none is new.
    fn rearrange(&mut self, from: &[Option<usize>]);

    /// Writes what the row should be into `expected`, NaN for metrics of which it expects nothing yet. A forecast looks only
    /// at earlier rows; a reconstruction also at `row`. Called once per row, before [`Identity::learn`].
    fn expect(&mut self, row: &[f64], expected: &mut [f64]);

    /// Learns the row that was passed to [`Identity::expect`] last, with a weight between 0 and 1. Weight 0 teaches
    /// nothing, but rows have gone by: lags and other short memory must follow.
    fn learn(&mut self, row: &[f64], weight: f64);

    /// The next row is not the neighbour of the last one: lags and hidden state are forgotten, what was learnt is kept.
    fn gap(&mut self);

    /// The normal values of a metric are counted otherwise from now on: z' = scale·z + offset, with a scale above 0. What
    /// was learnt is rewritten so that it expects the same of the metric itself, exactly where the method allows
    /// (specification 0.5). Doing nothing is right for what only knows correlations.
    fn reframe(&mut self, _metric: usize, _scale: f64, _offset: f64) {}

    /// Everything learnt.
    fn save(&self) -> Self::Saved;

    /// Takes over what was saved for as many metrics as [`Identity::rearrange`] said last.
    ///
    /// # Errors
    /// When something in it can't be; then nothing has changed.
    fn restore(&mut self, saved: Self::Saved) -> Result<(), DetectError>;

    /// Adds what another instance learnt about the same metrics in the same order. Exact where the method allows it.
    ///
    /// # Errors
    /// When something in it can't be; then nothing has changed.
    fn merge(&mut self, other: Self::Saved) -> Result<(), DetectError>;

    /// The same of several at once.
    ///
    /// # Errors
    /// As [`Identity::merge`]; but what came before the one with the error may have been added.
    fn merge_all(&mut self, others: Vec<Self::Saved>) -> Result<(), DetectError> {
        others.into_iter().try_for_each(|other| self.merge(other))
    }

    /// Bytes of memory that it holds.
    fn state_bytes(&self) -> usize;
}
