//! How often rows come, and what is too late.

use std::cmp::Ordering;

use larnax_core::Timestamp;

/// How many gaps between rows the period is learnt from.
const LEARN_FROM: usize = 20;

/// A distance above this many periods is a gap. Up to here a row is late or one is missing, which lags survive.
const GAP_PERIODS: f64 = 2.5;

/// A row that is not later than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disorder {
    /// At the same instant.
    Duplicate,
    /// Earlier.
    Backwards,
}

/// The order of rows in time and their nominal period: the median of the first 20 distances.
///
/// A source whose period really changes (20 distances in a row are gaps) gets a new one; otherwise each of its rows
/// would count as a gap for ever.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    last: Option<Timestamp>,
    /// Seconds; none until it is known.
    period: Option<f64>,
    distances: [f64; LEARN_FROM],
    collected: usize,
}

impl Period {
    /// With a period in seconds if it is known beforehand.
    pub(crate) fn new(period: Option<f64>) -> Self {
        Self { last: None, period, distances: [0.0; LEARN_FROM], collected: 0 }
    }

    /// Whether rows are missing between two that are this many seconds apart, when they can't come more often than each
    /// `at_least` seconds. Nothing is a gap before the period is known.
    pub(crate) fn is_gap(&self, seconds: f64, at_least: f64) -> bool {
        self.period.is_some_and(|period| seconds > GAP_PERIODS * period.max(at_least))
    }

    /// Takes the next row's time. A row that is not later than the last one leaves no trace.
    pub(crate) fn arrive(&mut self, time: Timestamp) -> Result<(), Disorder> {
        if let Some(last) = self.last {
            match time.cmp(&last) {
                Ordering::Less => return Err(Disorder::Backwards),
                Ordering::Equal => return Err(Disorder::Duplicate),
                Ordering::Greater => {}
            }
            let distance = time.since(last);
            if self.period.is_none() || self.is_gap(distance, 0.0) {
                self.collect(distance);
            } else {
                self.collected = 0;
            }
        }
        self.last = Some(time);
        Ok(())
    }

    fn collect(&mut self, distance: f64) {
        self.distances[self.collected] = distance;
        self.collected += 1;
        if self.collected == LEARN_FROM {
            self.distances.sort_unstable_by(f64::total_cmp);
            self.period = Some((self.distances[LEARN_FROM / 2 - 1] + self.distances[LEARN_FROM / 2]) / 2.0);
            self.collected = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_period_is_the_median_of_the_first_twenty_distances() {
        let mut period = Period::new(None);
        let mut now = 0.0;
        for i in 0..=20 {
            assert!(!period.is_gap(1000.0, 0.0));
            period.arrive(at(now)).unwrap();
            now += if i % 5 == 0 { 30.0 } else { 2.0 };
        }
        assert!(period.is_gap(5.1, 0.0) && !period.is_gap(5.0, 0.0));
    }

    #[test]
    fn more_than_two_and_a_half_of_the_longer_period_is_a_gap() {
        let period = Period::new(Some(1.0));
        assert!(period.is_gap(2.6, 0.0) && !period.is_gap(2.5, 0.0));
        assert!(period.is_gap(26.0, 10.0) && !period.is_gap(25.0, 10.0));
    }

    #[test]
    fn a_row_that_is_not_later_is_told_apart_and_leaves_no_trace() {
        let mut period = Period::new(Some(1.0));
        assert_eq!(period.arrive(at(10.0)), Ok(()));
        assert_eq!(period.arrive(at(10.0)), Err(Disorder::Duplicate));
        assert_eq!(period.arrive(at(5.0)), Err(Disorder::Backwards));
        assert_eq!(period.arrive(at(11.0)), Ok(()));
    }

    #[test]
    fn a_source_that_slows_down_for_good_gets_a_new_period() {
        let mut period = Period::new(Some(1.0));
        for i in 0..=20 {
            assert!(period.is_gap(10.0, 0.0));
            period.arrive(at(f64::from(i) * 10.0)).unwrap();
        }
        assert!(!period.is_gap(10.0, 0.0) && period.is_gap(26.0, 0.0));
    }
}
