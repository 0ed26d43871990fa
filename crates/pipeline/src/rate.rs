//! Running totals become rates per second.

use larnax_core::Timestamp;

/// A 32-bit counter starts again here.
const WRAP: f64 = 4_294_967_296.0; // 2^32
/// A fall from above this and by more than this is a 32-bit wrap rather than a restart.
const HALF_WRAP: f64 = 2_147_483_648.0; // 2^31

/// The rate since the last value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Per second. NaN when there is none: the first value, or a missing one.
    pub(crate) per_second: f64,
    /// The counter fell and started again, so the rate is a lower bound: fit to be scored, not to be learnt from.
    pub(crate) reset: bool,
}

impl Rate {
    const MISSING: Self = Self { per_second: f64::NAN, reset: false };
}

/// What a counter's next rate needs: its last valid value and when that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CounterState {
    /// NaN before the first value.
    value: f64,
    time: Timestamp,
}

impl CounterState {
    /// A counter of which nothing is known.
    pub(crate) const NEW: Self = Self { value: f64::NAN, time: Timestamp::from_nanos(0) };

    /// Takes the counter's value at `time`, which must be later than the last one's.
    ///
    /// A missing value keeps the state: the next rate is then the mean over the longer stretch. A value below zero is
    /// no count and is taken as missing.
    pub(crate) fn rate(&mut self, time: Timestamp, value: f64) -> Rate {
        if !value.is_finite() || value < 0.0 {
            return Rate::MISSING;
        }
        let before = std::mem::replace(self, Self { value, time });
        if before.value.is_nan() {
            return Rate::MISSING;
        }
        let seconds = time.since(before.time);
        let fall = before.value - value;
        if fall <= 0.0 {
            Rate { per_second: (value - before.value) / seconds, reset: false }
        } else if before.value > HALF_WRAP && fall > HALF_WRAP && before.value < WRAP {
            Rate { per_second: (WRAP - fall) / seconds, reset: false }
        } else {
            Rate { per_second: value / seconds, reset: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of values that come every ten seconds.
    fn rates(values: &[f64]) -> Vec<Rate> {
        let mut state = CounterState::NEW;
        let times = (0..).map(|i| Timestamp::from_seconds(f64::from(i) * 10.0));
        times.zip(values).map(|(time, &value)| state.rate(time, value)).collect()
    }

    #[test]
    fn the_first_value_has_no_rate_and_the_next_has_one_per_second() {
        let rates = rates(&[100.0, 150.0, 150.0]);
        assert!(rates[0].per_second.is_nan() && !rates[0].reset);
        assert_eq!(rates[1], Rate { per_second: 5.0, reset: false });
        assert_eq!(rates[2].per_second, 0.0);
        assert!(rates[2].per_second.is_sign_positive());
    }

    #[test]
    fn a_counter_that_falls_is_a_reset() {
        assert_eq!(rates(&[1000.0, 30.0])[1], Rate { per_second: 3.0, reset: true });
        assert_eq!(rates(&[1e12, 30.0])[1], Rate { per_second: 3.0, reset: true });
    }

    #[test]
    fn a_counter_that_falls_from_just_below_32_bits_has_wrapped() {
        assert_eq!(rates(&[4_294_967_290.0, 4.0])[1], Rate { per_second: 1.0, reset: false });
        // From the middle of the range it is a reset.
        assert!(rates(&[2_147_483_640.0, 4.0])[1].reset);
    }

    #[test]
    fn a_missing_value_is_bridged() {
        for missing in [f64::NAN, f64::INFINITY, -1.0] {
            let rates = rates(&[10.0, missing, 50.0]);
            assert!(rates[1].per_second.is_nan());
            assert_eq!(rates[2], Rate { per_second: 2.0, reset: false });
        }
    }
}
