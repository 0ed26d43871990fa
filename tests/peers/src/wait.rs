//! Waiting for something to become true, with an end.

use std::time::{Duration, Instant};

/// How often [`eventually`] looks. Short against what peers take to start (0.1 to 2 s), long against the cost
/// of a look.
const PAUSE: Duration = Duration::from_millis(25);

/// Calls `look` until it gives a value, and returns it.
///
/// # Panics
/// When `within` has passed, naming `what` was waited for.
///
/// ```
/// use std::time::Duration;
///
/// let mut looks = 0;
/// let third = larnax_test_peers::eventually("a third look", Duration::from_secs(5), || {
///     looks += 1;
///     (looks == 3).then_some(looks)
/// });
/// assert_eq!(third, 3);
/// ```
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(started.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}
