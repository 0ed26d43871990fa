//! What a bus does.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use larnax_core::{Appended, Logged, RawEvent};

use crate::{BusError, Cursor};

/// What a call of a [`Bus`] resolves to. Boxed, so that roles hold an `Arc<dyn Bus>` and don't know which it is.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// Some events after a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Oldest first; empty when nothing came in time.
    pub events: Vec<Logged>,
    /// Where a reader stands that has them all. Its epoch differs from the one asked with where the log has begun
    /// another life, as after a restored backup: then these are the oldest events.
    pub cursor: Cursor,
}

/// A way to a durable log of events.
///
/// Implementations keep the order of the events of one subject, and lose none: what [`Bus::publish`] said yes to is read by
/// everybody whose cursor stands before it. They must not hold up publishers because a reader is slow. Dropping a future of
/// theirs is safe; whether a publication took place is then unknown, and repeating it is right.
pub trait Bus: Send + Sync {
    /// Appends events in this order. They are durable when it resolves. One whose id the log knows is skipped.
    ///
    /// Either all of the new ones are taken or none, as far as one request carries: over HTTP, more than a few hundred
    /// events or a few MiB are taken piece by piece.
    fn publish<'a>(&'a self, events: &'a [RawEvent]) -> Reply<'a, Appended>;

    /// At most `limit` events after `after`, and not many more than 4 MiB. Where there are none, waits for some for at
    /// most `wait` (less where the way there demands it).
    fn read<'a>(&'a self, after: &'a Cursor, limit: usize, wait: Duration) -> Reply<'a, Batch>;
}
