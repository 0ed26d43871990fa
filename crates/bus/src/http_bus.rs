//! The bus from elsewhere, over HTTP: the paths of [`crate::server`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use larnax_core::Clock as _;
use larnax_core::{Appended, Logged, RawEvent, SystemClock};
use larnax_http::{Client, ClientOptions, HeaderValue, HttpError, Request, Response, Url, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::cloudevents::{self, MAX_BATCH, MAX_EVENT_BYTES};
use crate::server::PATH;
use crate::{Batch, Bus, BusError, Cursor, Reply};

/// How long one question waits for events.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How much of an answer's body stands in an error.
const SHOWN_ANSWER: usize = 300;
/// Connections that are kept while nobody uses them: one that publishes, and readers that come and go.
const KEPT: usize = 4;
/// A request carries events up to this many bytes, or one.
const REQUEST_BYTES: usize = 4 << 20;
/// The largest answer: a batch and the step beyond it.
const ANSWER_BYTES: usize = REQUEST_BYTES + 64 * MAX_EVENT_BYTES;

/// How a hub is reached.
#[derive(Clone, Debug)]
pub struct HttpBusOptions {
    /// The hub's base URL.
    pub url: Url,
    /// Token, TLS. The timeout is for requests that don't wait; the limit of bodies is the bus's own.
    pub http: ClientOptions,
    /// How long [`Bus::publish`] goes on trying while the hub is not available.
    pub give_up_after: Duration,
}

/// A bus on the log of a hub. Its connections are kept; each call under way has its own.
pub struct HttpBus {
    url: Url,
    http: ClientOptions,
    give_up_after: Duration,
    idle: Mutex<Vec<Client>>,
}

impl HttpBus {
    /// Checks the options; doesn't connect yet.
    pub fn new(options: HttpBusOptions) -> Result<Self, BusError> {
        let HttpBusOptions { url, mut http, give_up_after } = options;
        let wrong = |error: HttpError| BusError::Options(error.to_string());
        http.timeout += MAX_WAIT;
        http.max_body = ANSWER_BYTES;
        let first = Client::new(http.clone()).map_err(wrong)?;
        let url = url.join(PATH).map_err(wrong)?;
        Ok(Self { url, http, give_up_after, idle: Mutex::new(vec![first]) })
    }

    /// Sends a request on a connection of its own and reads its answer. A connection that fails, or whose future is dropped,
    /// is given up.
    async fn ask<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, BusError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = match kept {
            Some(client) => client,
            None => Client::new(self.http.clone()).map_err(|error| BusError::Options(error.to_string()))?,
        };
        let mut body = Vec::new();
        let answer = client.send(request, &mut body).await.map_err(unavailable)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(client);
        }
        drop(idle);
        judge(&self.url, &answer, &body)?;
        serde_json::from_slice(&body).map_err(|error| {
            BusError::Unavailable(format!("{}: the answer is not one of a bus: {error}", self.url))
        })
    }

    /// Publishes what one request carries, again and again until it arrived or the time is over.
    async fn publish_part(&self, events: &[RawEvent], until: Instant) -> Result<Appended, BusError> {
        let mut body =
            String::with_capacity(2 + events.iter().map(|event| event.json.len() + 1).sum::<usize>());
        for event in events {
            body.push(if body.is_empty() { '[' } else { ',' });
            body.push_str(&event.json);
        }
        body.push(']');
        let media = [(header::CONTENT_TYPE, HeaderValue::from_static(cloudevents::BATCH))];
        let mut backoff = Backoff::default();
        loop {
            let request = Request::post(&self.url, body.as_bytes()).with_headers(&media);
            match self.ask::<Taken>(request).await {
                Ok(Taken { new, last }) => return Ok(Appended { new, last }),
                Err(error) => {
                    let pause = backoff.pause();
                    if !error.is_temporary() || Instant::now() + pause >= until {
                        return Err(error);
                    }
                    tracing::debug!(%error, "events were not taken; trying again");
                    sleep(pause).await;
                }
            }
        }
    }
}

/// What publishing answers.
#[derive(Deserialize)]
struct Taken {
    new: usize,
    last: u64,
}

/// What reading answers.
#[derive(Deserialize)]
struct Read {
    epoch: String,
    next: u64,
    events: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    sequence: u64,
    event: Box<RawValue>,
}

impl Bus for HttpBus {
    fn publish<'a>(&'a self, events: &'a [RawEvent]) -> Reply<'a, Appended> {
        Box::pin(async move {
            let until = Instant::now() + self.give_up_after;
            let mut all = Appended::default();
            let mut rest = events;
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(part(rest));
                let Appended { new, last } = self.publish_part(part, until).await?;
                all = Appended { new: all.new + new, last };
                rest = behind;
            }
            Ok(all)
        })
    }

    fn read<'a>(&'a self, after: &'a Cursor, limit: usize, wait: Duration) -> Reply<'a, Batch> {
        Box::pin(async move {
            let wait = wait.min(MAX_WAIT).as_millis();
            let epoch: String = form_urlencoded::byte_serialize(after.epoch.as_bytes()).collect();
            let limit = limit.clamp(1, MAX_BATCH);
            let query = format!("{PATH}?after={}&epoch={epoch}&limit={limit}&wait={wait}ms", after.sequence);
            let url = self.url.join(&query).map_err(|error| BusError::Options(error.to_string()))?;
            let Read { epoch, next, events } = self.ask(Request::get(&url)).await?;
            let received = SystemClock.now();
            let mut read = Vec::with_capacity(events.len());
            for Entry { sequence, event } in events {
                match cloudevents::parse(event.get(), received) {
                    Ok(event) => read.push(Logged { sequence, event }),
                    // The hub took it, so it is newer than we are; waiting for it would hold up all that follow.
                    Err(error) => {
                        tracing::error!(sequence, %error, "an event of the hub can't be read: left out")
                    }
                }
            }
            Ok(Batch { events: read, cursor: Cursor { epoch, sequence: next } })
        })
    }
}

/// How many of the events go into one request.
fn part(events: &[RawEvent]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&RawEvent| {
        bytes += event.json.len() + 1;
        bytes <= REQUEST_BYTES
    };
    events.iter().take(MAX_BATCH).take_while(fits).count().max(1)
}

fn unavailable(error: HttpError) -> BusError {
    match error.is_config() {
        true => BusError::Options(error.to_string()),
        false => BusError::Unavailable(error.to_string()),
    }
}

/// 400, 413, 415 and 422 speak about what was sent. All others, wrong tokens and wrong paths among them, speak about the way
/// there, which a person can mend without losing events.
fn judge(url: &Url, answer: &Response, body: &[u8]) -> Result<(), BusError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(body.get(..SHOWN_ANSWER).unwrap_or(body));
    let shown = shown.trim().replace(|c: char| c.is_control(), " ");
    let message = format!("{url}: answered {status}, expected 200: {shown}");
    Err(match status.as_u16() {
        400 | 413 | 415 | 422 => BusError::Refused(message),
        _ => BusError::Unavailable(message),
    })
}
