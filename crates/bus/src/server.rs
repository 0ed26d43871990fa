//! The bus over HTTP, the side that has the log: pure of connections, so that any server can mount it.
//!
//! `GET /api/v1/events?after=SEQUENCE&epoch=EPOCH&limit=N&wait=20s` reads: `{"epoch": "…", "next": 17, "events": [{"sequence":
//! 17, "event": {…}}]}`. Without events it waits for some, up to `wait`. The next question has `after` set to `next` and
//! `epoch` as it came: where the log has begun another life, as after a restored backup, the answer has another epoch and
//! the oldest events.
//!
//! `POST /api/v1/events` publishes one event (`Content-Type: application/cloudevents+json`) or an array of them
//! (`application/cloudevents-batch+json`), all or none, and answers `{"new": 1, "last": 17}` once they are durable.
//!
//! Rejected for reading: an array of bare events, because a reader needs their sequences; a stream that never ends, because
//! proxies cut it at unknown places, while a question that waits can be asked again.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use larnax_core::{RawEvent, Timestamp};

use crate::cloudevents::{BATCH, EVENT, InvalidEvent, MAX_BATCH, parse_batch, parse_foreign};
use crate::{Batch, Bus, BusError, Cursor};

/// The one path.
pub const PATH: &str = "/api/v1/events";

/// The longest body that a server should read for it.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// How many events are read where no limit is given.
const LIMIT: usize = 100;
/// The longest that a question waits: proxies use to cut after 60 s of silence.
const MAX_WAIT: Duration = Duration::from_secs(50);
/// The longest epoch that is looked at.
const MAX_EPOCH_BYTES: usize = 64;

/// Answers a request to [`PATH`]. Who may ask is for the server to decide, and reading the body up to [`MAX_BODY_BYTES`].
/// `now` is the time of events that don't have one.
pub async fn answer(bus: &dyn Bus, head: &Parts, body: &[u8], now: Timestamp) -> Response<Full<Bytes>> {
    let result = match head.method {
        Method::GET => read(bus, head.uri.query().unwrap_or_default()).await,
        Method::POST => publish(bus, head, body, now).await,
        _ => Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, format!("{PATH} takes GET and POST"))),
    };
    let (status, json) = match result {
        Ok(json) => (StatusCode::OK, json),
        Err(Refusal(status, message)) => (status, serde_json::json!({ "error": message }).to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(json)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// A status, and what was found and expected.
struct Refusal(StatusCode, String);

impl From<BusError> for Refusal {
    fn from(error: BusError) -> Self {
        let status = match &error {
            BusError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            BusError::Refused(_) => StatusCode::BAD_REQUEST,
            BusError::Broken(_) | BusError::Options(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<InvalidEvent> for Refusal {
    fn from(error: InvalidEvent) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

async fn publish(bus: &dyn Bus, head: &Parts, body: &[u8], now: Timestamp) -> Result<String, Refusal> {
    if body.len() > MAX_BODY_BYTES {
        let message = format!("expected at most {MAX_BODY_BYTES} bytes");
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let given =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = || {
        std::str::from_utf8(body)
            .map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("expected JSON in UTF-8: {error}")))
    };
    let events: Vec<RawEvent> = match given.split(';').next().unwrap_or_default().trim() {
        media if media.eq_ignore_ascii_case(EVENT) => vec![parse_foreign(text()?, now)?],
        media if media.eq_ignore_ascii_case(BATCH) => parse_batch(text()?, now)?,
        _ => {
            let message = format!("`Content-Type` is `{given}`: expected {EVENT} or {BATCH}");
            return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    let appended = bus.publish(&events).await?;
    Ok(serde_json::json!({ "new": appended.new, "last": appended.last }).to_string())
}

async fn read(bus: &dyn Bus, query: &str) -> Result<String, Refusal> {
    let mut after = Cursor::default();
    let (mut limit, mut wait) = (LIMIT, Duration::ZERO);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let expected = match name.as_ref() {
            "after" => value.parse().map(|sequence| after.sequence = sequence).err().map(|_| "a sequence"),
            "epoch" if value.len() <= MAX_EPOCH_BYTES => {
                after.epoch = value.into_owned();
                continue;
            }
            "epoch" => Some("the epoch of an earlier answer"),
            "limit" => match value.parse() {
                Ok(number @ 1..=MAX_BATCH) => {
                    limit = number;
                    None
                }
                _ => Some("a number from 1 to 1000"),
            },
            "wait" => match seconds(&value) {
                Some(duration) => {
                    wait = duration.min(MAX_WAIT);
                    None
                }
                None => Some("a duration such as `20s` or `500ms`"),
            },
            _ => Some("`after`, `epoch`, `limit` or `wait`"),
        };
        if let Some(expected) = expected {
            let shown: String = value.chars().take(40).collect();
            let message = format!("?{name}={shown}: expected {expected}");
            return Err(Refusal(StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(written(&bus.read(&after, limit, wait).await?))
}

/// `20s` or `500ms`.
fn seconds(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

/// By hand, because the events are JSON already.
fn written(batch: &Batch) -> String {
    let epoch = serde_json::Value::from(batch.cursor.epoch.as_str());
    let mut text = format!("{{\"epoch\":{epoch},\"next\":{},\"events\":[", batch.cursor.sequence);
    for (at, logged) in batch.events.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        text.push_str(&format!("{comma}{{\"sequence\":{},\"event\":", logged.sequence));
        text.push_str(&logged.event.json);
        text.push('}');
    }
    text.push_str("]}");
    text
}
