//! What can go wrong in this crate, other than a delivery (see [`crate::sinks::DeliveryError`]).

use std::path::PathBuf;

/// Why an outbox, a ring or a sink could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// Another process holds the outbox.
    #[error(
        "{path}: another process uses this outbox: expected one agent per state directory; stop the other or give this one its own"
    )]
    InUse {
        /// The lock.
        path: PathBuf,
    },
    /// An event that is too large even without its evidence.
    #[error(
        "event {id} has {found} bytes without its evidence: expected at most {limit}; shorten the component's labels"
    )]
    EventTooLarge {
        /// The event's id.
        id: String,
        /// Its size as JSON.
        found: usize,
        /// The largest that is accepted.
        limit: usize,
    },
    /// A value that can't be worked with.
    #[error("{option}: found {found}, expected {expected}")]
    Option {
        /// Which option.
        option: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        expected: &'static str,
    },
    /// The HTTP client could not be made.
    #[error("{url}: {reason}")]
    Client {
        /// Where it should have gone to, without credentials.
        url: String,
        /// What the client says.
        reason: String,
    },
}
