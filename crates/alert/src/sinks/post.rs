//! One place to post to, and what its answers mean.

use larnax_http::{Client, ClientOptions, HeaderName, HeaderValue, Request, Url, header};

use crate::AlertError;
use crate::sinks::DeliveryError;

/// How much of an answer's body stands in an error.
const SHOWN_ANSWER: usize = 300;
/// An answer to a post has a few bytes; more is not read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A client with its one URL.
pub(super) struct Post {
    client: Client,
    url: Url,
    content_type: [(HeaderName, HeaderValue); 1],
    answer: Vec<u8>,
}

impl Post {
    pub(super) fn new(
        url: Url,
        mut http: ClientOptions,
        content_type: &'static str,
    ) -> Result<Self, AlertError> {
        http.max_body = http.max_body.min(MAX_ANSWER_BYTES);
        let client = Client::new(http)
            .map_err(|error| AlertError::Client { url: url.to_string(), reason: error.to_string() })?;
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Ok(Self { client, url, content_type, answer: Vec::new() })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.client.traffic().sent
    }

    /// Posts and judges the answer.
    ///
    /// 400, 413, 415 and 422 speak about what was sent: the same again is useless. All other failures, wrong credentials
    /// and wrong paths among them, speak about the way there, and a person can mend it without losing events.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<(), DeliveryError> {
        let request = Request::post(&self.url, body).with_headers(&self.content_type);
        let response = match self.client.send(request, &mut self.answer).await {
            Ok(response) => response,
            // The status did arrive, but the body was endless: whether it was taken is unknown.
            Err(error) => return Err(DeliveryError::retryable(error.to_string())),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&self.answer[..self.answer.len().min(SHOWN_ANSWER)]);
        let shown = shown.trim().replace(|c: char| c.is_control(), " ");
        let message = format!("{}: answered {status}, expected 2xx: {shown}", self.url);
        Err(match status.as_u16() {
            400 | 413 | 415 | 422 => DeliveryError::refused(message),
            _ => DeliveryError::retryable(message),
        })
    }
}
