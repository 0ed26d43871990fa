//! How far the building of incidents is behind what edges tell, and how edges are held back until it has caught up. Their events
//! are as safe with them as here, and taking them quicker than they can be dealt with would only make incidents late.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// So many events may wait: a few seconds' worth.
const MAX_BEHIND: u64 = 20_000;
/// No edge is held back longer at once: meanwhile nothing else of its session is heard.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Sequences of the log.
#[derive(Default)]
pub(crate) struct Load {
    taken: Cell<u64>,
    /// None while this hub builds no incidents.
    heard: Cell<Option<u64>>,
    moved: Notify,
}

impl Load {
    /// The log has got so far.
    pub(crate) fn taken(&self, sequence: u64) {
        self.taken.set(self.taken.get().max(sequence));
    }

    /// Incidents are built up to there.
    pub(crate) fn heard(&self, sequence: u64) {
        self.heard.set(Some(sequence));
        self.moved.notify_waiters();
    }

    /// This hub builds no incidents now.
    pub(crate) fn stop(&self) {
        self.heard.set(None);
        self.moved.notify_waiters();
    }

    /// Waits while too much waits, but not for long.
    pub(crate) async fn bearable(&self) {
        let bearable = async {
            while self.behind() > MAX_BEHIND {
                self.moved.notified().await;
            }
        };
        // Late is better than never.
        let _ = timeout(HELD_BACK, bearable).await;
    }

    fn behind(&self) -> u64 {
        self.heard.get().map_or(0, |heard| self.taken.get().saturating_sub(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn edges_are_held_back_while_incidents_are_behind_and_not_for_ever() {
        let (load, began) = (Load::default(), Instant::now());
        load.taken(MAX_BEHIND + 1);
        load.bearable().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "another hub builds incidents");
        load.heard(0);
        load.bearable().await;
        assert_eq!(began.elapsed(), HELD_BACK);
        let (_, ()) = tokio::join!(load.bearable(), async { load.heard(1) });
        assert_eq!(began.elapsed(), HELD_BACK, "caught up");
        load.taken(5 * MAX_BEHIND);
        let (_, ()) = tokio::join!(load.bearable(), async { load.stop() });
        assert_eq!(began.elapsed(), HELD_BACK);
    }
}
