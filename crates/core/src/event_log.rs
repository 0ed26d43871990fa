//! The durable log of events that roles share, as a trait: a synchronous log with numbered entries.
//!
//! Implementations keep what [`EventLog::append`] has taken through a crash, number entries in the order in which they become
//! readable, and never renumber them. They must not look into the JSON of an event, and must not drop one because its type is
//! unknown to them.

use std::fmt;

use crate::Timestamp;

/// A CloudEvent in its JSON form, with what a log needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// Unique over all sources: the same event has the same id however often it is sent.
    pub id: String,
    /// Such as `io.larnax.anomaly.opened.v1`.
    pub r#type: String,
    /// The component, or whatever else it is about. Events of one subject stay in order.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// All of it, as one JSON object without line breaks.
    pub json: String,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// From 1, rising; there may be holes.
    pub sequence: u64,
    /// The event.
    pub event: RawEvent,
}

/// What became of appended events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many of them were new. The others have an id that the log knows already, and were skipped.
    pub new: usize,
    /// The sequence of the newest event of the log; 0 while it is empty.
    pub last: u64,
}

/// Why a log can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub struct LogError {
    /// What went wrong and what to do, in a sentence.
    pub message: String,
    /// Whether the same call may work later: the disk is full, the database restarts.
    pub temporary: bool,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A durable log of events.
///
/// Calls block; whoever serves connections calls them from a thread that may.
pub trait EventLog: Send + Sync {
    /// Appends events in this order. When it returns, they are durable and readable. All or none of the new ones.
    fn append(&self, events: &[RawEvent]) -> Result<Appended, LogError>;

    /// Up to `limit` events after `sequence`, oldest first. What retention has removed is left out.
    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Logged>, LogError>;

    /// Which life of the log this is: a name that changes when older contents come back, as from a backup. A reader that knows
    /// another one can't trust its sequence and begins with the oldest event.
    fn epoch(&self) -> Result<String, LogError>;

    /// The sequence of the oldest event that is still there and of the newest ever appended; (0, 0) while there is none.
    fn bounds(&self) -> Result<(u64, u64), LogError>;
}
