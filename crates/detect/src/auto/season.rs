//! What a series is expected to be at this time of the day and of the week.
//!
//! Values come as z-scores of the series. Four expectations: the long mean, the level of the last hour, the mean of this
//! hour of the day, and that of this hour of the week. The level of the last hour is used until two days have been seen,
//! and after that the hour of the day, while its recent errors are no larger than those of the long mean; the hour of
//! the week after two weeks, where it beats both clearly. Each profile is shrunk to what it refines.
//!
//! Hours are those of UTC: what matters is that they repeat. A finer profile (5 minutes) is three times noisier in the
//! first week; a period that is neither a day nor a week is not found.
//!
//! Cost: 240 means, 24 variances; no loop.

use crate::normalise::Moments;

/// Hours of the day.
pub(super) const DAY: usize = 24;
/// Hours of the week.
pub(super) const WEEK: usize = 168;
/// Seconds of an hour, a day.
pub(super) const HOUR: f64 = 3_600.0;
pub(super) const DAY_SECONDS: f64 = 86_400.0;
/// A profile forgets a fifth of an hour's mean at each return to it.
const FORGET: f64 = 0.2;
/// Gain of a profile that is old, at most: an hour with few samples is not replaced by one of them.
const MAX_GAIN: f64 = 0.05;
/// The level of the last hour covers at least this many samples.
const MIN_LOCAL: f64 = 12.0;
/// An hour's mean weighs as much as the long mean after this many samples.
const SHRINK: f64 = 1.0;
/// An hour of the week weighs as much as the hour of the day after this many weeks.
const SHRINK_WEEKS: f64 = 2.0;
/// The hour of the week is used when its squared error is below this share of that of the others.
const WEEK_MARGIN: f64 = 0.9;
/// Errors of the expectations are compared over this many seconds, and samples.
pub(super) const COMPARE: f64 = 3.0 * DAY_SECONDS;
const MIN_COMPARE: f64 = 50.0;
/// One error counts at most as five deviations, in the comparison and in the variances.
pub(super) const CLIP: f64 = 25.0;
/// Variance that is always added, in squared deviations of the series.
pub const FLOOR: f64 = 0.01;

/// Which expectation is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// None yet: the level of the last hour.
    Local,
    /// Hour of the day.
    Day,
    /// Hour of the week.
    Week,
}

/// An instant, and how close samples are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Seconds since the epoch.
    pub seconds: f64,
    /// Usual seconds between samples.
    pub period: f64,
}

/// Mean and variance, and which expectation they come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// In deviations of the series from its long mean.
    pub mean: f64,
    /// Squared deviations.
    pub var: f64,
    /// Where from.
    pub season: Season,
}

/// Profiles and how well they did; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Profile {
    /// Long mean and variance.
    #[prost(double, tag = "1")]
    mean: f64,
    #[prost(double, tag = "2")]
    var: f64,
    /// The level of the last hour, its variance and how many samples it covers.
    #[prost(double, tag = "3")]
    local_mean: f64,
    #[prost(double, tag = "4")]
    local_var: f64,
    #[prost(double, tag = "5")]
    local_count: f64,
    #[prost(double, repeated, tag = "6")]
    day_mean: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    day_var: Vec<f64>,
    #[prost(double, repeated, tag = "8")]
    day_count: Vec<f64>,
    #[prost(double, repeated, tag = "9")]
    week_mean: Vec<f64>,
    #[prost(double, repeated, tag = "10")]
    week_count: Vec<f64>,
    /// Mean squared errors of long mean, hour of the day, hour of the week.
    #[prost(double, tag = "11")]
    error_mean: f64,
    #[prost(double, tag = "12")]
    error_day: f64,
    #[prost(double, tag = "13")]
    error_week: f64,
}

impl Profile {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self {
            day_mean: vec![0.0; DAY],
            day_var: vec![0.0; DAY],
            day_count: vec![0.0; DAY],
            week_mean: vec![0.0; WEEK],
            week_count: vec![0.0; WEEK],
            error_mean: 1.0,
            error_day: 1.0,
            error_week: 1.0,
            ..Self::default()
        }
    }

    /// What is expected of a series of which `age` seconds have been seen.
    pub fn expect(&self, at: At, age: f64) -> Expected {
        let At { seconds, period } = at;
        let day = self.day(seconds);
        if age >= 14.0 * DAY_SECONDS
            && self.error_week < WEEK_MARGIN * self.error_day
            && self.error_week < WEEK_MARGIN * self.error_mean
        {
            return Expected { mean: self.week(seconds, day.0, period), var: day.1, season: Season::Week };
        }
        let known = self.day_count.get(hour(seconds, DAY)).is_some_and(|&count| count > 0.0);
        if age >= 2.0 * DAY_SECONDS && known && self.error_day <= self.error_mean {
            return Expected { mean: day.0, var: day.1, season: Season::Day };
        }
        let (mean, var) = self.shrunk(self.local_mean, self.local_var, self.local_count);
        Expected { mean, var, season: Season::Local }
    }

    /// Learns the z-score of a value; `gain` is that of the long mean, `seen` how many samples went before.
    pub fn learn(&mut self, z: f64, at: At, seen: f64, gain: f64, used: &Expected, weight: f64) {
        let At { seconds, period } = at;
        let day = self.day(seconds);
        let week = self.week(seconds, day.0, period);
        let compare = (1.0 / seen.max(1.0)).max((period / COMPARE).min(1.0 / MIN_COMPARE)).min(1.0) * weight;
        let square = |expected: f64| (z - expected).powi(2).min(CLIP);
        self.error_mean += compare * (square(self.mean) - self.error_mean);
        self.error_day += compare * (square(day.0) - self.error_day);
        self.error_week += compare * (square(week) - self.error_week);

        let bounded = |mean: f64| (z - mean).powi(2).min(CLIP * (used.var + FLOOR));
        self.local_count = (self.local_count + weight).min((HOUR / period).max(MIN_LOCAL));
        let square = bounded(self.local_mean);
        self.local_mean += (weight / self.local_count.max(1.0)) * (z - self.local_mean);
        self.local_var += weight / (self.local_count + 1.0) * (square - self.local_var);

        let mut long = Moments { mean: self.mean, var: self.var };
        long.learn(z, gain * weight);
        (self.mean, self.var) = (long.mean, long.var);

        let forget = forget(period);
        let at = hour(seconds, DAY);
        if let (Some(mean), Some(var), Some(count)) =
            (self.day_mean.get_mut(at), self.day_var.get_mut(at), self.day_count.get_mut(at))
        {
            *count += weight;
            let square = bounded(*mean);
            *mean += weight * forget.max(1.0 / count.max(1.0)) * (z - *mean);
            *var += weight * (0.5 * forget).max(1.0 / (*count + 1.0)) * (square - *var);
        }
        let at = hour(seconds, WEEK);
        if let (Some(mean), Some(count)) = (self.week_mean.get_mut(at), self.week_count.get_mut(at)) {
            *count += weight;
            *mean += weight * forget.max(1.0 / count.max(1.0)) * (z - *mean);
        }
    }

    /// Writes everything in another frame: z becomes `scale`·z + `shift`.
    pub fn reframe(&mut self, scale: f64, shift: f64) {
        let means = [&mut self.mean, &mut self.local_mean];
        for mean in means.into_iter().chain(&mut self.day_mean).chain(&mut self.week_mean) {
            *mean = scale * *mean + shift;
        }
        let vars = [&mut self.var, &mut self.local_var];
        for var in vars.into_iter().chain(&mut self.day_var) {
            *var *= scale * scale;
        }
    }

    /// Adds a profile in the same frame; the long moments are weighted by `mine` and `theirs`.
    pub fn merge(&mut self, other: &Self, mine: f64, theirs: f64) {
        let share = theirs / (mine + theirs).max(1.0);
        let apart = other.mean - self.mean;
        self.var += share * (other.var - self.var) + share * (1.0 - share) * apart * apart;
        self.mean += share * apart;
        for (mine, theirs) in [
            (&mut self.error_mean, other.error_mean),
            (&mut self.error_day, other.error_day),
            (&mut self.error_week, other.error_week),
        ] {
            *mine += share * (theirs - *mine);
        }
        let part = |mine: f64, theirs: f64| if mine + theirs > 0.0 { theirs / (mine + theirs) } else { 0.0 };
        for i in 0..DAY.min(self.day_count.len()).min(other.day_count.len()) {
            let share = part(self.day_count[i], other.day_count[i]);
            let apart = other.day_mean[i] - self.day_mean[i];
            self.day_var[i] +=
                share * (other.day_var[i] - self.day_var[i]) + share * (1.0 - share) * apart * apart;
            self.day_mean[i] += share * apart;
            self.day_count[i] += other.day_count[i];
        }
        for i in 0..WEEK.min(self.week_count.len()).min(other.week_count.len()) {
            let share = part(self.week_count[i], other.week_count[i]);
            self.week_mean[i] += share * (other.week_mean[i] - self.week_mean[i]);
            self.week_count[i] += other.week_count[i];
        }
    }

    /// Whether every number in it can be.
    pub fn is_sound(&self) -> bool {
        let lengths = [&self.day_mean, &self.day_var, &self.day_count].iter().all(|v| v.len() == DAY)
            && [&self.week_mean, &self.week_count].iter().all(|v| v.len() == WEEK);
        let level = |x: &f64| x.is_finite() && x.abs() <= 1e6;
        let amount = |x: &f64| x.is_finite() && (0.0..=1e15).contains(x);
        lengths
            && [self.mean, self.local_mean].iter().chain(&self.day_mean).chain(&self.week_mean).all(level)
            && [self.var, self.local_var, self.local_count, self.error_mean, self.error_day, self.error_week]
                .iter()
                .chain(&self.day_var)
                .chain(&self.day_count)
                .chain(&self.week_count)
                .all(amount)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let vectors = [&self.day_mean, &self.day_var, &self.day_count, &self.week_mean, &self.week_count];
        vectors.iter().map(|v| v.capacity() * size_of::<f64>()).sum()
    }

    /// Mean and variance of this hour of the day.
    fn day(&self, seconds: f64) -> (f64, f64) {
        let at = hour(seconds, DAY);
        match (self.day_mean.get(at), self.day_var.get(at), self.day_count.get(at)) {
            (Some(&mean), Some(&var), Some(&count)) => self.shrunk(mean, var, count),
            _ => (self.mean, self.var),
        }
    }

    /// Mean of this hour of the week, shrunk to that of the day.
    fn week(&self, seconds: f64, day: f64, period: f64) -> f64 {
        let at = hour(seconds, WEEK);
        match (self.week_mean.get(at), self.week_count.get(at)) {
            (Some(&mean), Some(&count)) => {
                let weeks = count * (period / HOUR).min(1.0);
                day + weeks / (weeks + SHRINK_WEEKS) * (mean - day)
            }
            _ => day,
        }
    }

    fn shrunk(&self, mean: f64, var: f64, count: f64) -> (f64, f64) {
        let share = SHRINK / (count + SHRINK);
        (mean + share * (self.mean - mean), var + share * (self.var - var))
    }
}

/// Gain of an old profile at a sample that stands for `period` seconds.
pub(super) fn forget(period: f64) -> f64 {
    (1.0 - (1.0 - FORGET).powf(period / HOUR)).min(MAX_GAIN)
}

/// Which hour of a cycle of `hours` it is.
pub(super) fn hour(seconds: f64, hours: usize) -> usize {
    ((seconds / HOUR).rem_euclid(hours as f64) as usize).min(hours - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> At {
        At { seconds, period: 300.0 }
    }

    /// A profile that has seen `days` of a series, a sample every five minutes.
    fn seen(days: f64, of: impl Fn(f64) -> f64) -> Profile {
        let mut profile = Profile::new();
        for i in 0..(days * 288.0) as usize {
            let t = i as f64 * 300.0;
            let at = at(t);
            let used = profile.expect(at, t);
            let gain = (1.0 / (i as f64 + 1.0)).max(1.0 / 4_000.0);
            profile.learn(of(t), at, i as f64 + 1.0, gain, &used, 1.0);
        }
        profile
    }

    fn daily(t: f64) -> f64 {
        (t / 86_400.0 * std::f64::consts::TAU).sin()
    }

    #[test]
    fn the_hour_of_the_day_is_used_after_two_days_and_not_before() {
        let profile = seen(1.9, daily);
        assert_eq!(profile.expect(at(1.9 * 86_400.0), 1.9 * 86_400.0).season, Season::Local);
        let profile = seen(3.0, daily);
        let expected = profile.expect(at(3.25 * 86_400.0), 3.0 * 86_400.0);
        assert_eq!(expected.season, Season::Day);
        assert!((expected.mean - 1.0).abs() < 0.1, "{expected:?}");
    }

    #[test]
    fn a_series_that_rests_at_the_weekend_is_expected_to_after_two_weeks() {
        let weekly = |t: f64| if (t / 86_400.0).rem_euclid(7.0) < 2.0 { -1.0 } else { 1.0 };
        let profile = seen(28.0, weekly);
        let age = 28.0 * 86_400.0;
        let (rest, work) =
            (profile.expect(at(28.5 * 86_400.0), age), profile.expect(at(31.5 * 86_400.0), age));
        assert_eq!(rest.season, Season::Week);
        assert!(work.mean - rest.mean > 0.8, "{rest:?} {work:?}");
    }

    #[test]
    fn another_frame_gives_the_same_expectation_in_it() {
        let (mut profile, t) = (seen(4.0, daily), 4.3 * 86_400.0);
        let before = profile.expect(at(t), t);
        profile.reframe(2.0, 3.0);
        let after = profile.expect(at(t), t);
        assert!((after.mean - (2.0 * before.mean + 3.0)).abs() < 1e-12);
        assert!((after.var - 4.0 * before.var).abs() < 1e-12);
    }

    #[test]
    fn merging_with_one_that_knows_nothing_changes_nothing() {
        let mut profile = seen(3.0, daily);
        let before = profile.clone();
        profile.merge(&Profile::new(), 864.0, 0.0);
        assert_eq!(profile, before);
        assert!(profile.is_sound());
    }
}
