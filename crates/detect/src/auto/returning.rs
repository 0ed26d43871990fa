//! What comes back at the same hour of each day: a nightly job is an anomaly the first two times, and then it is the night.
//!
//! How large a deviation was is noted for each hour of the day, in limits, where it was beyond its limit: the largest of the
//! hour, flagged or not. What came on two days one after the other is *usual* at that hour, the smaller of the two; it fades by
//! a tenth each day that it does not come. A deviation of that hour is then measured by [`RECORD_MARGIN`] times what is usual,
//! if that is more than its limit. So nothing changes where nothing leaves its limit twice, and one fault allows for nothing.
//!
//! Jobs begin some minutes earlier or later: the neighbouring hour counts, too, whichever is nearer.
//!
//! Only bands are told. Rejected: what all metrics do together at this hour, in its limit or metric by metric; of faults that come
//! back a day later too many are missed.
//!
//! **When it fails.** A fault that lasts for days is known at its hours on the third. What comes every other day, or once a
//! week, is new each time.
//!
//! **Cost.** 200 bytes for each thing that is measured, and a comparison a row.

use larnax_core::Timestamp;

use super::season::{DAY, HOUR, hour};
use crate::bands::{MAX_DEVIATION, RECORD_MARGIN};

/// What is left, after a day on which it did not come, of what is usual.
const FADE: f32 = 0.9;

/// Of several things that are measured in limits; also the form in which it is saved.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Returning {
    /// The hour being noted, counted from the epoch.
    #[prost(int64, optional, tag = "1")]
    hour: Option<i64>,
    /// The largest in it, one for each thing; 0 where it stayed within its limit.
    #[prost(float, repeated, tag = "2")]
    largest: Vec<f32>,
    /// For each thing, the same of each hour of the day when it was last there,
    #[prost(float, repeated, tag = "3")]
    last: Vec<f32>,
    /// and what is usual then.
    #[prost(float, repeated, tag = "4")]
    usual: Vec<f32>,
}

impl Returning {
    /// One that knows nothing of `things`.
    pub(super) fn new(things: usize) -> Self {
        Self {
            hour: None,
            largest: vec![0.0; things],
            last: vec![0.0; things * DAY],
            usual: vec![0.0; things * DAY],
        }
    }

    /// How many limits are allowed now for each thing; 1 where nothing returns. Hot: no allocation.
    pub(super) fn allow(&self, seconds: f64, allowances: &mut [f64]) {
        let now = hour(seconds, DAY);
        let late = (seconds / HOUR).rem_euclid(1.0) >= 0.5;
        let near = (now + if late { 1 } else { DAY - 1 }) % DAY;
        for (allowance, hours) in allowances.iter_mut().zip(self.usual.chunks_exact(DAY)) {
            let usual = |hour: usize| hours.get(hour).map_or(0.0, |&usual| f64::from(usual));
            *allowance = (RECORD_MARGIN * usual(now).max(usual(near))).max(1.0);
        }
    }

    /// A row has come. Hot: no allocation.
    pub(super) fn pass(&mut self, time: Timestamp) {
        let now = (time.seconds() / HOUR).floor() as i64;
        if self.hour == Some(now) {
            return;
        }
        if let Some(over) = self.hour.replace(now) {
            let at = over.rem_euclid(DAY as i64) as usize;
            let hours = self.last.chunks_exact_mut(DAY).zip(self.usual.chunks_exact_mut(DAY));
            for (largest, (last, usual)) in self.largest.iter_mut().zip(hours) {
                if let (Some(last), Some(usual)) = (last.get_mut(at), usual.get_mut(at)) {
                    let kept = if *largest < *usual { FADE } else { 1.0 };
                    *usual = largest.min(*last).max(kept * *usual);
                    *last = *largest;
                }
                *largest = 0.0;
            }
        }
    }

    /// Notes how large something was, in limits, without allowance.
    pub(super) fn note(&mut self, thing: usize, size: f64) {
        if let Some(largest) = self.largest.get_mut(thing).filter(|_| size.abs() > 1.0) {
            *largest = largest.max(size.abs().min(MAX_DEVIATION) as f32);
        }
    }

    /// Of other things: `from[i]` is where thing i stood.
    pub(super) fn rearranged(&self, from: &[Option<usize>]) -> Self {
        let mut new = Self { hour: self.hour, ..Self::new(from.len()) };
        for (i, at) in from.iter().enumerate() {
            let Some(at) = *at else { continue };
            if let (Some(mine), Some(theirs)) = (new.largest.get_mut(i), self.largest.get(at)) {
                *mine = *theirs;
            }
            for (mine, theirs) in [(&mut new.last, &self.last), (&mut new.usual, &self.usual)] {
                let theirs = theirs.get(at * DAY..(at + 1) * DAY);
                if let (Some(mine), Some(theirs)) = (mine.get_mut(i * DAY..(i + 1) * DAY), theirs) {
                    mine.copy_from_slice(theirs);
                }
            }
        }
        new
    }

    /// Adds what another instance noted of the same things.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.last, &other.last), (&mut self.usual, &other.usual)] {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.max(*theirs);
            }
        }
    }

    /// Whether it is about so many things, and every number in it can be.
    pub(super) fn is_sound(&self, things: usize) -> bool {
        let all = self.largest.iter().chain(&self.last).chain(&self.usual);
        self.largest.len() == things
            && self.last.len() == things * DAY
            && self.usual.len() == things * DAY
            && all.into_iter().all(|x| (0.0..=MAX_DEVIATION as f32).contains(x))
    }

    /// Bytes held besides itself.
    pub(super) fn bytes(&self) -> usize {
        (self.largest.capacity() + self.last.capacity() + self.usual.capacity()) * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes at 02:10 of each day; what is allowed at 02:20 after that.
    fn nights(sizes: &[f64]) -> Returning {
        let mut returning = Returning::new(2);
        for hour in 0..24 * sizes.len() {
            returning.pass(Timestamp::from_seconds((hour as f64 + 0.2) * HOUR));
            returning.note(1, if hour % 24 == 2 { sizes[hour / 24] } else { 0.5 });
        }
        returning.pass(Timestamp::from_seconds(24.0 * sizes.len() as f64 * HOUR));
        returning
    }

    /// What the returning thing is allowed at an hour.
    fn at(returning: &Returning, hour: f64) -> [f64; 2] {
        let mut allowances = [0.0; 2];
        returning.allow(hour * HOUR, &mut allowances);
        allowances
    }

    fn allowed(sizes: &[f64]) -> f64 {
        at(&nights(sizes), 2.3)[1]
    }

    #[test]
    fn what_came_twice_is_allowed_at_its_hour_and_what_came_once_is_not() {
        assert_eq!(allowed(&[4.0]), 1.0);
        assert_eq!(allowed(&[4.0, 6.0]), RECORD_MARGIN * 4.0);
        assert_eq!(at(&nights(&[4.0, 6.0]), 4.0), [1.0; 2]);
        assert_eq!(at(&nights(&[4.0, 6.0]), 2.3)[0], 1.0);
    }

    #[test]
    fn the_nearer_neighbour_of_its_hour_counts_too() {
        let returning = nights(&[4.0, 4.0]);
        assert!(at(&returning, 1.8)[1] > 1.0 && at(&returning, 3.2)[1] > 1.0);
        assert_eq!(at(&returning, 1.3)[1], 1.0);
    }

    #[test]
    fn a_weekend_without_it_is_forgiven_and_three_weeks_are_not() {
        let working = allowed(&[4.0, 4.0, 0.0, 0.0]);
        assert!(working > 4.0);
        assert_eq!(allowed(&[4.0, 4.0, 0.0, 0.0, 4.0]), working);
        assert_eq!(allowed(&[&[4.0, 4.0][..], &[0.0; 21]].concat()), 1.0);
    }

    #[test]
    fn after_a_change_of_metrics_each_has_what_it_had() {
        let moved = nights(&[4.0, 4.0]).rearranged(&[Some(1), None, Some(0)]);
        assert!(at(&moved, 2.3)[0] > 4.0 && at(&moved, 2.3)[1] == 1.0 && moved.is_sound(3));
    }
}
