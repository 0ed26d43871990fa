//! Sinks: where events go.

mod alertmanager;
mod deliver;
mod json_lines;
mod payload;
mod post;
mod report;
mod webhook;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use larnax_core::CloudEvent;
use larnax_core::event::AnomalyEvent;

pub use alertmanager::{Alertmanager, AlertmanagerOptions};
pub use deliver::{Health, SinkStatus, deliver_loop, pause};
pub use json_lines::{JsonLines, JsonLinesOptions, Output};
pub use report::SinkReport;
pub use webhook::{Webhook, WebhookOptions};

/// A future of the single-threaded runtime.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Why events did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// True when the same events may arrive later (nobody there, busy, wrong credentials); false when the other side
    /// looked at these very events and will never take them.
    pub retryable: bool,
    /// What was found, where, what was expected. Holds no secret.
    pub message: String,
}

impl DeliveryError {
    /// The same events may arrive later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self { retryable: true, message: message.into() }
    }

    /// These events will never be taken.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { retryable: false, message: message.into() }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Where events go.
///
/// An implementation must not retry, must not keep events for later and must not wait without bound: retrying, order and
/// safety belong to [`deliver_loop`] and the outbox. It must bear the same event twice, and its future must be safe to
/// drop. Its `Debug`, names and errors must not show secrets.
pub trait Sink<D = AnomalyEvent>: fmt::Debug {
    /// Unique and stable: the outbox remembers under this name what was delivered.
    fn name(&self) -> &str;

    /// Brings events (at most [`Sink::max_batch`], oldest first, perhaps none that concern this sink) to the other side.
    /// `Ok` means that the other side has all of them; after an error it may have some.
    fn deliver<'a>(&'a mut self, events: &'a [CloudEvent<D>]) -> LocalFuture<'a, Result<(), DeliveryError>>;

    /// The most events of one call.
    fn max_batch(&self) -> usize {
        256
    }

    /// How often the latest event of each open anomaly or incident is to be delivered again, if at all.
    fn resend_every(&self) -> Option<Duration> {
        None
    }

    /// How often [`Sink::heartbeat`] is to be called, if at all.
    fn heartbeat_every(&self) -> Option<Duration> {
        None
    }

    /// Says that the agent lives.
    fn heartbeat(&mut self) -> LocalFuture<'_, Result<(), DeliveryError>> {
        Box::pin(async { Ok(()) })
    }

    /// Bytes sent over the network since the start, protocol included.
    fn bytes_sent(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
