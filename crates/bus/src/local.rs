//! The bus in the process that holds the log.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Appended, EventLog, LogError, RawEvent};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::{Batch, Bus, BusError, Cursor, Reply};

/// A batch ends with the event that makes it larger than this, in bytes of JSON.
const BATCH_BYTES: usize = 4 << 20;

/// How many events are read from the log at once: what a batch may hold in memory beyond its limit.
const STEP: usize = 64;

/// A bus on a log in this process. Needs a tokio runtime; the log's blocking calls go to its threads for that.
pub struct LocalBus {
    log: Arc<dyn EventLog>,
    /// Told after each publication. [`Notify`] and not a channel: a reader needs to know that there is something, it finds
    /// out what from the log.
    news: Notify,
    /// How often readers that wait look by themselves.
    look: Option<Duration>,
}

impl LocalBus {
    /// On a log that nobody else appends to.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, news: Notify::new(), look: None }
    }

    /// On a log that other processes append to as well, as two hubs on one database do: readers that wait also look each
    /// `look`, for what those have appended.
    pub fn shared(log: Arc<dyn EventLog>, look: Duration) -> Self {
        Self { look: Some(look), ..Self::new(log) }
    }

    /// Does something with the log on a thread that may block.
    async fn with_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn EventLog) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, BusError> {
        let log = Arc::clone(&self.log);
        match spawn_blocking(move || work(log.as_ref())).await {
            Ok(result) => Ok(result?),
            // The runtime shuts down, or the log has panicked: neither is for the caller to bear on.
            Err(error) => Err(BusError::Unavailable(format!("the log gave no answer: {error}"))),
        }
    }
}

impl Bus for LocalBus {
    fn publish<'a>(&'a self, events: &'a [RawEvent]) -> Reply<'a, Appended> {
        Box::pin(async move {
            let events = events.to_vec();
            let appended = self.with_log(move |log| log.append(&events)).await?;
            self.news.notify_waiters();
            Ok(appended)
        })
    }

    fn read<'a>(&'a self, after: &'a Cursor, limit: usize, wait: Duration) -> Reply<'a, Batch> {
        Box::pin(async move {
            let deadline = Instant::now() + wait;
            loop {
                // Before reading: what is published while we read must wake us.
                let mut news = pin!(self.news.notified());
                news.as_mut().enable();
                let from = after.clone();
                let batch = self.with_log(move |log| read(log, from, limit)).await?;
                let now = Instant::now();
                if !batch.events.is_empty() || now >= deadline {
                    return Ok(batch);
                }
                let until = self.look.map_or(deadline, |look| deadline.min(now + look));
                tokio::select! { () = news => {} () = sleep_until(until) => {} }
            }
        })
    }
}

/// What a reader gets that stands at `after`.
fn read(log: &dyn EventLog, after: Cursor, limit: usize) -> Result<Batch, LogError> {
    let epoch = log.epoch()?;
    let same = after.epoch.is_empty() || after.epoch == epoch;
    let mut cursor = Cursor { sequence: if same { after.sequence } else { 0 }, epoch };
    let mut events = log.read_after(cursor.sequence, limit.min(STEP))?;
    if events.is_empty() && cursor.sequence > 0 && log.bounds()?.1 < cursor.sequence {
        // The reader is ahead of the log: somebody has put an older copy of it there without giving it a new epoch. Events
        // that come again are borne, events that are left out are not.
        cursor.sequence = 0;
        events = log.read_after(0, limit.min(STEP))?;
    }
    let mut bytes: usize = events.iter().map(|logged| logged.event.json.len()).sum();
    while let Some(last) = events.last()
        && events.len() < limit
        && events.len().is_multiple_of(STEP)
        && bytes < BATCH_BYTES
    {
        let more = log.read_after(last.sequence, STEP.min(limit - events.len()))?;
        if more.is_empty() {
            break;
        }
        bytes += more.iter().map(|logged| logged.event.json.len()).sum::<usize>();
        events.extend(more);
    }
    if let Some(last) = events.last() {
        cursor.sequence = last.sequence;
    }
    Ok(Batch { events, cursor })
}
