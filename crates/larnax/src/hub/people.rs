//! Who is told of incidents by `larnax hub`.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Context;
use larnax_alert::{Outbox, OutboxOptions};
use larnax_core::Clock;
use larnax_core::event::IncidentEvent;
use larnax_hub::Hub;
use larnax_notify::{Identity, Running, Sinks, Speaker};
use larnax_spec::Config;

use super::OUTBOX_BYTES;

/// The receivers that are being told, while this hub acts.
pub(super) type Telling = Rc<RefCell<Option<Running>>>;

/// Has the hub tell the receivers of a config while it acts. What waits for them is in memory: what they have heard of is in
/// the store, and the hub that acts next tells them the rest.
pub(super) fn start(
    config: Config,
    identity: Identity,
    hub: &Rc<Hub>,
    clock: &Rc<dyn Clock>,
) -> anyhow::Result<Telling> {
    let telling = Telling::default();
    let make = {
        let (hub, clock, telling) = (Rc::downgrade(hub), Rc::clone(clock), Rc::clone(&telling));
        move || -> anyhow::Result<Told> {
            let sinks: Sinks<IncidentEvent> = Sinks::of(&config, Speaker::Hub, &identity, &clock)?;
            let options = OutboxOptions { max_bytes: OUTBOX_BYTES, sinks: sinks.names() };
            let outbox = Rc::new(Outbox::open(None, options)?.0);
            let running = sinks.start(&outbox, &clock);
            if let Some(hub) = hub.upgrade() {
                hub.tell_people(outbox, running.statuses().to_vec());
            }
            telling.replace(Some(running));
            Ok(Told(Rc::clone(&telling)))
        }
    };
    // What is wrong with a receiver is to be said now.
    drop(make().context("who is told of incidents")?);
    hub.while_acting(Box::new(move || {
        let told = make();
        Box::pin(async move {
            match told {
                Ok(_told) => std::future::pending().await,
                Err(error) => tracing::error!("nobody is told of incidents: {error:#}"),
            }
        })
    }));
    Ok(telling)
}

/// Ends the telling when it is dropped.
struct Told(Telling);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.take();
    }
}
