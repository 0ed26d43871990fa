//! The suite on the way over a real RabbitMQ: log → bridge → exchange → queue → bridge → log; and what only it does.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use larnax_bus::rabbitmq::{BridgeStatus, Inward, Outward, RabbitOptions, dead_letter_queue};
use larnax_bus::{Bus, Cursor, LocalBus};
use larnax_http::Secret;
use larnax_test_peers::{Peer, Peers, RabbitMq};
use support::events::{event, events};
use support::file_log::{FileCursors, FileLog};
use support::suite::{Bed, every_case};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long something may take to happen. Only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(240);

/// One side: a log with a bridge.
struct Side {
    bus: Arc<dyn Bus>,
    status: BridgeStatus,
    bridge: JoinHandle<()>,
}

impl Side {
    fn outward(folder: &TempDir, options: RabbitOptions) -> Side {
        let bus = bus(folder, "outward");
        let cursors = Arc::new(FileCursors(folder.path().to_owned()));
        let outward = Outward::new(options, Arc::clone(&bus), cursors, "rabbitmq").unwrap();
        Side { bus, status: outward.status(), bridge: tokio::spawn(outward.run()) }
    }

    fn inward(folder: &TempDir, options: RabbitOptions) -> Side {
        let bus = bus(folder, "inward");
        let inward = Inward::new(options, Arc::clone(&bus)).unwrap();
        Side { bus, status: inward.status(), bridge: tokio::spawn(inward.run()) }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.bridge.abort();
    }
}

fn bus(folder: &TempDir, name: &str) -> Arc<dyn Bus> {
    Arc::new(LocalBus::new(Arc::new(FileLog::open(&folder.path().join(name)))))
}

/// Names of its own on a broker that others use too.
fn options(broker: &RabbitMq, folder: &TempDir) -> RabbitOptions {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    RabbitOptions {
        exchange: format!("{name}.events"),
        queue: Some(format!("{name}.hub")),
        ..RabbitOptions::new(Secret::new(broker.url()))
    }
}

struct RabbitBed<'a> {
    broker: &'a RefCell<RabbitMq>,
    folder: TempDir,
    outward: Side,
    inward: Side,
}

impl<'a> RabbitBed<'a> {
    fn start(broker: &'a RefCell<RabbitMq>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&broker.borrow(), &folder);
        let (outward, inward) = (Side::outward(&folder, options.clone()), Side::inward(&folder, options));
        Self { broker, folder, outward, inward }
    }

    fn options(&self) -> RabbitOptions {
        options(&self.broker.borrow(), &self.folder)
    }
}

impl Bed for RabbitBed<'_> {
    fn publishing(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.outward.bus)
    }

    fn consuming(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.inward.bus)
    }

    async fn restart_publishing(&mut self) {
        self.outward.bridge.abort();
        self.outward = Side::outward(&self.folder, self.options());
    }

    async fn restart_consuming(&mut self) {
        self.inward.bridge.abort();
        self.inward = Side::inward(&self.folder, self.options());
    }

    async fn break_middle(&mut self) {
        self.broker.borrow_mut().stop();
    }

    async fn mend_middle(&mut self) {
        self.broker.borrow_mut().start_again();
    }
}

/// One test, because a broker takes four seconds of processor time to start and the suite breaks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_over_rabbitmq_and_so_does_what_only_it_does() {
    let Some(peers) = Peers::for_test(&[Peer::RabbitMq]) else { return };
    let broker = RabbitMq::start(&peers);
    a_wrong_password_is_tried_again_and_shown_to_nobody(&broker).await;
    foreign_messages_go_to_the_dead_letters_and_events_reach_who_binds_for_them(&broker).await;
    let broker = RefCell::new(broker);
    every_case(async || RabbitBed::start(&broker)).await;
}

async fn channel(broker: &RabbitMq) -> (Connection, Channel) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

async fn foreign_messages_go_to_the_dead_letters_and_events_reach_who_binds_for_them(broker: &RabbitMq) {
    let folder = tempfile::tempdir().unwrap();
    let options = options(broker, &folder);
    let queue = options.queue.clone().unwrap();
    let inward = Side::inward(&folder, options.clone());
    eventually("the bridge", async || inward.status.health().connected).await;
    let (_connection, channel) = channel(broker).await;

    // Into the queue: an event, and what is none.
    let (good, dead) = (event("a", 0), dead_letter_queue(&queue));
    for body in [b"hello".as_slice(), b"\xff", good.json.as_bytes(), b"{}"] {
        let publish = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_message_id("seven".into());
        eventually("the queue", async || {
            let key = queue.as_str().into();
            let sent =
                channel.basic_publish("".into(), key, publish, body, properties.clone()).await.unwrap();
            sent.await.unwrap() == lapin::Confirmation::Ack(None)
        })
        .await;
    }
    eventually("three dead letters", async || inward.status.health().dead_letters == 3).await;
    let log = inward.bus.read(&Cursor::default(), 10, Duration::ZERO).await.unwrap();
    assert_eq!(log.events.len(), 1);
    assert_eq!(log.events[0].event, good);
    for (body, reason) in [
        (b"hello".as_slice(), "expected a JSON object"),
        (b"\xff", "expected UTF-8"),
        (b"{}", "`specversion` is missing"),
    ] {
        let get = channel.basic_get(dead.as_str().into(), BasicGetOptions::default());
        let letter = get.await.unwrap().unwrap().delivery;
        assert_eq!(letter.data, body);
        assert_eq!(letter.properties.message_id().as_ref().unwrap().as_str(), "seven");
        let headers = letter.properties.headers().clone().unwrap();
        let Some(AMQPValue::LongString(why)) = headers.inner().get("larnax-reason") else {
            panic!("{headers:?}")
        };
        assert!(String::from_utf8_lossy(why.as_bytes()).contains(reason), "{why}");
        letter.ack(BasicAckOptions::default()).await.unwrap();
    }
    drop(inward);

    // Out of the exchange: what was asked for.
    let mine = format!("{queue}.mine");
    let outward = Side::outward(&folder, options.clone());
    eventually("the exchange", async || outward.status.health().connected).await;
    let bound = async || {
        let declared =
            channel.queue_declare(mine.as_str().into(), Default::default(), Default::default()).await;
        let exchange = options.exchange.as_str().into();
        let key = "io.larnax.anomaly.*.v1.service.#".into();
        declared.is_ok()
            && channel
                .queue_bind(mine.as_str().into(), exchange, key, Default::default(), Default::default())
                .await
                .is_ok()
    };
    eventually("the binding", bound).await;
    outward.bus.publish(&events(1, 2)).await.unwrap();
    eventually("both", async || outward.status.health().events == 2).await;
    let got =
        channel.basic_get(mine.as_str().into(), BasicGetOptions::default()).await.unwrap().unwrap().delivery;
    assert_eq!(got.data, events(1, 1)[0].json.as_bytes());
    assert_eq!(got.routing_key.as_str(), "io.larnax.anomaly.updated.v1.service.shop");
    assert_eq!(got.properties.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
    assert_eq!(got.properties.delivery_mode(), &Some(2));
}

async fn a_wrong_password_is_tried_again_and_shown_to_nobody(broker: &RabbitMq) {
    let folder = tempfile::tempdir().unwrap();
    let url = Secret::new(broker.url().replace("guest:guest", "guest:wrong-secret"));
    let outward = Side::outward(&folder, RabbitOptions { url, ..options(broker, &folder) });
    eventually("the refusal", async || outward.status.health().last_error.is_some()).await;
    let health = outward.status.health();
    let message = health.last_error.clone().unwrap();
    assert!(
        message.contains("ACCESS_REFUSED") && message.contains(&broker.address().to_string()),
        "{message}"
    );
    assert!(!format!("{health:?}").contains("wrong-secret"), "{health:?}");
}

#[test]
fn options_that_can_not_be_are_refused_without_showing_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |options| Inward::new(options, bus(&folder, "log")).err().unwrap().to_string();
    for url in ["amqp://guest:hush@[", "http://guest:hush@host/", "hush"] {
        let message =
            refused(RabbitOptions { queue: Some("q".to_owned()), ..RabbitOptions::new(Secret::new(url)) });
        assert!(message.contains("expected amqp://") && !message.contains("hush"), "{message}");
    }
    let options = RabbitOptions::new(Secret::new("amqp://guest:hush@127.0.0.1:5672/%2f"));
    assert!(refused(options.clone()).contains("no queue is named"));
    let long = RabbitOptions { queue: Some("q".repeat(201)), ..options };
    assert!(!format!("{long:?}").contains("hush"));
    assert!(refused(long).contains("expected 1 to 200 bytes"));
}
