//! Tells the hub of the cluster.

use std::cell::RefCell;
use std::time::Duration;

use larnax_http::{Client, HeaderValue, Request, Url, header};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::Cluster;

/// How often it is looked whether there is something new.
const LOOK: Duration = Duration::from_secs(1);
/// How often all is told again where nothing is new,
const AGAIN: Duration = Duration::from_secs(600);
/// and how long the hub believes it without hearing it again.
const HOLDS: Duration = Duration::from_secs(1_500);
/// The most events at once.
const AT_ONCE: usize = 100;

/// Where the hub takes the topology, and events.
pub struct Told {
    /// `POST`, a delta.
    topology: Url,
    /// `POST`, a batch of CloudEvents.
    events: Url,
    client: Client,
}

impl Told {
    /// Tells the hub at `url`, such as `https://larnax-hub.larnax.svc:7677`, with a client that it lets in.
    ///
    /// # Errors
    /// When that is no URL.
    pub fn new(url: &str, client: Client) -> Result<Self, larnax_http::HttpError> {
        let url = url.trim_end_matches('/');
        let at = |path: &str| Url::parse(&format!("{url}/api/v1/{path}"));
        Ok(Self { topology: at("topology")?, events: at("events")?, client })
    }

    /// Tells what is new as it comes, until it is dropped. What the hub did not take is told again.
    pub(crate) async fn run(mut self, cluster: &RefCell<Cluster>) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut complained): (Option<Instant>, bool) = (None, false);
        loop {
            tick.tick().await;
            let is_due = told.is_none_or(|told| told.elapsed() >= AGAIN) || cluster.borrow().is_news();
            match self.tell(cluster, is_due).await {
                Ok(all) => {
                    complained = false;
                    told = if all { Some(Instant::now()) } else { told };
                }
                Err(problem) if !complained => {
                    tracing::warn!("the hub could not be told of the cluster: {problem}; it is tried again");
                    complained = true;
                }
                Err(_) => tokio::time::sleep(LOOK * 4).await,
            }
        }
    }

    /// Whether the topology was told.
    async fn tell(&mut self, cluster: &RefCell<Cluster>, is_due: bool) -> Result<bool, String> {
        let waiting: Vec<_> = cluster.borrow().rollouts().iter().take(AT_ONCE).cloned().collect();
        if !waiting.is_empty() {
            post(&mut self.client, &self.events, "application/cloudevents-batch+json", &waiting).await?;
            cluster.borrow_mut().has_told_rollouts(waiting.len());
        }
        let delta = if is_due { cluster.borrow_mut().topology(HOLDS) } else { None };
        let Some(delta) = delta else { return Ok(false) };
        post(&mut self.client, &self.topology, "application/json", &delta).await?;
        cluster.borrow_mut().has_told(delta);
        Ok(true)
    }
}

async fn post(
    client: &mut Client,
    url: &Url,
    content_type: &'static str,
    body: &impl Serialize,
) -> Result<(), String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    let mut answer = Vec::new();
    let request = Request::post(url, &body).with_headers(&headers);
    let response = client.send(request, &mut answer).await.map_err(|error| error.to_string())?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(format!("it answered {}: {}", response.status(), String::from_utf8_lossy(&answer)))
}
