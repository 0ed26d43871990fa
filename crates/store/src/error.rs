//! What can go wrong with a store.

use larnax_core::LogError;

/// Why a store can't do what it was asked to. Never holds a password, or data of the history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A place that can't be one.
    #[error("{0}")]
    Location(String),
    /// It can't be reached, is full, or is too busy: the same call may work later.
    #[error("the store {place} can't be used now: {reason}")]
    Unavailable {
        /// Where it is, without a password.
        place: String,
        /// What happened.
        reason: String,
    },
    /// It says no, and will say so again.
    #[error("the store {place} refuses: {reason}")]
    Refused {
        /// Where it is, without a password.
        place: String,
        /// What it said.
        reason: String,
    },
    /// Another program has the file.
    #[error(
        "the store {place} is in use by another larnax: stop that one, or give this one a store of its own"
    )]
    InUse {
        /// Which.
        place: String,
    },
    /// Its contents have changed by themselves: a failing disk, a copy that was cut off.
    #[error(
        "the store {place} is damaged ({reason}): restore a backup with `larnax hub restore`, or have the file set \
         aside and begin anew"
    )]
    Damaged {
        /// Which.
        place: String,
        /// How it was noticed.
        reason: String,
    },
    /// A database, but not ours.
    #[error("{place} is a database of another program: give the hub a path of its own")]
    Foreign {
        /// Which.
        place: String,
    },
    /// A newer program has migrated it.
    #[error(
        "the store {place} has format {found}, and this program knows formats up to {known}: run the newer program, or \
         restore a backup from before the upgrade"
    )]
    Newer {
        /// Which.
        place: String,
        /// Its format.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// Somebody else acts by now.
    #[error(
        "the lease `{lease}` has moved on from number {number}: what its former holder writes is refused"
    )]
    Fenced {
        /// Which lease.
        lease: String,
        /// The number that the writer had.
        number: u64,
    },
    /// What was to be written can't be stored, or what was asked can't be answered.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the same call may work later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<Error> for LogError {
    fn from(error: Error) -> Self {
        Self { message: error.to_string(), temporary: error.is_temporary() }
    }
}
