//! What leaves the edge, and what stays there to be asked for.
//!
//! An event goes into the [`outbox`] first, where it is safe; from there a loop per sink ([`sinks::deliver_loop`]) brings
//! it to Alertmanager, a webhook or a file, as often as it takes. The [`ring`] keeps the samples of the last hours in a
//! bounded file; [`mod@evidence`] picks from it what an anomaly needs to be judged by somebody who was not there.
//!
//! Everything here runs on one thread: futures are not `Send`, and no lock is held across an await.

pub mod error;
pub mod evidence;
mod files;
pub mod names;
pub mod outbox;
pub mod ring;
pub mod sinks;
#[cfg(test)]
mod testing;
pub mod told;

pub use error::AlertError;
pub use evidence::{EvidenceOptions, Judged, evidence};
pub use files::replace;
pub use outbox::{Accepted, Batch, Outbox, OutboxOptions, OutboxStats, Recovered};
pub use ring::{Ring, RingOptions, RingStats};
pub use sinks::{
    Alertmanager, AlertmanagerOptions, DeliveryError, Health, JsonLines, JsonLinesOptions, Output, Sink,
    SinkStatus, Webhook, WebhookOptions, deliver_loop,
};
pub use told::Told;
