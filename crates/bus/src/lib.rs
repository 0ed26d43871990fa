//! Events between roles: in-process, over HTTP, and a bridge to RabbitMQ, all on one durable log.
//!
//! The log is an [`EventLog`](larnax_core::EventLog). A [`Bus`] is a way to it: [`LocalBus`] in the process that holds the
//! log, [`HttpBus`] from elsewhere, by the paths that [`server`] answers. A [`Subscription`] follows any of them from a
//! [`Cursor`]. With the feature `rabbitmq`, bridges carry events from the log to an exchange of RabbitMQ and from a queue
//! into the log.
//!
//! What holds for all of them, and is tested for all of them by one suite: what [`Bus::publish`] has taken is durable;
//! events of one subject are read in the order in which they were published; every event is read at least once, by a
//! reader that comes back too; an event that is published again (same id) is kept once; a slow reader holds up nobody.
//!
//! Readers must bear to see an event again: the id tells ([`Seen`]).
//!
//! Rejected: a broker as the core (something else to install, and a second place where history lives), a channel between
//! roles of one process (it would be a second kind of delivery, without durability and cursors).

mod backoff;
mod bus;
pub mod cloudevents;
mod cursor;
mod error;
mod http_bus;
mod local;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
mod seen;
pub mod server;
mod subscription;

pub use bus::{Batch, Bus, Reply};
pub use cursor::{Cursor, Cursors};
pub use error::BusError;
pub use http_bus::{HttpBus, HttpBusOptions};
pub use local::LocalBus;
pub use seen::Seen;
pub use subscription::Subscription;
