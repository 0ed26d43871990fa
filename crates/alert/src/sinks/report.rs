//! How sinks are doing, as the APIs of the roles show it.

use serde::{Deserialize, Serialize};

use super::Health;

/// How one sink is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// Events that wait for it.
    pub pending: usize,
    /// Events that it took.
    pub delivered: u64,
    /// Events that it will never take; they were given up.
    pub refused: u64,
    /// Bytes sent to it, heads included.
    pub sent_bytes: u64,
    /// Why it took none last time; none when it did.
    pub error: Option<String>,
}

impl SinkReport {
    /// Of a sink for which `pending` events wait.
    pub fn of(name: &str, pending: usize, health: Health) -> Self {
        Self {
            name: name.to_owned(),
            pending,
            delivered: health.delivered,
            refused: health.refused,
            sent_bytes: health.bytes_sent,
            error: health.last_error,
        }
    }
}
