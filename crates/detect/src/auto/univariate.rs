//! One series: what it is expected to be, how novel its last value is, and whether something begins there.
//!
//! Three signals, each in decades of tail probability and each blind where the others see: distance from the season
//! ([`crate::auto::season`]), distance beyond the range, distance of the last values from any known shape
//! ([`crate::auto::novelty`]). Their 3-norm over the limit is the dense state. For onsets each is first discounted by
//! what has happened before, and the 3-norm must exceed the limit and everything in the rest period
//! ([`crate::auto::alarm`]).
//!
//! **State and onset.** Before an onset the state is s/(1 + s) of the surprise s in limits, below 1 whatever happens: only an
//! onset makes a series anomalous. After it, it is 1 + s while s is at least a half, until s stayed below that for
//! 15 seconds and five samples.
//!
//! **When it fails.** Slow drifts inside the range are followed. The first anomaly of a kind is told best; what comes back
//! weekly is habituated to. In the first hour of a series sampled every second nothing can be known to happen once a week,
//! so nothing begins but at impossible values.
//!
//! **Promise.** On Gaussian, Student t(3), lognormal, seasonal and autocorrelated heavy-tailed noise there are 0.1 to 1.2 times
//! the promised onsets in the first eight weeks of 5-minute values and half of them later; up to 1.6 times in the first four weeks
//! at a minute and 2 times in the first two at 10 s.
//!
//! **Learning while it lasts.** With weight 0 the state holds until [`Series::adopt`]; with 1 a shift is followed within an hour or
//! so. A tenth holds it for hours and still learns that such values happen.
//!
//! **Cost.** About half a microsecond, of which the search for the nearest shape is most; 8 KB.

use larnax_core::{Bounds, Timestamp};

use super::alarm::Limits;
pub use super::learnt::Learnt;
use super::learnt::{MAX_VALUE, MAX_Z, deviation};
use super::novelty::{LAGS, Nearest, quantile};
use super::season::{At, Expected, FLOOR};
use crate::normalise::Moments;

/// Levels are remembered for two weeks, and at least this many samples.
const MEMORY: f64 = 14.0 * 86_400.0;
const MIN_MEMORY: f64 = 4_000.0;
/// Values before anything surprises.
const MIN_SEEN: f64 = 60.0;
/// Values before a band is shown.
const MIN_SHOWN: f64 = 10.0;
/// What the usual distance from the season counts as when the expectation changes: an hour, and at least so many samples. That
/// happens no more often than daily.
const RENEWED: f64 = 3_600.0;
const MIN_RENEWED: f64 = 20.0;
const RENEW_APART: f64 = 86_400.0;
/// What was learnt counts as so many samples after a change is adopted.
const ADOPTED: f64 = 300.0;
/// An anomaly ends when the state stays below this many limits for so many seconds, and samples.
const CALM: f64 = 0.5;
const CALM_SECONDS: f64 = 15.0;
const CALM_SAMPLES: f64 = 5.0;
/// State and onset, in limits, of a value that can't be.
const IMPOSSIBLE: f64 = 2.0;
/// Deviations that are told apart.
const MAX_DEVIATION: f64 = 1e4;
/// A step in time longer than this many periods ages nothing more than this.
const MAX_STEP: f64 = 10.0;
/// Shortest and longest sampling period in seconds that is worked with.
const PERIODS: (f64, f64) = (0.001, 86_400.0);

/// What a series is told about its surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Context {
    /// Usual seconds between samples.
    pub period: f64,
    /// How likely there may be an onset at a normal sample, between 0 and 1.
    pub tail: f64,
    /// What is known beforehand.
    pub bounds: Bounds,
}

/// What a series says about one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// At most 1 is normal; above 1 from an onset for as long as it lasts.
    pub state: f64,
    /// Above 1 where something begins. Sparse.
    pub onset: f64,
    /// The value that was expected, in the unit of the series; NaN where nothing is expected yet.
    pub expected: f64,
    /// Half of the width of the expected band, in the same unit.
    pub half_width: f64,
    /// Signed distance from what was expected, in half-widths; NaN where the value is missing.
    pub deviation: f64,
}

impl Judged {
    /// Nothing is expected.
    pub const NONE: Self =
        Self { state: 0.0, onset: 0.0, expected: f64::NAN, half_width: f64::NAN, deviation: f64::NAN };
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    learnt: Learnt,
    pending: Option<Pending>,
}

/// The value that was judged last, and what learning it takes.
#[derive(Clone, Copy, Debug)]
struct Pending {
    x: f64,
    at: At,
    elapsed: f64,
    z: f64,
    used: Expected,
    distance: f64,
    nearest: Option<Nearest>,
}

/// How a value follows the one before.
#[derive(Clone, Copy, Debug)]
struct Step {
    time: Timestamp,
    elapsed: f64,
    period: f64,
    in_order: bool,
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

impl Series {
    /// One of which nothing is known.
    pub fn new() -> Self {
        Self { learnt: Learnt::new(), pending: None }
    }

    /// Judges a value with what was learnt before it. Surprises are noted (habituation, rest, the last twelve values); everything
    /// else waits for [`Series::learn`]. A missing value gives the last state and nothing more; a value that is not later
    /// than the one before is compared with what is expected, and neither noted nor learnt.
    ///
    /// Hot: no allocation.
    pub fn judge(&mut self, x: f64, time: Timestamp, context: &Context) -> Judged {
        self.pending = None;
        let known = &self.learnt;
        let excluded = context.bounds.excludes(x);
        if !x.is_finite() || x.abs() > MAX_VALUE && !excluded {
            return Judged { state: known.state, ..Judged::NONE };
        }
        let period =
            if context.period.is_finite() { context.period.clamp(PERIODS.0, PERIODS.1) } else { PERIODS.1 };
        let elapsed = known.last.map_or(0.0, |last| time.since(Timestamp::from_nanos(last)));
        let in_order = known.last.is_none() || elapsed > 0.0;
        let elapsed = elapsed.clamp(0.0, MAX_STEP * period);
        let step = Step { time, elapsed, period, in_order };
        let at = At { seconds: time.seconds(), period };
        let limits = Limits::new(context.tail, known.seen);

        let used = known.profile.expect(at, known.age);
        if x.abs() > MAX_VALUE {
            return self.conclude(IMPOSSIBLE, 0.0, true, &step);
        }
        let moments = self.with(x, period);
        let scale = deviation(&moments);
        let z = ((x - moments.mean) / scale).clamp(-MAX_Z, MAX_Z);
        let spread = (used.var + FLOOR).sqrt();
        let expected = moments.mean + used.mean * scale;
        let apart = context.bounds.counts(x - expected);
        let distance = (z - used.mean).abs() / spread;
        let known = &mut self.learnt;
        if in_order {
            known.recent.truncate(LAGS - 1);
            known.recent.insert(0, x);
        }
        let nearest = if in_order { known.shapes.push(z) } else { None };
        let half_width = (known.usual_distance.signal(quantile(limits.limit)).max(1.0) * spread * scale)
            .max(context.bounds.least)
            .max(f64::MIN_POSITIVE);

        let counts = apart != 0.0 && apart.abs() >= context.bounds.least && known.seen >= MIN_SEEN;
        let surprises = if counts {
            [
                known.usual_distance.surprise(distance).min(limits.cap),
                known.range.surprise(x, known.seen, known.age).min(limits.cap),
                nearest.map_or(0.0, |n| known.usual_novelty.surprise(n.distance)).min(limits.cap),
            ]
        } else {
            [0.0; 3]
        };
        let dense = norm(surprises) / limits.limit;
        let mut onset = 0.0;
        if in_order {
            let fresh = norm([
                known.distance_habit.discount(surprises[0], &limits, elapsed, period),
                known.range_habit.discount(surprises[1], &limits, elapsed, period),
                known.shape_habit.discount(surprises[2], &limits, elapsed, period),
            ]);
            if known.rest.exceeds(fresh, at.seconds, known.age, period) {
                onset = fresh / limits.limit;
            }
            self.pending = Some(Pending { x, at, elapsed, z, used, distance, nearest });
        }
        let dense = if excluded { dense.max(IMPOSSIBLE) } else { dense };
        let shown = self.learnt.seen >= MIN_SHOWN;
        let judged = self.conclude(dense, onset, excluded, &step);
        if !shown {
            return judged;
        }
        Judged {
            expected,
            half_width,
            deviation: (apart / half_width).clamp(-MAX_DEVIATION, MAX_DEVIATION),
            ..judged
        }
    }

    /// Learns the value that was judged last, with a weight between 0 (nothing) and 1.
    ///
    /// Hot: no allocation.
    pub fn learn(&mut self, weight: f64) {
        let Some(pending) = self.pending.take() else { return };
        let weight = if weight > 0.0 { weight.min(1.0) } else { return };
        let Pending { x, at, elapsed, z, used, distance, nearest } = pending;
        let memory = (MEMORY / at.period).max(MIN_MEMORY);
        let known = &mut self.learnt;
        let mut moments = Moments { mean: known.mean, var: known.var };
        known.range.learn(x, known.seen, elapsed, weight);
        known.seen += weight;
        known.age += elapsed * weight;
        known.settled += weight;
        let gain = (1.0 / known.settled.max(1.0)).max(1.0 / memory);
        moments.learn(x, gain * weight);
        (known.mean, known.var) = (moments.mean, moments.var);
        known.profile.learn(z, at, known.seen, gain, &used, weight);
        let season = used.season as u32;
        if season != known.season && (known.age - known.renewed > RENEW_APART || known.renewed == 0.0) {
            (known.season, known.renewed) = (season, known.age);
            known.usual_distance.renew((RENEWED / at.period).max(MIN_RENEWED));
        }
        known.usual_distance.learn(distance, 1.0 / memory, weight);
        if let Some(nearest) = nearest {
            known.usual_novelty.learn(nearest.distance, 1.0 / memory, weight);
            known.shapes.learn(nearest, 1.0 / memory, weight);
        }
    }

    /// The next value is not the neighbour of the last one.
    pub fn gap(&mut self) {
        self.learnt.shapes.gap();
        self.pending = None;
    }

    /// What is being seen is the new normal: the level moves by what the last twelve values have in common, the range takes them
    /// in, and what else was learnt counts little from now on.
    pub fn adopt(&mut self) {
        self.pending = None;
        let known = &mut self.learnt;
        if known.seen > 0.0 {
            let scale = deviation(&Moments { mean: known.mean, var: known.var });
            let at =
                At { seconds: known.last.map_or(0.0, |t| Timestamp::from_nanos(t).seconds()), period: 1.0 };
            let expected = known.mean + known.profile.expect(at, known.age).mean * scale;
            // The part of the deviation that all of the last values share: spikes are no reason to move the level.
            let (least, most) =
                known.recent.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| {
                    (least.min(x - expected), most.max(x - expected))
                });
            let by = if least <= most { least.max(0.0) + most.min(0.0) } else { 0.0 };
            known.mean += by;
            for x in &known.recent {
                known.range.include(*x);
            }
        }
        known.shapes.gap();
        known.settled = known.settled.min(ADOPTED);
        known.usual_distance.renew(ADOPTED);
        known.usual_novelty.renew(ADOPTED);
        (known.open, known.calm, known.state) = (false, 0.0, 0.0);
    }

    /// Values learnt, by weight.
    pub fn seen(&self) -> f64 {
        self.learnt.seen
    }

    /// Everything learnt, to be saved.
    pub fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    /// Goes on from what was saved; none where a number in it can't be.
    pub fn restore(learnt: Learnt) -> Option<Self> {
        let mut learnt = learnt;
        learnt.reserve();
        learnt.is_sound().then_some(Self { learnt, pending: None })
    }

    /// Adds what another instance learnt of the same series. An open anomaly is not taken over.
    pub fn merge(&mut self, other: &Self) {
        self.pending = None;
        self.learnt.merge(&other.learnt);
    }

    /// Bytes of memory that it holds.
    pub fn state_bytes(&self) -> usize {
        size_of::<Self>()
            + self.learnt.profile.heap_bytes()
            + self.learnt.shapes.heap_bytes()
            + self.learnt.rest.heap_bytes()
            + self.learnt.recent.capacity() * size_of::<f64>()
    }

    /// Level and variance with `x` taken in: a value is never farther from a mean than one that it is part of.
    fn with(&self, x: f64, period: f64) -> Moments {
        let memory = (MEMORY / period).max(MIN_MEMORY);
        let mut moments = Moments { mean: self.learnt.mean, var: self.learnt.var };
        moments.learn(x, (1.0 / (self.learnt.settled + 1.0)).max(1.0 / memory));
        moments
    }

    /// Opens, holds or ends the anomaly.
    fn conclude(&mut self, dense: f64, onset: f64, excluded: bool, step: &Step) -> Judged {
        let Step { time, elapsed, period, in_order } = *step;
        let known = &mut self.learnt;
        let onset = if excluded && !known.open && in_order { onset.max(IMPOSSIBLE) } else { onset };
        let open = known.open || onset > 1.0;
        let state = if open && dense >= CALM { 1.0 + dense } else { dense / (1.0 + dense) };
        if in_order {
            known.last = Some(time.nanos());
            known.calm = if dense >= CALM { 0.0 } else { known.calm + elapsed };
            known.open = open && known.calm < CALM_SECONDS.max(CALM_SAMPLES * period);
            known.state = state;
        }
        Judged { state, onset, ..Judged::NONE }
    }
}

/// The 3-norm: two signals together count a little more than the larger one.
fn norm(surprises: [f64; 3]) -> f64 {
    surprises.iter().map(|s| s * s * s).sum::<f64>().cbrt()
}
