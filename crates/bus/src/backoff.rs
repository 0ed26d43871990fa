//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double from 0.2 s to 30 s, each between half and all of that, so that many who lost the same peer don't come
/// back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether the next failure is the first in a row.
    pub(crate) fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// After a failure: how long to wait now.
    pub(crate) fn pause(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Each RandomState has fresh keys: enough randomness to spread, without a generator to seed.
        let random = RandomState::new().hash_one(self.failures) as f64 / u64::MAX as f64;
        full.mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_are_spread_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for full in [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0, 30.0] {
            let pause = backoff.pause().as_secs_f64();
            assert!(pause >= full / 2.0 - 1e-9 && pause <= full + 1e-9, "{pause} of {full}");
        }
        assert!(!backoff.is_fresh());
    }
}
