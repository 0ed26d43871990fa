//! Why a bus can't do what it was asked to.

use larnax_core::LogError;

/// Each message says what was found, where, and what to do. None holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The way to the log is interrupted, or the log is for now: the same call may work later.
    #[error("{0}")]
    Unavailable(String),
    /// The events are not as they must be: the same call never works.
    #[error("{0}")]
    Refused(String),
    /// The log can't go on until a person has mended it.
    #[error("{0}")]
    Broken(String),
    /// The options can't be used.
    #[error("{0}")]
    Options(String),
}

impl BusError {
    /// Whether the same call may work later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<LogError> for BusError {
    fn from(error: LogError) -> Self {
        match error.temporary {
            true => Self::Unavailable(error.message),
            false => Self::Broken(error.message),
        }
    }
}
