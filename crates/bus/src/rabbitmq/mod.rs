//! Bridges between the log and RabbitMQ.
//!
//! [`Outward`] sends what the log gets to a topic exchange; [`Inward`] puts what comes into a queue into the log. Both
//! connect again by themselves, with pauses, whatever happened, and go on where they were: outward a cursor moves only when
//! the broker has confirmed, inward a message is acknowledged only when it is durable in the log. So events may come twice,
//! with the same id, and are never lost. Of one subject, an event is sent only when the one before it is confirmed, so that
//! neither a refusal nor a broker that dies can bring them out of order.
//!
//! An event is a message in the CloudEvents JSON format (content type `application/cloudevents+json`), persistent; message id
//! and type are the event's. Its routing key is the type, then the kind and the scope of the component, as in
//! `io.larnax.anomaly.opened.v1.service.payments`.
//!
//! The client library could connect again by itself, but its recovery leaves channels dead after a broker's restart
//! (<https://github.com/amqp-rs/lapin/issues/450>); it is not used.

mod connection;
mod inward;
mod outward;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use larnax_http::Secret;

pub use inward::Inward;
pub use outward::Outward;

/// AMQP 0-9-1's `delivery-mode` of messages that outlive the broker.
const PERSISTENT: u8 = 2;

/// How a broker is reached, and the names there.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS. Never shown with user and password.
    pub url: Secret,
    /// PEM file of the authorities that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The topic exchange, made if it isn't there.
    pub exchange: String,
    /// A durable queue that gets all events of the exchange, made if it isn't there. [`Inward`] reads it and needs it.
    /// [`Outward`] with a queue makes it too, so that no event is lost before its reader first comes, and takes an event for
    /// sent only when it reached a queue; without one, events that no queue is bound for are gone, as usual with an exchange.
    pub queue: Option<String>,
}

impl RabbitOptions {
    /// The exchange `larnax.events`, no queue.
    pub fn new(url: Secret) -> Self {
        Self { url, ca_file: None, exchange: "larnax.events".to_owned(), queue: None }
    }
}

/// The queue for messages that are no events, beside `queue`.
pub fn dead_letter_queue(queue: &str) -> String {
    format!("{queue}.dead")
}

/// How a bridge is doing: shared between it and whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct BridgeStatus(Arc<Mutex<Health>>);

/// Figures of a bridge since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Events that arrived on the other side, those that arrived again included.
    pub events: u64,
    /// Messages that were no events and went to the dead-letter queue.
    pub dead_letters: u64,
    /// Connections made.
    pub connections: u64,
    /// Whether one stands, as far as is known.
    pub connected: bool,
    /// Why none stands.
    pub last_error: Option<String>,
}

impl BridgeStatus {
    /// The figures as they stand.
    pub fn health(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
