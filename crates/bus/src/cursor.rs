//! Where a reader stands.

use larnax_core::LogError;
use serde::{Deserialize, Serialize};

/// A place in a log: after the event with this sequence, in this life of the log. The default is before the oldest event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// [`EventLog::epoch`](larnax_core::EventLog::epoch) of the log that counted; empty where nothing has been read yet.
    pub epoch: String,
    /// The sequence of the last event that was read; 0 for none.
    pub sequence: u64,
}

/// Where named readers stand, kept through restarts.
///
/// Calls block; the bus calls them from threads that may. What [`Cursors::save`] has taken must be there after a crash; one
/// that is lost only makes its reader see events again.
pub trait Cursors: Send + Sync {
    /// Where the reader stands; the default for one that never saved.
    fn load(&self, reader: &str) -> Result<Cursor, LogError>;

    /// Keeps where it stands.
    fn save(&self, reader: &str, cursor: &Cursor) -> Result<(), LogError>;
}
