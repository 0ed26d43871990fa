//! When a target is asked: at stable times, spread over the interval. Pure: time is an argument.

use std::time::Duration;

use larnax_core::Timestamp;

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// The ticks of one target: `offset + k · interval` on the wall clock.
///
/// The offset is a hash of the target's name, as in Prometheus, so that targets are spread over the interval, keep their
/// places over restarts, and never drift, however long a collection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: i64,
    offset: i64,
}

impl Schedule {
    /// The schedule of a target. An interval below a millisecond becomes one.
    pub fn new(name: &str, interval: Duration) -> Self {
        let interval = i64::try_from(interval.max(MIN_INTERVAL).as_nanos()).unwrap_or(i64::MAX);
        Self { interval, offset: (hash(name) % interval.unsigned_abs()) as i64 }
    }

    /// The next tick after `now` and after the `last` one, if any. Ticks that have been missed are skipped.
    ///
    /// A timer that fires a little early doesn't give the same tick twice. A last tick that is more than an interval in
    /// the future doesn't count: the clock was set back.
    pub fn next(&self, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let (now, interval) = (now.nanos(), self.interval);
        let last = last.map(Timestamp::nanos).filter(|&last| last.saturating_sub(now) <= interval);
        let after = last.map_or(now, |last| last.max(now));
        let since_tick = after.saturating_sub(self.offset).rem_euclid(interval);
        Timestamp::from_nanos(after.saturating_add(interval - since_tick))
    }
}

/// FNV-1a, 64 bits, with the offset basis and prime of its authors (Fowler, Noll, Vo), then the finalizer of splitmix64
/// (Steele et al. 2014), because names that differ in their last letter alone must not lie side by side. The standard
/// library's hash is not promised to stay the same.
fn hash(text: &str) -> u64 {
    let mut hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIVE: Duration = Duration::from_secs(5);

    #[test]
    fn ticks_never_drift_however_long_a_collection_takes() {
        let schedule = Schedule::new("a", FIVE);
        let first = schedule.next(None, Timestamp::from_seconds(1e9));
        let mut tick = first;
        for k in 1..100 {
            tick = schedule.next(Some(tick), tick.plus(Duration::from_millis(37 * k % 5000)));
            assert_eq!(tick, first.plus(FIVE * k as u32));
        }
    }

    #[test]
    fn missed_ticks_are_skipped() {
        let schedule = Schedule::new("a", FIVE);
        let first = schedule.next(None, Timestamp::from_seconds(1e9));
        let late = first.plus(Duration::from_secs(17));
        assert_eq!(schedule.next(Some(first), late), first.plus(Duration::from_secs(20)));
    }

    #[test]
    fn a_timer_that_fires_early_does_not_give_a_tick_twice() {
        let schedule = Schedule::new("a", FIVE);
        let first = schedule.next(None, Timestamp::from_seconds(1e9));
        let early = first.minus(Duration::from_millis(2));
        assert_eq!(schedule.next(Some(first), early), first.plus(FIVE));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_ticks() {
        let schedule = Schedule::new("a", FIVE);
        let first = schedule.next(None, Timestamp::from_seconds(1e9));
        let back = first.minus(Duration::from_secs(3600));
        assert!(schedule.next(Some(first), back).since(back) <= 5.0);
    }

    #[test]
    fn targets_are_spread_over_the_interval_and_keep_their_places() {
        let offset = |name: &str| Schedule::new(name, FIVE).offset;
        assert_eq!(offset("http://10.0.0.1:9100/metrics"), offset("http://10.0.0.1:9100/metrics"));
        let mut counts = [0; 5];
        for i in 0..500 {
            counts[(offset(&format!("http://10.0.0.{i}:9100/metrics")) / 1_000_000_000) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn the_next_tick_is_after_now_and_within_one_interval(
            name in ".{0,20}", millis in 0u64..100_000, now in -1e18..1e18f64, last in proptest::option::of(-1e18..1e18f64),
        ) {
            let schedule = Schedule::new(&name, Duration::from_millis(millis));
            let now = Timestamp::from_nanos(now as i64);
            let last = last.map(|last| Timestamp::from_nanos(last as i64));
            let next = schedule.next(last, now);
            prop_assert!(next > now);
            prop_assert!(next.nanos() - now.nanos() <= 2 * schedule.interval);
            prop_assert_eq!((next.nanos() - schedule.offset).rem_euclid(schedule.interval), 0);
        }

        #[test]
        fn no_time_is_too_far_away(now in any::<i64>(), last in any::<i64>(), seconds in any::<u64>()) {
            let schedule = Schedule::new("a", Duration::from_secs(seconds));
            schedule.next(Some(Timestamp::from_nanos(last)), Timestamp::from_nanos(now));
        }
    }
}
