//! What is kept of one series: how it is saved, checked and merged.

use super::alarm::{Habit, Rest};
use super::novelty::{LAGS, Range, Shapes, Usual};
use super::season::{Profile, Season};
use crate::normalise::Moments;

/// A deviation is at least this share of the level (specification 0.5).
const RELATIVE_FLOOR: f64 = 1e-4;
const FLOOR_DEVIATION: f64 = 1e-12;
/// A frame is stretched at most so much in a merge.
const MAX_SCALE: f64 = 1e3;
/// z-scores are told apart up to here (specification 0.5).
pub(super) const MAX_Z: f64 = 20.0;
/// Values beyond this are treated as missing: their squares would overflow.
pub(super) const MAX_VALUE: f64 = 1e120;

/// Everything learnt of one series: the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Learnt {
    /// Values learnt, by weight.
    #[prost(double, tag = "1")]
    pub(super) seen: f64,
    /// Seconds learnt over.
    #[prost(double, tag = "2")]
    pub(super) age: f64,
    /// Level and variance, of values.
    #[prost(double, tag = "3")]
    pub(super) mean: f64,
    #[prost(double, tag = "4")]
    pub(super) var: f64,
    #[prost(message, required, tag = "5")]
    pub(super) profile: Profile,
    #[prost(message, required, tag = "6")]
    pub(super) range: Range,
    #[prost(message, required, tag = "7")]
    pub(super) shapes: Shapes,
    /// Usual distance from the season, and from the nearest shape.
    #[prost(message, required, tag = "8")]
    pub(super) usual_distance: Usual,
    #[prost(message, required, tag = "9")]
    pub(super) usual_novelty: Usual,
    /// What happened before: distance, range, shape.
    #[prost(message, required, tag = "10")]
    pub(super) distance_habit: Habit,
    #[prost(message, required, tag = "11")]
    pub(super) range_habit: Habit,
    #[prost(message, required, tag = "12")]
    pub(super) shape_habit: Habit,
    #[prost(message, required, tag = "13")]
    pub(super) rest: Rest,
    /// Which expectation was used last (0 local, 1 day, 2 week), and at what age that changed.
    #[prost(uint32, tag = "14")]
    pub(super) season: u32,
    #[prost(double, tag = "15")]
    pub(super) renewed: f64,
    /// When the last value was judged, in nanoseconds since the epoch.
    #[prost(int64, optional, tag = "16")]
    pub(super) last: Option<i64>,
    /// Whether an anomaly is open, and for how many seconds it has been calm.
    #[prost(bool, tag = "17")]
    pub(super) open: bool,
    #[prost(double, tag = "18")]
    pub(super) calm: f64,
    /// The last state.
    #[prost(double, tag = "19")]
    pub(super) state: f64,
    /// What `seen` counts as where levels are learnt: less after a change was adopted.
    #[prost(double, tag = "20")]
    pub(super) settled: f64,
    /// The last values, learnt or not, the newest first, at most `LAGS`.
    #[prost(double, repeated, tag = "21")]
    pub(super) recent: Vec<f64>,
}

impl Learnt {
    /// Nothing is known; the memory that will be needed is taken.
    pub(super) fn new() -> Self {
        Self {
            profile: Profile::new(),
            shapes: Shapes::new(),
            distance_habit: Habit::new(),
            range_habit: Habit::new(),
            shape_habit: Habit::new(),
            rest: Rest::new(),
            recent: Vec::with_capacity(LAGS),
            ..Self::default()
        }
    }

    /// Level and standard deviation, in the unit of the series.
    pub fn level(&self) -> (f64, f64) {
        (self.mean, self.var.sqrt())
    }

    /// Takes the memory that will be needed, after having been read or copied.
    pub(super) fn reserve(&mut self) {
        self.shapes.reserve();
        self.recent.reserve_exact(LAGS.saturating_sub(self.recent.len()));
    }

    /// Whether every number in it can be.
    pub(super) fn is_sound(&self) -> bool {
        let amounts = [self.seen, self.age, self.var, self.renewed, self.calm, self.state, self.settled];
        let level = |x: f64| x.abs() <= MAX_VALUE * MAX_Z;
        amounts.iter().all(|x| x.is_finite() && *x >= 0.0)
            && level(self.mean)
            && level(self.var.sqrt())
            && self.recent.len() <= LAGS
            && self.recent.iter().all(|x| level(*x))
            && self.season <= Season::Week as u32
            && self.profile.is_sound()
            && self.range.is_sound()
            && self.shapes.is_sound()
            && self.usual_distance.is_sound()
            && self.usual_novelty.is_sound()
            && [&self.distance_habit, &self.range_habit, &self.shape_habit].iter().all(|h| h.is_sound())
            && self.rest.is_sound()
    }

    /// Adds what another instance learnt of the same series: moments exactly, profiles and signals by their counts, after
    /// both were brought into the common frame; shapes while there is room. An open anomaly is not taken over.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut theirs = other.clone();
        if theirs.seen <= 0.0 {
            return;
        }
        if self.seen <= 0.0 {
            (theirs.open, theirs.calm, theirs.state) = (false, 0.0, 0.0);
            *self = theirs;
            self.reserve();
            return;
        }
        let mine = self;
        let share = theirs.seen / (mine.seen + theirs.seen);
        let apart = theirs.mean - mine.mean;
        let common = Moments {
            mean: mine.mean + share * apart,
            var: mine.var + share * (theirs.var - mine.var) + share * (1.0 - share) * apart * apart,
        };
        for side in [&mut *mine, &mut theirs] {
            let own = Moments { mean: side.mean, var: side.var };
            let scale = (deviation(&own) / deviation(&common)).min(MAX_SCALE);
            let shift = ((own.mean - common.mean) / deviation(&common)).clamp(-MAX_Z, MAX_Z);
            side.profile.reframe(scale, shift);
            side.shapes.reframe(scale, shift);
        }
        (mine.mean, mine.var) = (common.mean, common.var);
        mine.profile.merge(&theirs.profile, mine.seen, theirs.seen);
        mine.range.merge(&theirs.range);
        mine.shapes.merge(&theirs.shapes);
        mine.usual_distance.merge(&theirs.usual_distance);
        mine.usual_novelty.merge(&theirs.usual_novelty);
        mine.distance_habit.merge(&theirs.distance_habit);
        mine.range_habit.merge(&theirs.range_habit);
        mine.shape_habit.merge(&theirs.shape_habit);
        mine.seen += theirs.seen;
        mine.settled += theirs.settled;
        mine.age += theirs.age;
    }
}

/// The deviation that z-scores are counted in.
pub(super) fn deviation(moments: &Moments) -> f64 {
    moments.deviation().max(RELATIVE_FLOOR * moments.mean.abs()).max(FLOOR_DEVIATION)
}
