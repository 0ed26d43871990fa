//! The bridges of a hub to RabbitMQ.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use larnax_bus::rabbitmq::{Inward, Outward, RabbitOptions};
use larnax_bus::{Bus, Cursor, Cursors};
use larnax_core::LogError;
use larnax_hub::Hub;
use larnax_spec::Secret;
use larnax_store::Store;

/// What comes into this queue, or is sent to the exchange of this name, is put into the log. Not the exchange that the log goes
/// to: the hub would hear all that it says.
const INBOX: &str = "larnax.inbox";
/// Under this name the store knows how far the broker is.
const CURSOR: &str = "rabbitmq";

/// Where the broker is.
pub(super) struct Broker {
    pub(super) url_file: PathBuf,
    pub(super) ca_file: Option<PathBuf>,
}

/// Starts the bridges: inward on every hub, since the broker lets one read at a time; outward on the one that acts, so that the
/// order is kept.
pub(super) fn start(broker: Broker, hub: &Rc<Hub>, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    let url = Secret::from_file(&broker.url_file)
        .with_context(|| format!("--rabbitmq-url-file {}", broker.url_file.display()))?;
    let outbound = RabbitOptions {
        ca_file: broker.ca_file,
        ..RabbitOptions::new(larnax_http::Secret::new(url.expose()))
    };
    let inbound =
        RabbitOptions { exchange: INBOX.to_owned(), queue: Some(INBOX.to_owned()), ..outbound.clone() };
    let inward = Inward::new(inbound, hub.bus()).context("--rabbitmq-url-file")?;
    tokio::task::spawn_local(inward.run());
    let (bus, cursors) = (hub.bus(), Arc::new(StoredCursors(Arc::clone(store))));
    hub.while_acting(Box::new(move || {
        let (options, bus, cursors) = (outbound.clone(), Arc::clone(&bus), Arc::clone(&cursors));
        Box::pin(outward(options, bus, cursors))
    }));
    Ok(())
}

async fn outward(options: RabbitOptions, bus: Arc<dyn Bus>, cursors: Arc<dyn Cursors>) {
    match Outward::new(options, bus, cursors, CURSOR) {
        Ok(outward) => outward.run().await,
        Err(error) => tracing::error!(%error, "events don't go to RabbitMQ"),
    }
}

/// Cursors in the store, which are of the same moment as its log: also after a restored backup.
struct StoredCursors(Arc<dyn Store>);

impl Cursors for StoredCursors {
    fn load(&self, reader: &str) -> Result<Cursor, LogError> {
        let epoch = self.0.epoch()?;
        let sequence = self.0.cursor(reader)?.unwrap_or(0);
        Ok(Cursor { epoch, sequence })
    }

    fn save(&self, reader: &str, cursor: &Cursor) -> Result<(), LogError> {
        Ok(self.0.advance_cursor(reader, cursor.sequence)?)
    }
}
