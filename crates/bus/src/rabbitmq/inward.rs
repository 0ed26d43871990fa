//! From a queue into the log.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, Connection, Consumer};
use larnax_core::{Clock as _, RawEvent, SystemClock};
use tokio::time::sleep;

use super::connection::{Bridge, Broker, Ended, in_time, keep};
use super::{BridgeStatus, PERSISTENT, RabbitOptions, dead_letter_queue};
use crate::backoff::Backoff;
use crate::{Bus, BusError, cloudevents};

/// How many messages the broker sends ahead of our acknowledgement, and so the most that are appended together.
const PREFETCH: u16 = 256;
/// The header of a dead letter that says why it is one.
const REASON: &str = "larnax-reason";

/// Puts every message of a queue into a bus; one that is no event goes to the dead-letter queue, with the reason.
pub struct Inward {
    broker: Broker,
    queue: String,
    bus: Arc<dyn Bus>,
    status: BridgeStatus,
}

impl Bridge for Inward {
    fn broker(&self) -> &Broker {
        &self.broker
    }

    fn status(&self) -> &BridgeStatus {
        &self.status
    }

    async fn session(&self, connection: &Connection) -> Result<Infallible, Ended> {
        let channel = in_time("open a channel", connection.create_channel()).await?;
        // For dead letters.
        in_time("turn on confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        self.broker.declare(&channel).await?;
        in_time("set the prefetch", channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let consume =
            channel.basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default());
        let mut consumer = in_time("let us read the queue", consume).await?;
        loop {
            let deliveries = arrived(&mut consumer).await?;
            let Some(last) = deliveries.last().map(|delivery| delivery.delivery_tag) else { continue };
            let received = SystemClock.now();
            let mut events = Vec::with_capacity(deliveries.len());
            let mut dead = 0;
            for delivery in &deliveries {
                let text =
                    std::str::from_utf8(&delivery.data).map_err(|error| format!("expected UTF-8: {error}"));
                let parsed = text
                    .and_then(|text| cloudevents::parse_foreign(text, received).map_err(|e| e.to_string()));
                match parsed {
                    Ok(event) => events.push(event),
                    Err(reason) => {
                        self.bury(&channel, delivery, &reason).await?;
                        dead += 1;
                    }
                }
            }
            self.append(&events).await?;
            let all = BasicAckOptions { multiple: true };
            in_time("take an acknowledgement", channel.basic_ack(last, all)).await?;
            self.status.note(|health| {
                health.events += events.len() as u64;
                health.dead_letters += dead;
            });
        }
    }
}

impl Inward {
    /// Checks the options; they must name a queue.
    pub fn new(options: RabbitOptions, bus: Arc<dyn Bus>) -> Result<Self, BusError> {
        let Some(queue) = options.queue.clone() else {
            return Err(BusError::Options("no queue is named: expected the one to read".to_owned()));
        };
        Ok(Self { broker: Broker::new(options)?, queue, bus, status: BridgeStatus::default() })
    }

    /// How it is doing.
    pub fn status(&self) -> BridgeStatus {
        self.status.clone()
    }

    /// Runs until the future is dropped.
    pub async fn run(self) {
        match keep(&self).await {}
    }

    /// Appends, again and again while the log is not available: meanwhile the broker keeps what is behind.
    async fn append(&self, events: &[RawEvent]) -> Result<(), Ended> {
        let mut backoff = Backoff::default();
        while !events.is_empty() {
            match self.bus.publish(events).await {
                Ok(_) => break,
                Err(error) if error.is_temporary() => {
                    if backoff.is_fresh() {
                        tracing::warn!(%error, "events of RabbitMQ wait for the log");
                    }
                    sleep(backoff.pause()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Puts a copy into the dead-letter queue. Rejecting the message could bring it there too, but without the reason.
    async fn bury(&self, channel: &Channel, delivery: &Delivery, reason: &str) -> Result<(), Ended> {
        tracing::warn!(queue = self.queue, reason, "a message is no event: it goes to the dead-letter queue");
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        let properties = delivery.properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
        let dead = dead_letter_queue(&self.queue);
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let publish =
            channel.basic_publish("".into(), dead.as_str().into(), options, &delivery.data, properties);
        let confirm = in_time("take a dead letter", publish).await?;
        match in_time("confirm a dead letter", confirm).await? {
            Confirmation::Ack(None) => Ok(()),
            _ => Err(Ended::Other(format!("a dead letter reached no queue `{dead}`; it is made again"))),
        }
    }
}

/// Waits for a message, and takes those that are there already with it.
async fn arrived(consumer: &mut Consumer) -> Result<Vec<Delivery>, Ended> {
    let mut deliveries = Vec::new();
    poll_fn(|cx| {
        while deliveries.len() < usize::from(PREFETCH) {
            match Pin::new(&mut *consumer).poll_next(cx) {
                Poll::Ready(Some(Ok(delivery))) => deliveries.push(delivery),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Ended::Other(
                        "the broker has ended the reading of the queue".to_owned(),
                    )));
                }
                Poll::Pending if deliveries.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(deliveries)
}
