//! What is the same for all series of one row: memory in seconds as gains, and the width of a band.

use crate::bands::{LASTING_SECONDS, LOCAL_SECONDS, MAX_VALUE, SHIFT_SECONDS};
use crate::normalise::{RECORD_HALF_LIFE, normal_quantile};

/// A series that was missing for so many seconds is no longer expected.
pub(crate) const GIVEN_UP: f64 = 300.0;
/// One row stands for at most this many periods of learning.
pub(crate) const MAX_PERIODS: f64 = 5.0;
/// Tail factor of k₀: tails are heavier than normal.
const TAIL_FACTOR: f64 = 1.4;
/// Bounds of k₀, in deviations.
const WIDTHS: (f64, f64) = (5.0, 10.0);

/// Whether a value can be used. What is too large to be squared is as good as missing.
pub(crate) fn is_value(x: f64) -> bool {
    x.abs() < MAX_VALUE
}

/// k₀, half of the width of a band in deviations: 1.4 · z(tail / number of series that move). Kept while these stay the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    k0: f64,
    of: (f64, f64),
}

impl Width {
    /// The widest.
    pub(crate) fn new() -> Self {
        Self { k0: WIDTHS.1, of: (0.0, 0.0) }
    }

    /// For flagged rows as rare as `tail`, where `moving` series move.
    pub(crate) fn at(&mut self, tail: f64, moving: f64) -> f64 {
        if (tail, moving) != self.of {
            let k0 = TAIL_FACTOR * normal_quantile(tail / moving.max(1.0));
            (self.k0, self.of) = (k0.clamp(WIDTHS.0, WIDTHS.1), (tail, moving));
        }
        self.k0
    }
}

/// What is the same for all series of one row.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowContext {
    /// Seconds since the row before.
    pub dt: f64,
    /// Seconds that the local forecast is out of date.
    pub held: f64,
    /// Memory of the local forecast in seconds.
    pub local_memory: f64,
    /// Gain of the local forecast.
    pub local_gain: f64,
    /// The same after a time in which nothing was learnt.
    pub late_gain: f64,
    /// Gain of the shift.
    pub shift_gain: f64,
    /// Gain of what lasts.
    pub lasting_gain: f64,
    /// Fading of records.
    pub fade: f64,
    /// Memory of level and scale in seconds.
    pub memory: f64,
    /// Seconds after which a series is relied on.
    pub warm_up: f64,
    /// Half-width of a band in deviations.
    pub k0: f64,
    /// How many series move.
    pub moving: f64,
}

/// What a row is to its detector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFacts {
    /// Usual seconds between rows.
    pub period: f64,
    /// Seconds since the row before.
    pub dt: f64,
    /// Seconds since a row was learnt; as many as a period where none was missed.
    pub since_learnt: f64,
    /// Memory of level and scale in seconds.
    pub memory: f64,
    /// Seconds after which a series is relied on.
    pub warm_up: f64,
    /// Half-width of a band in deviations.
    pub k0: f64,
    /// How many series move.
    pub moving: f64,
}

impl RowContext {
    /// Gains and fadings for a row.
    pub(crate) fn of(row: RowFacts) -> Self {
        let RowFacts { period, dt, since_learnt, memory, warm_up, k0, moving } = row;
        let held = (since_learnt - period).max(0.0);
        let local_memory = LOCAL_SECONDS.max(4.0 * period);
        let gain = |dt: f64, memory: f64| 1.0 - (-dt / memory).exp();
        Self {
            dt,
            held,
            local_memory,
            local_gain: gain(dt, local_memory),
            late_gain: gain(dt + held, local_memory),
            shift_gain: gain(dt, SHIFT_SECONDS.max(1.5 * period)),
            lasting_gain: gain(dt, LASTING_SECONDS.max(10.0 * period)),
            fade: (-dt / RECORD_HALF_LIFE).exp2(),
            memory,
            warm_up,
            k0,
            moving,
        }
    }
}
