//! Which path answers what.

use std::cell::RefCell;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use larnax_core::ComponentId;

use super::api::{Declaration, DeclarationReport, ErrorReport};
use super::{ServerOptions, metrics};
use crate::agent::Agent;
use crate::report;

/// The OpenAPI document, generated from the types of [`super::api`]; a test keeps it in step.
const OPENAPI: &str = include_str!("../../openapi.json");

type Answer = Response<Full<Bytes>>;

/// Answers a request that was let in.
pub(super) fn answer(
    head: &Parts,
    body: &[u8],
    options: &ServerOptions,
    agent: &Rc<RefCell<Agent>>,
) -> Answer {
    let path = head.uri.path();
    let query = Query(head.uri.query().unwrap_or_default());
    match (&head.method, path) {
        (&Method::GET | &Method::HEAD, _) => get(path, head, &query, options, &agent.borrow()),
        (&Method::POST, "/-/reload") => {
            agent.borrow().request_reload();
            text(StatusCode::ACCEPTED, "text/plain; charset=utf-8", "reloading; the log says how it went\n")
        }
        (&Method::POST, "/api/v1/normal") => declare_normal(body, &mut agent.borrow_mut()),
        (method, _) => not_allowed(method, path, "GET, HEAD"),
    }
}

fn get(path: &str, head: &Parts, query: &Query<'_>, options: &ServerOptions, agent: &Agent) -> Answer {
    const PLAIN: &str = "text/plain; charset=utf-8";
    match path {
        "/-/healthy" => text(StatusCode::OK, PLAIN, "healthy\n"),
        "/-/ready" if agent.is_ready() => text(StatusCode::OK, PLAIN, "ready\n"),
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "no source has given a sample yet\n"),
        "/metrics" => {
            let accept = head.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            text(StatusCode::OK, metrics::content_type(accept), metrics::render(agent))
        }
        "/api/v1/openapi.json" => text(StatusCode::OK, "application/json", OPENAPI),
        "/api/v1/status" => json(&report::status(agent)),
        "/api/v1/components" => json(&report::components(agent)),
        "/api/v1/metrics" => with_component(query, |id| report::metrics(agent, id)),
        "/api/v1/history" => with_component(query, |id| report::history(agent, id, &query.all("metric"))),
        "/api/v1/explain" => with_component(query, |id| report::explain(agent, id)),
        "/api/v1/anomalies" => anomalies(query, agent),
        "/-/reload" | "/api/v1/normal" => not_allowed(&head.method, path, "POST"),
        _ => match options.pages.and_then(|pages| pages(path)) {
            Some(page) => text(StatusCode::OK, page.content_type, page.bytes),
            None => {
                error(StatusCode::NOT_FOUND, format!("there is nothing at {path}; see /api/v1/openapi.json"))
            }
        },
    }
}

fn anomalies(query: &Query<'_>, agent: &Agent) -> Answer {
    let open_only = match query.first("state").as_deref() {
        None => false,
        Some("open") => true,
        Some(other) => {
            return error(
                StatusCode::BAD_REQUEST,
                format!("?state={other}: expected `open`, or nothing for all"),
            );
        }
    };
    match query.first("evidence").as_deref() {
        None => json(&report::anomalies(agent, open_only, false)),
        Some("true") => json(&report::anomalies(agent, open_only, true)),
        Some(other) => {
            error(StatusCode::BAD_REQUEST, format!("?evidence={other}: expected `true`, or nothing for none"))
        }
    }
}

/// Answers about the component that the query names.
fn with_component<T: Serialize>(query: &Query<'_>, answer: impl FnOnce(&ComponentId) -> Option<T>) -> Answer {
    let named = query.first("component").unwrap_or_default();
    match named.parse::<ComponentId>() {
        Err(problem) => error(StatusCode::BAD_REQUEST, format!("?component={named}: {problem}")),
        Ok(id) => match answer(&id) {
            Some(found) => json(&found),
            None => error(
                StatusCode::NOT_FOUND,
                format!("no component `{id}` here, or this agent doesn't keep that; see /api/v1/components"),
            ),
        },
    }
}

/// `POST /api/v1/normal` with `{"anomaly": "ID"}`: a person says that this is normal.
fn declare_normal(body: &[u8], agent: &mut Agent) -> Answer {
    match serde_json::from_slice::<Declaration>(body) {
        Err(problem) => {
            error(StatusCode::BAD_REQUEST, format!("expected {{\"anomaly\": \"ID\"}}: {problem}"))
        }
        Ok(Declaration { anomaly }) if agent.declare_normal(anomaly) => {
            json(&DeclarationReport { anomaly, normal: true })
        }
        Ok(Declaration { anomaly }) => error(
            StatusCode::NOT_FOUND,
            format!("anomaly {anomaly} is not open; see /api/v1/anomalies?state=open"),
        ),
    }
}

/// An error as JSON.
pub(super) fn error(status: StatusCode, message: String) -> Answer {
    let body = serde_json::to_vec(&ErrorReport { error: message }).unwrap_or_default();
    text(status, "application/json", body)
}

fn not_allowed(method: &Method, path: &str, allowed: &'static str) -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, format!("{method} {path}: expected {allowed}"));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => text(StatusCode::OK, "application/json", body),
        Err(problem) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer can't be written: {problem}"))
        }
    }
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The query of a URL: `a=1&b=two%20words`.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn all(&self, key: &str) -> Vec<String> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(|(k, _)| k == key)
            .map(|(_, v)| v.into_owned())
            .collect()
    }

    fn first(&self, key: &str) -> Option<String> {
        self.all(key).into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_may_name_a_key_more_than_once() {
        let query = Query("component=node%2Flocal%2Fa&metric=cpu%7Bx%3D%221%22%7D&metric=b+c");
        assert_eq!(query.first("component").unwrap(), "node/local/a");
        assert_eq!(query.all("metric"), ["cpu{x=\"1\"}", "b c"]);
        assert_eq!(query.first("none"), None);
    }
}
