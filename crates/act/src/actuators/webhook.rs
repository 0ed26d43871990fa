//! Asks somebody else to do it.

use larnax_http::{Client, ClientOptions, HeaderName, HeaderValue, HttpError, Phase, Request, Url, header};
use larnax_spec::WebhookAction;
use serde_json::json;
use tokio::time::Instant;

use crate::text::shorten;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// draft-ietf-httpapi-idempotency-key-header: the receiver does what has the same key once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// So much of an answer is shown.
const SHOWN: usize = 400;

/// A POST request with `wanted`, `action`, `component`, `key` and `plan` in JSON.
pub struct Webhook {
    url: Url,
    options: ClientOptions,
    can_undo: bool,
}

impl Webhook {
    /// As the config says.
    pub fn new(spec: &WebhookAction) -> Result<Self, ActError> {
        let url = spec.to.url.as_ref().ok_or_else(|| ActError::cannot("has a webhook without a URL"))?;
        let url = Url::parse(url.as_str()).map_err(|problem| ActError::cannot(problem.to_string()))?;
        Ok(Self { url, options: larnax_notify::client::options(&spec.to), can_undo: spec.can_undo })
    }

    fn client(&self, task: &Task) -> Result<Client, HttpError> {
        let left = task.deadline.duration_since(Instant::now());
        // A client of its own for each request: on a kept connection a request may be sent twice.
        let mut client =
            Client::new(ClientOptions { timeout: self.options.timeout.min(left), ..self.options.clone() })?;
        client.check_files(&self.url)?;
        Ok(client)
    }

    async fn post(&self, task: &Task) -> Result<String, Failed> {
        let mut client = self.client(task).map_err(|problem| Failed::not_done(problem.to_string()))?;
        let body = json!({
            "wanted": task.wanted,
            "action": task.action,
            "component": task.component,
            "key": task.key,
            "plan": task.plan,
        });
        let body = body.to_string();
        let key = HeaderValue::try_from(task.key.as_str())
            .map_err(|problem| Failed::not_done(problem.to_string()))?;
        let headers = [(header::CONTENT_TYPE, JSON), (IDEMPOTENCY_KEY, key)];
        let mut answer = Vec::new();
        let request = Request::post(&self.url, body.as_bytes()).with_headers(&headers);
        let response = client.send(request, &mut answer).await.map_err(|problem| failed(&problem))?;
        let status = response.status();
        let said = shorten(String::from_utf8_lossy(&answer).trim(), SHOWN);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!("{} answered {}{said}", self.url, status.as_u16());
        match status.as_u16() {
            200..=299 => Ok(message),
            // It waited for the rest of the request in vain: who knows what it did with the first part.
            408 => Err(Failed::unsure(message)),
            300..=499 => Err(Failed::not_done(message)),
            _ => Err(Failed::unsure(message)),
        }
    }
}

/// A request that was never sent changed nothing.
fn failed(problem: &HttpError) -> Failed {
    let message = problem.to_string();
    match problem {
        HttpError::Dns { .. } | HttpError::Connect { .. } | HttpError::Tls { .. } => {
            Failed::not_done(message)
        }
        HttpError::Timeout { phase: Phase::Resolving | Phase::Connecting | Phase::Handshaking, .. } => {
            Failed::not_done(message)
        }
        problem if problem.is_config() => Failed::not_done(message),
        _ => Failed::unsure(message),
    }
}

impl Actuator for Webhook {
    fn can_undo(&self) -> bool {
        self.can_undo
    }

    fn describe(&self, _task: &Task, _held: &Held) -> String {
        format!("would send a request to {}", self.url)
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            self.client(task).map_err(|problem| ActError::cannot(problem.to_string()))?;
            Ok(json!({}))
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.post(task))
    }

    fn undo<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.post(task))
    }

    fn settle<'a>(&'a self, _task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move { Settled::unknown(format!("only {} knows whether it did it", self.url)) })
    }
}
