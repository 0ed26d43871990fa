//! Following a bus from a cursor.

use std::sync::Arc;
use std::time::Duration;

use larnax_core::Logged;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::{Bus, BusError, Cursor};

/// How many events a batch has at most, where nothing else is asked for.
const BATCH: usize = 256;

/// How long one question waits. Below the minute after which proxies use to cut silent connections.
const WAIT: Duration = Duration::from_secs(20);

/// A reader of a bus: batches of events in order, each until it is acknowledged.
///
/// Where the cursor is kept is the reader's affair: beside what it has made of the events, in the same transaction, nothing
/// is done twice; elsewhere, after it, nothing is left out.
///
/// ```no_run
/// # async fn follow(bus: std::sync::Arc<dyn larnax_bus::Bus>) -> Result<(), larnax_bus::BusError> {
/// use larnax_bus::{Cursor, Subscription};
///
/// let mut events = Subscription::new(bus, Cursor::default());
/// loop {
///     for logged in events.next_batch().await? {
///         println!("{} {}", logged.sequence, logged.event.json);
///     }
///     let _keep = events.acknowledge();
/// }
/// # }
/// ```
pub struct Subscription {
    bus: Arc<dyn Bus>,
    cursor: Cursor,
    /// Where the batch that was given last ends.
    given: Option<Cursor>,
    limit: usize,
    backoff: Backoff,
}

impl Subscription {
    /// From a cursor on, the default one for the oldest event.
    pub fn new(bus: Arc<dyn Bus>, from: Cursor) -> Self {
        Self { bus, cursor: from, given: None, limit: BATCH, backoff: Backoff::default() }
    }

    /// The same with at most `limit` events in a batch, at least one.
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit: limit.max(1), ..self }
    }

    /// Waits for events after the last that was acknowledged; never empty. The same ones come again until they are.
    ///
    /// Goes on by itself, with pauses, while the bus is not available; an error is for a person to mend. Dropping the future
    /// is safe.
    pub async fn next_batch(&mut self) -> Result<Vec<Logged>, BusError> {
        loop {
            match self.bus.read(&self.cursor, self.limit, WAIT).await {
                Ok(batch) => {
                    if !std::mem::take(&mut self.backoff).is_fresh() {
                        tracing::info!("events can be read again");
                    }
                    if !self.cursor.epoch.is_empty() && self.cursor.epoch != batch.cursor.epoch {
                        tracing::warn!(
                            "the log has begun another life, as after a restored backup: reading from its oldest event"
                        );
                    }
                    if batch.events.is_empty() {
                        // A new epoch is kept, so that the next question starts from there.
                        self.cursor = batch.cursor;
                        continue;
                    }
                    self.given = Some(batch.cursor);
                    return Ok(batch.events);
                }
                Err(error) if error.is_temporary() => {
                    if self.backoff.is_fresh() {
                        tracing::warn!(%error, "events can't be read; trying again");
                    }
                    sleep(self.backoff.pause()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves on past what [`Subscription::next_batch`] gave last. Returns where it stands now.
    pub fn acknowledge(&mut self) -> &Cursor {
        if let Some(given) = self.given.take() {
            self.cursor = given;
        }
        &self.cursor
    }

    /// Where it stands: after the last event that was acknowledged.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}
