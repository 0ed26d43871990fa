//! Connecting, again and again, and what must be there on the broker.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use lapin::auth::AuthProvider;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::uri::{AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, DefaultConnectionBuilder, ExchangeKind};
use larnax_core::LogError;
use larnax_http::Secret;
use tokio::time::{sleep, timeout};

use super::{BridgeStatus, RabbitOptions, dead_letter_queue};
use crate::BusError;
use crate::backoff::Backoff;

/// How long the broker may take to let us in, and to answer anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A peer that says nothing for twice this long is gone. RabbitMQ's own default of 60 s would leave a dead one unnoticed for
/// two minutes.
const HEARTBEAT_SECONDS: u16 = 10;
/// The most messages that the dead-letter queue keeps; beyond, the oldest go. Somebody who looks at it needs examples.
const DEAD_LETTERS: i32 = 10_000;

/// Why a session ended. The session is tried again whatever it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Broker(#[from] lapin::Error),
    #[error("{0}")]
    Log(#[from] BusError),
    #[error("{0}")]
    Cursor(#[from] LogError),
    #[error("{0}")]
    Other(String),
}

/// User and password, apart from the URL, which the library writes into its trace as it is.
#[derive(Clone)]
struct Credentials {
    user: String,
    password: Secret,
}

impl AuthProvider for Credentials {
    fn mechanism(&self) -> ShortString {
        "PLAIN".into()
    }

    /// RFC 4616.
    fn auth_starter(&self) -> Result<LongString, String> {
        Ok(format!("\0{}\0{}", self.user, self.password.expose()).into())
    }
}

/// A broker's address, checked.
pub(super) struct Broker {
    uri: AMQPUri,
    credentials: Credentials,
    options: RabbitOptions,
}

impl Broker {
    /// Checks the options.
    pub(super) fn new(options: RabbitOptions) -> Result<Self, BusError> {
        // The parser's words are not passed on: they may hold the password.
        let mut uri: AMQPUri = options.url.expose().parse().map_err(|_| {
            BusError::Options(
                "RabbitMQ's URL can't be read: expected amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…"
                    .to_owned(),
            )
        })?;
        let nobody = AMQPUserInfo { username: String::new(), password: String::new() };
        let AMQPUserInfo { username, password } = std::mem::replace(&mut uri.authority.userinfo, nobody);
        let credentials = Credentials { user: username, password: Secret::new(password) };
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        for name in [Some(&options.exchange), options.queue.as_ref(), Some(&uri.vhost)].into_iter().flatten()
        {
            if name.is_empty() || name.len() > 200 {
                return Err(BusError::Options(format!(
                    "`{name}` can't be the name of an exchange, queue or virtual host: expected 1 to 200 bytes"
                )));
            }
        }
        Ok(Self { uri, credentials, options })
    }

    pub(super) fn options(&self) -> &RabbitOptions {
        &self.options
    }

    /// Where it is, without user and password.
    pub(super) fn shown(&self) -> String {
        let authority = &self.uri.authority;
        format!("amqp://{}:{}/{}", authority.host, authority.port, self.uri.vhost)
    }

    async fn connect(&self) -> Result<Connection, Ended> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| Ended::Other(format!("the authorities' file {}: {error}", path.display())))
        };
        let cert_chain = self.options.ca_file.as_ref().map(read).transpose()?;
        let properties = ConnectionProperties::default()
            .with_connection_name("larnax".into())
            .with_auth_provider(self.credentials.clone());
        let builder = DefaultConnectionBuilder::new()?
            .with_uri(self.uri.clone())
            .with_properties(properties)
            .with_tls_config(OwnedTLSConfig { identity: None, cert_chain });
        let connecting = builder.connect();
        in_time("let us in", connecting).await
    }

    /// Makes the exchange and, where one is named, the queue with its dead-letter queue. All outlive broker and bridge.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), Ended> {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let exchange = self.options.exchange.as_str();
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let nothing = FieldTable::default;
        in_time(
            "make the exchange",
            channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, nothing()),
        )
        .await?;
        let Some(queue) = self.options.queue.as_deref() else { return Ok(()) };
        let mut arguments = FieldTable::default();
        // A virtual host may have another default. One active reader at a time keeps the order when two hubs read.
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        in_time("make the queue", channel.queue_declare(queue.into(), durable, arguments)).await?;
        let bind = channel.queue_bind(
            queue.into(),
            exchange.into(),
            "#".into(),
            QueueBindOptions::default(),
            nothing(),
        );
        in_time("bind the queue", bind).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(DEAD_LETTERS));
        let dead = dead_letter_queue(queue);
        in_time(
            "make the dead-letter queue",
            channel.queue_declare(dead.as_str().into(), durable, arguments),
        )
        .await?;
        Ok(())
    }
}

/// What a bridge does with a connection.
pub(super) trait Bridge: Sync {
    fn broker(&self) -> &Broker;

    fn status(&self) -> &BridgeStatus;

    /// Works until something goes wrong.
    fn session(&self, connection: &Connection) -> impl Future<Output = Result<Infallible, Ended>> + Send;
}

/// Runs sessions for ever, with pauses that grow as long as none of them gets anything done.
pub(super) async fn keep(bridge: &impl Bridge) -> Infallible {
    let (broker, status) = (bridge.broker(), bridge.status());
    let mut backoff = Backoff::default();
    loop {
        let before = status.health();
        let Err(error) = attempt(bridge).await;
        let message = format!("{}: {error}", broker.shown());
        if before.last_error.as_ref() != Some(&message) {
            tracing::warn!("{message}; connecting again");
        }
        let mut after = before.clone();
        status.note(|health| {
            health.connected = false;
            health.last_error = Some(message);
            after = health.clone();
        });
        if (after.events, after.dead_letters) != (before.events, before.dead_letters) {
            backoff = Backoff::default();
        }
        sleep(backoff.pause()).await;
    }
}

async fn attempt(bridge: &impl Bridge) -> Result<Infallible, Ended> {
    let (broker, status) = (bridge.broker(), bridge.status());
    let connection = broker.connect().await?;
    status.note(|health| {
        if health.last_error.take().is_some() {
            tracing::info!(broker = broker.shown(), "connected to RabbitMQ again");
        }
        health.connections += 1;
        health.connected = true;
    });
    bridge.session(&connection).await
}

/// Waits for the broker, with an end.
pub(super) async fn in_time<T>(what: &str, call: impl Future<Output = lapin::Result<T>>) -> Result<T, Ended> {
    match timeout(PATIENCE, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Ended::Other(format!("the broker did not {what} within {} s", PATIENCE.as_secs()))),
    }
}
