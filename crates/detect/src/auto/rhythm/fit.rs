//! The profile of one metric: where an instant lies in it, and whether it is of use.

use crate::auto::season::{CLIP, DAY, DAY_SECONDS, HOUR, WEEK};
use crate::bands::MAX_VALUE;

/// The day is used when it leaves less than this share of the error of the long mean, until it leaves more than that.
const ON: f64 = 0.4;
const OFF: f64 = 0.6;
/// The same of the week, as a share of what the day leaves.
const WEEK_ON: f64 = 0.6;
const WEEK_OFF: f64 = 0.8;
/// Values farther than this from the first one are not learnt: they don't fit the cells.
pub(super) const FARTHEST: f64 = 1e30;
/// Every hour of the day is known.
pub(super) const ALL: u32 = (1 << DAY) - 1;

/// One metric: where its profile stands and how well it does; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::auto) struct Fit {
    /// Seconds learnt.
    #[prost(double, tag = "1")]
    pub(super) age: f64,
    /// What cells count from, so that they can be small numbers: the first value.
    #[prost(double, tag = "2")]
    pub(super) reference: f64,
    /// A bit for each hour of the day that was seen.
    #[prost(uint32, tag = "3")]
    pub(super) known: u32,
    /// Sum of the cells of the day.
    #[prost(double, tag = "4")]
    pub(super) sum: f64,
    /// Long mean without the profile.
    #[prost(double, tag = "5")]
    pub(super) level: f64,
    /// Mean squared errors: of the long mean, with the day, with day and week.
    #[prost(double, tag = "6")]
    pub(super) plain: f64,
    #[prost(double, tag = "7")]
    pub(super) daily: f64,
    #[prost(double, tag = "8")]
    pub(super) weekly: f64,
    /// Whether they are of use.
    #[prost(bool, tag = "9")]
    pub(super) day_used: bool,
    #[prost(bool, tag = "10")]
    pub(super) week_used: bool,
    /// How far they have come into use, from 0 to 1.
    #[prost(double, tag = "11")]
    pub(super) day_share: f64,
    #[prost(double, tag = "12")]
    pub(super) week_share: f64,
}

/// Where an instant lies between the middles of two hours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) share: f64,
}

impl Between {
    fn of(seconds: f64, hours: usize) -> Self {
        let place = (seconds / HOUR - 0.5).rem_euclid(hours as f64);
        let first = (place as usize).min(hours - 1);
        Self { first, second: (first + 1) % hours, share: (place - first as f64).clamp(0.0, 1.0) }
    }
}

/// An instant in the day and in the week.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::auto) struct Moment {
    pub(super) day: Between,
    pub(super) week: Between,
}

impl Moment {
    /// Of so many seconds since the epoch.
    pub(in crate::auto) fn of(seconds: f64) -> Self {
        Self { day: Between::of(seconds, DAY), week: Between::of(seconds, WEEK) }
    }
}

impl Fit {
    /// The day's part at a moment, from the cells of the metric.
    pub(super) fn of_day(&self, cells: &[f32], at: &Between) -> f64 {
        let middle = self.sum / f64::from(self.known.count_ones().max(1));
        let cell = |hour: usize| match cells.get(hour) {
            Some(&cell) if self.known >> hour & 1 == 1 => f64::from(cell) - middle,
            _ => 0.0,
        };
        let first = cell(at.first);
        first + at.share * (cell(at.second) - first)
    }

    /// Takes an error into the comparison.
    pub(super) fn compare(&mut self, away: [f64; 3], gain: f64) {
        let most = self.farthest().powi(2);
        let [plain, daily, weekly] = away.map(|e| (e * e).min(most));
        self.plain += gain * (plain - self.plain);
        self.daily += gain * (daily - self.daily);
        self.weekly += gain * (weekly - self.weekly);
        let days = if self.known == ALL { self.age / DAY_SECONDS } else { 0.0 };
        let limit = |used: bool, on: f64, off: f64| if used { off } else { on };
        self.day_used = days >= 2.0 && self.daily < limit(self.day_used, ON, OFF) * self.plain;
        let best = self.daily.min(self.plain);
        self.week_used = days >= 14.0 && self.weekly < limit(self.week_used, WEEK_ON, WEEK_OFF) * best;
    }

    /// How far from the level a value counts: one says no more than five deviations do, once these are known.
    pub(super) fn farthest(&self) -> f64 {
        if self.age >= 2.0 * DAY_SECONDS && self.plain > 0.0 { (CLIP * self.plain).sqrt() } else { FARTHEST }
    }

    pub(super) fn is_sound(&self) -> bool {
        let levels = [self.sum, self.level];
        let amounts = [self.age, self.plain, self.daily, self.weekly];
        self.reference.abs() <= MAX_VALUE
            && levels.iter().all(|x| x.abs() <= 100.0 * FARTHEST)
            && amounts.iter().all(|x| (0.0..=1e200).contains(x))
            && [self.day_share, self.week_share].iter().all(|x| (0.0..=1.0).contains(x))
            && self.known <= ALL
    }
}

/// The hours of the week that a metric has; none where there are none.
pub(super) fn of_week(cells: &[f32], at: &Between) -> f64 {
    let cell = |hour: usize| cells.get(hour).map_or(0.0, |&cell| f64::from(cell));
    let first = cell(at.first);
    first + at.share * (cell(at.second) - first)
}
