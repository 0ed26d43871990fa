//! A timer of its own per collection loop.

use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Sleeps on a timer of the kernel.
///
/// The runtime's own sleep wakes the process once more per round, where its wheel of timers turns, and once right away to
/// look at the new deadline: measured 1.0 ms of CPU per second at ten rounds a second, more than twice what the one
/// needed wake takes. The runtime's sleep is the way out where the kernel gives no timer.
#[derive(Debug)]
pub(crate) struct Timer(Option<AsyncFd<OwnedFd>>);

impl Timer {
    /// A timer that isn't set. Call it within the runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types that lie about their descriptor; an `OwnedFd` doesn't, and this \
                  crate forbids unsafe code"
    )]
    pub(crate) fn new() -> Self {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
        Self(fd.ok().and_then(|fd| AsyncFd::new(fd).ok()))
    }

    /// Waits for `duration`, at least a nanosecond.
    pub(crate) async fn sleep(&mut self, duration: Duration) {
        if !self.try_sleep(duration).await {
            tokio::time::sleep(duration).await;
        }
    }

    async fn try_sleep(&mut self, duration: Duration) -> bool {
        let Self(Some(fd)) = self else { return false };
        let Some(end) = Instant::now().checked_add(duration) else { return false };
        // Zero would switch the timer off.
        let duration = duration.max(Duration::from_nanos(1));
        let Ok(tv_sec) = i64::try_from(duration.as_secs()) else { return false };
        let it_value = Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        if timerfd_settime(&*fd, TimerfdTimerFlags::empty(), &once).is_err() {
            return false;
        }
        while Instant::now() < end {
            let Ok(mut ready) = fd.readable().await else { return false };
            // It needn't be read: setting it again does the same, and each time it fires is an event of its own. If it was
            // an earlier sleep, given up, whose end is told only now, the clock says so.
            ready.clear_ready();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_timer_sleeps_as_long_as_it_is_told_again_and_again() {
        let mut timer = Timer::new();
        assert!(timer.0.is_some());
        for millis in [0, 3, 1, 5, 0] {
            let began = Instant::now();
            assert!(timer.try_sleep(Duration::from_millis(millis)).await);
            assert!(began.elapsed() >= Duration::from_millis(millis));
        }
    }

    #[tokio::test]
    async fn a_sleep_that_is_given_up_does_not_end_the_next_one() {
        let mut timer = Timer::new();
        let short = timer.sleep(Duration::from_millis(5));
        assert!(tokio::time::timeout(Duration::ZERO, short).await.is_err());
        // The given up one fires while nobody waits.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        timer.sleep(Duration::from_millis(20)).await;
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[tokio::test]
    async fn without_a_timer_of_the_kernel_the_runtime_sleeps() {
        let began = Instant::now();
        Timer(None).sleep(Duration::from_millis(3)).await;
        assert!(began.elapsed() >= Duration::from_millis(3));
    }
}
