//! Somebody else at the broker: not by Larnax's own bridge, whose faults it would share.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use tokio::runtime::Runtime;

const MINE: &str = "test.mine";

pub(crate) struct Amqp {
    runtime: Runtime,
    channel: Channel,
    heard: Vec<Value>,
    _connection: Connection,
}

impl Amqp {
    pub(crate) fn connect(url: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            (connection, channel)
        });
        Self { runtime, channel, heard: Vec::new(), _connection: connection }
    }

    /// Hears from now on the events whose routing key fits.
    pub(crate) fn listen(&self, key: &str) {
        self.runtime.block_on(async {
            let declared = self.channel.queue_declare(MINE.into(), Default::default(), Default::default());
            declared.await.unwrap();
            // The exchange is made by the hub that acts, a moment after it has begun to.
            let made = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
            let exchange = "larnax.events";
            let kind = lapin::ExchangeKind::Topic;
            self.channel.exchange_declare(exchange.into(), kind, made, Default::default()).await.unwrap();
            let bound = self.channel.queue_bind(
                MINE.into(),
                exchange.into(),
                key.into(),
                Default::default(),
                Default::default(),
            );
            bound.await.unwrap();
        });
    }

    /// All that was heard so far.
    pub(crate) fn heard(&mut self) -> &[Value] {
        let get = BasicGetOptions::default();
        while let Some(got) = self.runtime.block_on(self.channel.basic_get(MINE.into(), get)).unwrap() {
            self.runtime.block_on(got.delivery.ack(BasicAckOptions::default())).unwrap();
            self.heard.push(serde_json::from_slice(&got.delivery.data).unwrap());
        }
        &self.heard
    }

    /// Sends an event to an exchange, and waits until a queue has it.
    pub(crate) fn publish(&self, exchange: &str, event: &Value) {
        let body = event.to_string();
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sending = async {
            let sent = self.channel.basic_publish(
                exchange.into(),
                "any".into(),
                options,
                body.as_bytes(),
                properties,
            );
            sent.await.unwrap().await.unwrap()
        };
        let confirmed =
            self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), sending).await });
        assert_eq!(confirmed.unwrap(), Confirmation::Ack(None));
    }
}
