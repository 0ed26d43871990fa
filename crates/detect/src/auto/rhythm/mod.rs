//! What the hour of the day, and of the week, does to each of many metrics: what bands subtract before they judge.
//!
//! **The profile** of a metric is a mean for each hour of the day, and for each hour of the week how far that is from the
//! day's. Between the middles of two hours it is interpolated: no step arises at the full hour. What is subtracted is the
//! profile less its own mean, so that the metric stays where it is, and a level that moves takes the profile along.
//!
//! **Off until it is of use.** From the second day on the squared error of the long mean is compared with that of the same
//! mean and the profile. After two days (two weeks for the week) the profile is used where it leaves less than 40 % of the
//! error, until it leaves more than 60 %; it comes and goes over [`BLEND`], so that no band sees a step. A random walk, whose
//! hours of yesterday say nothing about today, never gets there, and neither does a job of half an hour, whose edges an hourly
//! profile would only smear: that is for [`super::returning`].
//!
//! **When it fails.** The first weekend of a service that rests then is unlike its days. A period that is neither a day nor
//! a week is not found; where clocks change, a day or two are an hour off.
//!
//! **Bounded.** Above [`MOST_DAYS`] metrics nothing is kept, above [`MOST_WEEKS`] no weeks: 200 bytes a metric for the day
//! and 670 for the week. Learnt at most every [`OFTEN`] seconds: an hour's mean needs no more.

mod fit;
#[cfg(test)]
mod tests;

use larnax_core::Row;

pub(super) use self::fit::Moment;
use self::fit::{ALL, FARTHEST, Fit, of_week};
use super::few;
use super::season::{COMPARE, DAY, DAY_SECONDS, HOUR, WEEK, forget, hour};
use crate::row_context::is_value;

/// The most metrics of which days are kept, and weeks.
const MOST_DAYS: usize = 256;
const MOST_WEEKS: usize = 32;
/// Seconds between two values that are learnt, at least.
const OFTEN: f64 = 10.0;
/// Seconds over which a profile comes into use: as long as bands remember.
const BLEND: f64 = 21_600.0;
/// What an hour of the week differs from that of the day moves so much at each return to it: two weeks make it two thirds
/// of what they saw.
const FORGET_WEEK: f64 = 0.4;
/// A level is elsewhere from so many deviations on.
const ELSEWHERE: f64 = 3.0;

/// All metrics; also the form in which it is saved. Of too few or too many metrics it is empty.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rhythm {
    #[prost(message, repeated, tag = "1")]
    fits: Vec<Fit>,
    /// For each metric, the mean of each hour of the day.
    #[prost(float, repeated, tag = "2")]
    day: Vec<f32>,
    /// For each metric, how far each hour of the week is from that; empty where there is no room.
    #[prost(float, repeated, tag = "3")]
    week: Vec<f32>,
    /// Values learnt in each hour of the day.
    #[prost(double, repeated, tag = "4")]
    counts: Vec<f64>,
    /// When the last row was learnt, in seconds since the epoch.
    #[prost(double, optional, tag = "5")]
    last: Option<f64>,
}

/// Of how many of `width` metrics days are kept: all or none.
pub(super) fn kept(width: usize) -> usize {
    if width > few::MOST && width <= MOST_DAYS { width } else { 0 }
}

fn cells(of: &[f32], metric: usize, hours: usize) -> &[f32] {
    of.get(metric * hours..(metric + 1) * hours).unwrap_or_default()
}

impl Rhythm {
    /// One that knows nothing of `width` metrics.
    pub(super) fn new(width: usize) -> Self {
        if width != kept(width) || width == 0 {
            return Self::default();
        }
        let weeks = if width > MOST_WEEKS { 0 } else { width };
        Self {
            fits: vec![Fit::default(); width],
            day: vec![0.0; width * DAY],
            week: vec![0.0; weeks * WEEK],
            counts: vec![0.0; DAY],
            last: None,
        }
    }

    /// What is to be subtracted from a metric. Hot: no allocation.
    pub(super) fn offset(&self, metric: usize, at: &Moment) -> f64 {
        let Some(fit) = self.fits.get(metric) else { return 0.0 };
        let share = fit.day_share.max(fit.week_share);
        if share == 0.0 {
            return 0.0;
        }
        let week =
            if fit.week_share > 0.0 { of_week(cells(&self.week, metric, WEEK), &at.week) } else { 0.0 };
        share * fit.of_day(cells(&self.day, metric, DAY), &at.day) + fit.week_share * week
    }

    /// Learns a row with a weight between 0 and 1, `step` seconds after the row before, or at most a few periods.
    ///
    /// Hot: no allocation.
    pub(super) fn learn(&mut self, row: Row<'_>, weight: f64, step: f64) {
        let now = row.time.seconds();
        let since = self.last.map_or(f64::INFINITY, |last| (now - last).abs());
        if self.fits.is_empty() || weight <= 0.0 || since < OFTEN {
            return;
        }
        self.last = Some(now);
        let dt = since.min(OFTEN + step);
        let (at, moment) = ((hour(now, DAY), hour(now, WEEK)), Moment::of(now));
        let Some(count) = self.counts.get_mut(at.0) else { return };
        *count += weight;
        let gain = weight * forget(dt).max(1.0 / count.max(1.0));
        let week_gain = weight * (1.0 - (1.0 - FORGET_WEEK).powf(dt / HOUR));
        let slots = self.fits.iter_mut().zip(self.day.chunks_exact_mut(DAY)).zip(row.values);
        for (i, ((fit, day), &x)) in slots.enumerate() {
            if !is_value(x) {
                continue;
            }
            if fit.age == 0.0 {
                fit.reference = x;
            }
            let mut value = x - fit.reference;
            if value.abs() > FARTHEST {
                continue;
            }
            let of_day = fit.of_day(day, &moment.day);
            let week = self.week.get_mut(i * WEEK..(i + 1) * WEEK).unwrap_or_default();
            let week_part = of_week(week, &moment.week);
            let gain_of = |age: f64| weight * dt / (age + dt).min(COMPARE).max(dt);
            let away = value - fit.level;
            if fit.age >= DAY_SECONDS {
                let away = [away, away - of_day, away - of_day - week_part];
                fit.compare(away, gain_of(fit.age - DAY_SECONDS));
            }
            let most = fit.farthest();
            value = fit.level + away.clamp(-most, most);
            let whole = fit.known == ALL;
            let left = value - fit.level - if whole { of_day } else { 0.0 };
            fit.level += gain_of(fit.age) * left;
            fit.age += weight * dt;
            for (share, used) in [(&mut fit.day_share, fit.day_used), (&mut fit.week_share, fit.week_used)] {
                let step = dt / BLEND;
                *share = (*share + if used { step } else { -step }).clamp(0.0, 1.0);
            }
            if let Some(cell) = day.get_mut(at.0) {
                let before = f64::from(*cell);
                let fresh = fit.known >> at.0 & 1 == 0;
                *cell = if fresh { value } else { before + gain * (value - before) } as f32;
                fit.sum += f64::from(*cell) - if fresh { 0.0 } else { before };
                fit.known |= 1 << at.0;
            }
            if let Some(cell) = week.get_mut(at.1).filter(|_| whole) {
                *cell += (week_gain * (left - f64::from(*cell))) as f32;
            }
        }
    }

    /// A metric is where it is normal to be: if that is elsewhere, its level is there, and its profile goes along.
    pub(super) fn adopt(&mut self, metric: usize, x: f64, at: &Moment) {
        let day = cells(&self.day, metric, DAY);
        if let Some(fit) = self.fits.get_mut(metric).filter(|fit| fit.age > 0.0) {
            let level = x - fit.reference - fit.of_day(day, &at.day);
            let apart = (level - fit.level).abs();
            if level.abs() <= FARTHEST && apart > ELSEWHERE * fit.daily.sqrt() {
                fit.level = level;
            }
        }
    }

    /// Of other metrics: `from[i]` is where metric i stood.
    pub(super) fn rearranged(&self, from: &[Option<usize>]) -> Self {
        let mut new = Self::new(from.len());
        let Self { fits, day, week, counts, last } = &mut new;
        for (i, at) in from.iter().enumerate() {
            let Some(at) = *at else { continue };
            if let (Some(mine), Some(theirs)) = (fits.get_mut(i), self.fits.get(at)) {
                *mine = theirs.clone();
            }
            for (mine, theirs, hours) in [(&mut *day, &self.day, DAY), (&mut *week, &self.week, WEEK)] {
                let theirs = cells(theirs, at, hours);
                if let Some(mine) = mine.get_mut(i * hours..(i + 1) * hours).filter(|_| !theirs.is_empty()) {
                    mine.copy_from_slice(theirs);
                }
            }
        }
        if !counts.is_empty() && !self.counts.is_empty() {
            counts.clone_from(&self.counts);
            *last = self.last;
        }
        new
    }

    /// Adds what another instance of the same metrics in the same order learnt.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.fits.len() != other.fits.len() || self.week.len() != other.week.len() {
            return;
        }
        for (i, theirs) in other.fits.iter().enumerate() {
            let Some(mine) = self.fits.get_mut(i) else { return };
            if theirs.age <= 0.0 {
                continue;
            }
            let share = theirs.age / (mine.age + theirs.age);
            if mine.age <= 0.0 {
                mine.reference = theirs.reference;
            }
            let apart = (theirs.reference - mine.reference).clamp(-FARTHEST, FARTHEST);
            let day = self.day.iter_mut().zip(&other.day).skip(i * DAY).take(DAY);
            mine.sum = 0.0;
            for (hour, (cell, &their)) in day.enumerate() {
                let their = f64::from(their) + apart;
                match (mine.known >> hour & 1 == 1, theirs.known >> hour & 1 == 1) {
                    (true, true) => *cell += (share * (their - f64::from(*cell))) as f32,
                    (false, true) => *cell = their as f32,
                    _ => {}
                }
                mine.sum += f64::from(*cell);
            }
            let week = self.week.iter_mut().zip(&other.week).skip(i * WEEK).take(WEEK);
            for (cell, &their) in week {
                *cell += share as f32 * (their - *cell);
            }
            mine.known |= theirs.known;
            mine.level += share * (theirs.level + apart - mine.level);
            mine.plain += share * (theirs.plain - mine.plain);
            mine.daily += share * (theirs.daily - mine.daily);
            mine.weekly += share * (theirs.weekly - mine.weekly);
            mine.age += theirs.age;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.last = match (self.last, other.last) {
            (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Whether it is about so many metrics, and every number in it can be.
    pub(super) fn is_sound(&self, width: usize) -> bool {
        let new = Self::new(width);
        self.fits.len() == new.fits.len()
            && self.day.len() == new.day.len()
            && self.week.len() == new.week.len()
            && self.counts.len() == new.counts.len()
            && self.fits.iter().all(Fit::is_sound)
            && self.day.iter().chain(&self.week).all(|x| f64::from(x.abs()) <= 10.0 * FARTHEST)
            && self.counts.iter().all(|x| (0.0..=1e15).contains(x))
            && self.last.is_none_or(f64::is_finite)
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        self.fits.capacity() * size_of::<Fit>()
            + (self.day.capacity() + self.week.capacity()) * size_of::<f32>()
            + self.counts.capacity() * size_of::<f64>()
    }
}
