//! A webhook that takes CloudEvents 1.0 in structured JSON mode (CloudEvents HTTP protocol binding 1.0.2, sections 3.2
//! and 3.3).

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::event::HEARTBEAT;
use larnax_core::{Clock, CloudEvent};
use larnax_http::{ClientOptions, HttpError, Url};

use crate::AlertError;
use crate::sinks::post::Post;
use crate::sinks::{DeliveryError, LocalFuture, Sink};
use crate::told::Told;

/// How a webhook is told.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// The sink's name.
    pub name: String,
    /// Where to post to. Its path is never shown: with many services it is the secret.
    pub url: Url,
    /// How requests are made, auth and headers included.
    pub http: ClientOptions,
    /// Several events in one request (`application/cloudevents-batch+json`) or one each.
    pub batch: bool,
    /// Also anomalies that were only recorded.
    pub recorded: bool,
    /// Which agent speaks, for heartbeats: `/larnax/edge/HOSTNAME`.
    pub source: String,
    /// How often a heartbeat event is sent, if at all.
    pub heartbeat_every: Option<Duration>,
}

impl WebhookOptions {
    /// One alerted event per request, no heartbeat.
    pub fn new(name: &str, url: &str, source: &str) -> Result<Self, AlertError> {
        // Not the client's own message, which shows the path.
        let url = Url::parse(url).map_err(|error| AlertError::Client {
            url: name.to_owned(),
            reason: match error {
                HttpError::Url { reason, .. } => format!("its URL can't be used: {reason}"),
                _ => "its URL can't be used".to_owned(),
            },
        })?;
        Ok(Self {
            name: name.to_owned(),
            url: url.with_secret_path(),
            http: ClientOptions::default(),
            batch: false,
            recorded: false,
            source: source.to_owned(),
            heartbeat_every: None,
        })
    }
}

/// The sink.
pub struct Webhook {
    options: WebhookOptions,
    post: Post,
    clock: Rc<dyn Clock>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({} at {})", self.options.name, self.post.url())
    }
}

impl Webhook {
    /// Checks the options; connects to nobody yet.
    pub fn new(options: WebhookOptions, clock: Rc<dyn Clock>) -> Result<Self, AlertError> {
        let content_type = match options.batch {
            true => "application/cloudevents-batch+json; charset=UTF-8",
            false => "application/cloudevents+json; charset=UTF-8",
        };
        let post = Post::new(options.url.clone(), options.http.clone(), content_type)?;
        Ok(Self { options, post, clock })
    }

    async fn send<T: serde::Serialize>(&mut self, events: &[T]) -> Result<(), DeliveryError> {
        let failed = |error: serde_json::Error| DeliveryError::refused(error.to_string());
        if self.options.batch {
            let body = serde_json::to_vec(events).map_err(failed)?;
            return self.post.send(&body).await;
        }
        for event in events {
            let body = serde_json::to_vec(event).map_err(failed)?;
            self.post.send(&body).await?;
        }
        Ok(())
    }
}

impl<D: Told> Sink<D> for Webhook {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn deliver<'a>(&'a mut self, events: &'a [CloudEvent<D>]) -> LocalFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            let recorded = self.options.recorded;
            let wanted: Vec<&CloudEvent<D>> =
                events.iter().filter(|event| recorded || event.data.is_alerted()).collect();
            if wanted.is_empty() { Ok(()) } else { self.send(&wanted).await }
        })
    }

    fn max_batch(&self) -> usize {
        if self.options.batch { 64 } else { 1 }
    }

    fn heartbeat_every(&self) -> Option<Duration> {
        self.options.heartbeat_every
    }

    fn heartbeat(&mut self) -> LocalFuture<'_, Result<(), DeliveryError>> {
        let now = self.clock.now();
        let event = serde_json::json!({
            "specversion": "1.0",
            "id": format!("{}-{}", self.options.source, now.millis()),
            "source": self.options.source,
            "type": HEARTBEAT,
            "time": now,
        });
        Box::pin(async move { self.send(&[event]).await })
    }

    fn bytes_sent(&self) -> u64 {
        self.post.bytes_sent()
    }
}
