//! Which path answers what.

use larnax_core::ComponentId;
use larnax_serve::answer::{Answer, Query, error, json, not_allowed, text};
use larnax_serve::hyper::header;
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::hyper::{Method, StatusCode};
use serde::Serialize;

use super::api::{Declaration, DeclarationReport};
use super::{Answers, Pages, metrics};
use crate::agent::Agent;
use crate::report;

/// The OpenAPI document, generated from the types of [`super::api`]; a test keeps it in step.
const OPENAPI: &str = include_str!("../../openapi.json");

/// Whether a path of `/api/` is the agent's own.
pub(super) fn is_own(path: &str) -> bool {
    const OWN: [&str; 8] =
        ["openapi.json", "status", "components", "metrics", "history", "explain", "anomalies", "normal"];
    path.strip_prefix("/api/v1/").is_some_and(|name| OWN.contains(&name))
}

/// Answers a request that was let in.
pub(super) fn answer(head: &Parts, body: &[u8], answers: &Answers) -> Answer {
    let Answers { agent, pages, .. } = answers;
    let path = head.uri.path();
    let query = Query(head.uri.query().unwrap_or_default());
    match (&head.method, path) {
        (&Method::GET | &Method::HEAD, _) => get(path, head, &query, *pages, &agent.borrow()),
        (&Method::POST, "/-/reload") => {
            agent.borrow().request_reload();
            text(StatusCode::ACCEPTED, "text/plain; charset=utf-8", "reloading; the log says how it went\n")
        }
        (&Method::POST, "/api/v1/normal") => declare_normal(body, &mut agent.borrow_mut()),
        (method, _) => not_allowed(method, path, "GET, HEAD"),
    }
}

fn get(path: &str, head: &Parts, query: &Query<'_>, pages: Option<Pages>, agent: &Agent) -> Answer {
    const PLAIN: &str = "text/plain; charset=utf-8";
    match path {
        "/-/healthy" => text(StatusCode::OK, PLAIN, "healthy\n"),
        "/-/ready" if agent.is_ready() => text(StatusCode::OK, PLAIN, "ready\n"),
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "no source has given a sample yet\n"),
        "/metrics" => {
            let accept = head.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            text(StatusCode::OK, larnax_serve::metrics::content_type(accept), metrics::render(agent))
        }
        "/api/v1/openapi.json" => text(StatusCode::OK, "application/json", OPENAPI),
        "/api/v1/status" => json(&report::status(agent)),
        "/api/v1/components" => json(&report::components(agent)),
        "/api/v1/metrics" => with_component(query, |id| report::metrics(agent, id)),
        "/api/v1/history" => with_component(query, |id| report::history(agent, id, &query.all("metric"))),
        "/api/v1/explain" => with_component(query, |id| report::explain(agent, id)),
        "/api/v1/anomalies" => anomalies(query, agent),
        "/-/reload" | "/api/v1/normal" => not_allowed(&head.method, path, "POST"),
        _ => match pages.and_then(|pages| pages(path)) {
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
