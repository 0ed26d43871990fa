//! Alertmanager, API version 2.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Clock, CloudEvent, Timestamp};
use larnax_http::{ClientOptions, Url};

use crate::AlertError;
use crate::sinks::payload::{self, Alert};
use crate::sinks::post::Post;
use crate::sinks::{DeliveryError, LocalFuture, Sink};
use crate::told::Told;

/// How one Alertmanager is told. Each of several is a sink of its own, so that one that is down holds up nobody.
#[derive(Clone, Debug)]
pub struct AlertmanagerOptions {
    /// The sink's name.
    pub name: String,
    /// Where alerts are posted to.
    pub url: Url,
    /// How requests are made.
    pub http: ClientOptions,
    /// Labels for every alert that doesn't have them already.
    pub external_labels: BTreeMap<String, String>,
    /// The name of this agent: the `instance` label where the component has none.
    pub instance: String,
    /// How often an open alert is sent again. Alertmanager takes it for resolved after four times that.
    pub resend_every: Duration,
    /// The agent's own base URL; alerts link to the anomaly's page under it.
    pub evidence_url: Option<String>,
    /// Put into every alert.
    pub runbook_url: Option<String>,
    /// Whether the alert `LarnaxHeartbeat` fires all the time. Off by default: without a route for it, it pages.
    pub heartbeat: bool,
}

impl AlertmanagerOptions {
    /// For an Alertmanager with the base URL `url`, such as `http://127.0.0.1:9093`, with its prefix if it has one.
    /// Resent every minute, no heartbeat.
    pub fn new(name: &str, url: &str, instance: &str) -> Result<Self, AlertError> {
        let url = Url::parse(&format!("{}/api/v2/alerts", url.trim_end_matches('/')))
            .map_err(|error| AlertError::Client { url: name.to_owned(), reason: error.to_string() })?;
        Ok(Self {
            name: name.to_owned(),
            url,
            http: ClientOptions::default(),
            external_labels: BTreeMap::new(),
            instance: instance.to_owned(),
            resend_every: Duration::from_secs(60),
            evidence_url: None,
            runbook_url: None,
            heartbeat: false,
        })
    }
}

/// The sink. Only anomalies that were worth an alert are sent.
///
/// An anomaly that began and ended while Alertmanager could not be reached is sent as firing for four resend intervals,
/// marked as late: sent as resolved, Alertmanager would notify nobody, and the anomaly would be lost to its reader.
pub struct Alertmanager {
    options: AlertmanagerOptions,
    post: Post,
    clock: Rc<dyn Clock>,
    started: Timestamp,
    /// Anomalies or incidents that this Alertmanager was told to be firing.
    told: HashSet<u64>,
}

impl fmt::Debug for Alertmanager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alertmanager({} at {})", self.options.name, self.post.url())
    }
}

impl Alertmanager {
    /// Checks the options; connects to nobody yet.
    pub fn new(options: AlertmanagerOptions, clock: Rc<dyn Clock>) -> Result<Self, AlertError> {
        if options.resend_every < Duration::from_secs(1) {
            let found = format!("{:?}", options.resend_every);
            return Err(AlertError::Option { option: "resend_every", found, expected: "at least 1s" });
        }
        let post = Post::new(options.url.clone(), options.http.clone(), "application/json")?;
        Ok(Self { options, post, started: clock.now(), clock, told: HashSet::new() })
    }

    /// The latest event per anomaly, in order; an anomaly's events before it say nothing more.
    fn alerts<D: Told>(&self, events: &[CloudEvent<D>]) -> Vec<Alert> {
        let now = self.clock.now();
        let alerts = events.iter().enumerate().filter(|(_, event)| event.data.is_alerted());
        let latest = alerts.filter(|(i, event)| !events[i + 1..].iter().any(|later| same(event, later)));
        latest
            .map(|(i, event)| {
                let news = !self.told.contains(&event.data.subject())
                    && events[..i].iter().any(|earlier| same(event, earlier) && fires(earlier));
                payload::alert(&event.data, &self.options, now, !event.data.goes_on() && news)
            })
            .collect()
    }

    async fn post(&mut self, alerts: &[Alert]) -> Result<(), DeliveryError> {
        let body = serde_json::to_vec(alerts).map_err(|error| DeliveryError::refused(error.to_string()))?;
        self.post.send(&body).await
    }
}

fn same<D: Told>(a: &CloudEvent<D>, b: &CloudEvent<D>) -> bool {
    a.data.subject() == b.data.subject()
}

fn fires<D: Told>(event: &CloudEvent<D>) -> bool {
    event.data.is_alerted() && event.data.goes_on()
}

impl<D: Told> Sink<D> for Alertmanager {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn deliver<'a>(&'a mut self, events: &'a [CloudEvent<D>]) -> LocalFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            let alerts = self.alerts(events);
            if alerts.is_empty() {
                return Ok(());
            }
            self.post(&alerts).await?;
            for event in events {
                let id = event.data.subject();
                let _ = if fires(event) { self.told.insert(id) } else { self.told.remove(&id) };
            }
            Ok(())
        })
    }

    fn resend_every(&self) -> Option<Duration> {
        Some(self.options.resend_every)
    }

    fn heartbeat_every(&self) -> Option<Duration> {
        self.options.heartbeat.then_some(self.options.resend_every)
    }

    fn heartbeat(&mut self) -> LocalFuture<'_, Result<(), DeliveryError>> {
        let alert = payload::heartbeat(&self.options, self.started, self.clock.now());
        Box::pin(async move { self.post(&[alert]).await })
    }

    fn bytes_sent(&self) -> u64 {
        self.post.bytes_sent()
    }
}
