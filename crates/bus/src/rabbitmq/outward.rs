//! From the log to an exchange.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use larnax_core::{LogError, Logged, RawEvent};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::connection::{Bridge, Broker, Ended, in_time, keep};
use super::{BridgeStatus, PERSISTENT, RabbitOptions};
use crate::cloudevents::EVENT;
use crate::{Bus, BusError, Cursors, Subscription};

/// How many events may be under way to the broker at once.
const WINDOW: usize = 256;
/// How often an idle bridge looks whether its connection still stands.
const LOOK: Duration = Duration::from_secs(5);
/// The longest routing key, AMQP 0-9-1 section 4.2.5.3.
const MAX_KEY_BYTES: usize = 255;

/// Sends every event of a bus to an exchange, from where it was when it last ran.
pub struct Outward {
    broker: Broker,
    bus: Arc<dyn Bus>,
    cursors: Arc<dyn Cursors>,
    name: String,
    status: BridgeStatus,
}

impl Bridge for Outward {
    fn broker(&self) -> &Broker {
        &self.broker
    }

    fn status(&self) -> &BridgeStatus {
        &self.status
    }

    async fn session(&self, connection: &Connection) -> Result<Infallible, Ended> {
        let channel = in_time("open a channel", connection.create_channel()).await?;
        in_time("turn on confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        self.broker.declare(&channel).await?;
        let cursor = self.with_cursors(|cursors, name| cursors.load(name)).await?;
        let mut events = Subscription::new(Arc::clone(&self.bus), cursor).with_limit(WINDOW);
        loop {
            let Ok(batch) = timeout(LOOK, events.next_batch()).await else {
                if connection.status().connected() {
                    continue;
                }
                return Err(Ended::Other("the connection is gone".to_owned()));
            };
            let batch = batch?;
            self.send(&channel, &batch).await?;
            let cursor = events.acknowledge().clone();
            self.with_cursors(move |cursors, name| cursors.save(name, &cursor)).await?;
            self.status.note(|health| health.events += batch.len() as u64);
        }
    }
}

impl Outward {
    /// Checks the options. `name` is under which the cursor is kept.
    pub fn new(
        options: RabbitOptions,
        bus: Arc<dyn Bus>,
        cursors: Arc<dyn Cursors>,
        name: &str,
    ) -> Result<Self, BusError> {
        let (broker, status) = (Broker::new(options)?, BridgeStatus::default());
        Ok(Self { broker, bus, cursors, name: name.to_owned(), status })
    }

    /// How it is doing.
    pub fn status(&self) -> BridgeStatus {
        self.status.clone()
    }

    /// Runs until the future is dropped.
    pub async fn run(self) {
        match keep(&self).await {}
    }

    /// Sends events and waits until all are confirmed. Those of different subjects are under way together, those of one
    /// subject one after the other.
    async fn send(&self, channel: &Channel, batch: &[Logged]) -> Result<(), Ended> {
        let mut under_way: VecDeque<(&str, PublisherConfirm)> = VecDeque::with_capacity(batch.len());
        let mut subjects: HashSet<&str> = HashSet::with_capacity(batch.len());
        for Logged { event, .. } in batch {
            while subjects.contains(event.subject.as_str())
                && let Some((subject, confirm)) = under_way.pop_front()
            {
                self.confirmed(confirm).await?;
                subjects.remove(subject);
            }
            let options =
                BasicPublishOptions { mandatory: self.broker.options().queue.is_some(), immediate: false };
            let exchange = self.broker.options().exchange.as_str();
            let (key, json) = (routing_key(event), event.json.as_bytes());
            let publish = channel.basic_publish(exchange.into(), key, options, json, properties(event));
            under_way.push_back((&event.subject, in_time("take an event", publish).await?));
            subjects.insert(&event.subject);
        }
        for (_, confirm) in under_way {
            self.confirmed(confirm).await?;
        }
        Ok(())
    }

    async fn confirmed(&self, confirm: PublisherConfirm) -> Result<(), Ended> {
        match in_time("confirm an event", confirm).await? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Ack(Some(returned)) => Err(Ended::Other(format!(
                "an event reached no queue ({} {}); the queue is made again",
                returned.reply_code, returned.reply_text
            ))),
            Confirmation::Nack(_) => Err(Ended::Other(
                "the broker refused an event: is a queue full that rejects, or the disk?".to_owned(),
            )),
        }
    }

    /// Does something with the cursors on a thread that may block.
    async fn with_cursors<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Cursors, &str) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Ended> {
        let (cursors, name) = (Arc::clone(&self.cursors), self.name.clone());
        match spawn_blocking(move || work(cursors.as_ref(), &name)).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Ended::Other(format!("the cursor could not be kept: {error}"))),
        }
    }
}

fn properties(event: &RawEvent) -> BasicProperties {
    BasicProperties::default()
        .with_content_type(EVENT.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&event.id))
        .with_type(short(&event.r#type))
        .with_timestamp(u64::try_from(event.time.millis() / 1000).unwrap_or_default())
        .with_app_id("larnax".into())
}

/// `TYPE.KIND.SCOPE`. A dot inside kind or scope would add words for a binding to match, so it becomes `_`.
fn routing_key(event: &RawEvent) -> ShortString {
    let mut parts = event.subject.split('/').filter(|part| !part.is_empty());
    let mut word = || parts.next().unwrap_or("_").replace(['.', '*', '#'], "_");
    short(&format!("{}.{}.{}", event.r#type, word(), word()))
}

/// The text, or as much of it as AMQP's short strings hold.
fn short(text: &str) -> ShortString {
    let mut end = text.len().min(MAX_KEY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use larnax_core::Timestamp;

    use super::*;

    fn key(r#type: &str, subject: &str) -> String {
        let (id, json) = (String::new(), String::new());
        let event = RawEvent {
            id,
            r#type: r#type.to_owned(),
            subject: subject.to_owned(),
            time: Timestamp::default(),
            json,
        };
        routing_key(&event).to_string()
    }

    #[test]
    fn the_routing_key_is_the_type_then_kind_and_scope_of_the_component() {
        assert_eq!(
            key("io.larnax.x.v1", "service/payments/10.0.0.7:9100"),
            "io.larnax.x.v1.service.payments"
        );
        assert_eq!(key("io.larnax.x.v1", "pod/eu.west/a"), "io.larnax.x.v1.pod.eu_west");
        assert_eq!(key("t", "/larnax/edge/a"), "t.larnax.edge");
        assert_eq!(key("t", ""), "t._._");
        assert_eq!(key("tt", &format!("node/{}", "ü".repeat(300))).len(), 254, "no half character");
    }
}
