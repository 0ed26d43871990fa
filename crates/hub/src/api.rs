//! What a hub answers.

mod plans;

use std::rc::Rc;

use larnax_core::{Incident, IncidentId, TopologyDelta, TopologySource};
use larnax_serve::answer::{Answer, Query, error, json, not_allowed, text};
use larnax_serve::hyper::body::Bytes;
use larnax_serve::hyper::header::{self, HeaderValue};
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::hyper::{Method, StatusCode};
use larnax_serve::{Caller, Handler, LocalFuture, Page, Stream};
use larnax_store::IncidentQuery;

use crate::hub::{Hub, HubError};
use crate::metrics;

/// The description of the API; `cargo xtask generate` writes it.
const OPENAPI: &str = include_str!("../openapi.json");
/// Where the topology is asked for, and told by a platform.
const TOPOLOGY: &str = "/api/v1/topology";
/// The longest that a platform has to say, in bytes: 50,000 pods on their nodes.
const MAX_TOPOLOGY: usize = 8 << 20;
/// Incidents of one page of the list where nothing else is asked for.
const PAGE: usize = 100;

impl Handler for Hub {
    fn answer<'a>(&'a self, head: &'a Parts, body: Bytes) -> LocalFuture<'a, Answer> {
        Box::pin(async move {
            let path = head.uri.path();
            let query = Query(head.uri.query().unwrap_or_default());
            if path == larnax_bus::server::PATH {
                return larnax_bus::server::answer(self.bus.as_ref(), head, &body, self.now()).await;
            }
            if let Some(wish) = plans::Wish::of(path) {
                return match head.method {
                    Method::POST => self.wish(wish, &body).await,
                    _ => not_allowed(&head.method, path, "POST"),
                };
            }
            if (path, &head.method) == (TOPOLOGY, &Method::POST) {
                return self.take_topology(&body).await;
            }
            if !matches!(head.method, Method::GET | Method::HEAD) {
                let allowed = if path == TOPOLOGY { "GET, HEAD, POST" } else { "GET, HEAD" };
                return not_allowed(&head.method, path, allowed);
            }
            match path {
                "/-/healthy" => text(StatusCode::OK, "text/plain; charset=utf-8", "healthy\n"),
                "/-/ready" => text(StatusCode::OK, "text/plain; charset=utf-8", "ready\n"),
                "/metrics" => {
                    let accept = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
                    let content_type = larnax_serve::metrics::content_type(accept.unwrap_or_default());
                    text(StatusCode::OK, content_type, metrics::render(&self.report()))
                }
                "/api/v1/openapi.json" | "/api/v1/hub/openapi.json" => {
                    text(StatusCode::OK, "application/json", OPENAPI)
                }
                "/api/v1/hub" => json(&self.report()),
                "/api/v1/agents" => {
                    let mut reports = self.sessions.reports();
                    reports.extend(self.agents_elsewhere().await);
                    json(&reports)
                }
                TOPOLOGY => json(&self.topology_report()),
                "/api/v1/incidents" => self.incidents(&query).await,
                "/api/v1/plans" => self.plans(&query).await,
                "/api/v1/actions" => self.actions().await,
                "/api/v1/patterns" => self.patterns().await,
                "/api/v1/audit" => self.audit(&query).await,
                _ => {
                    if let Some(id) = path.strip_prefix("/api/v1/incidents/") {
                        self.incident(id).await
                    } else if let Some(id) = path.strip_prefix("/api/v1/plans/") {
                        self.plan(id).await
                    } else if let Some(page) = self.page(path) {
                        text(StatusCode::OK, page.content_type, page.bytes)
                    } else {
                        let message = format!("there is nothing at {path}; see /api/v1/hub/openapi.json");
                        error(StatusCode::NOT_FOUND, message)
                    }
                }
            }
        })
    }

    fn has_page(&self, path: &str) -> bool {
        self.page(path).is_some()
    }

    fn max_body(&self, path: &str) -> usize {
        match path {
            larnax_bus::server::PATH => larnax_bus::server::MAX_BODY_BYTES,
            TOPOLOGY => MAX_TOPOLOGY,
            _ => 64 << 10,
        }
    }

    fn upgrade(&self, head: &Parts) -> Option<Answer> {
        if head.uri.path() != larnax_session::PATH {
            return None;
        }
        let Some(accept) = larnax_session::wire::accept(&head.headers) else {
            let message = "expected a WebSocket of version 13, as larnax edges open".to_owned();
            return Some(error(StatusCode::BAD_REQUEST, message));
        };
        let mut answer = Answer::default();
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Some(answer)
    }

    fn go_on(self: Rc<Self>, stream: Stream, caller: Option<Caller>) -> LocalFuture<'static, ()> {
        Box::pin(self.serve(stream, caller))
    }
}

impl Hub {
    fn page(&self, path: &str) -> Option<Page> {
        self.options.pages.and_then(|pages| pages(path))
    }

    /// What a platform says: all of it that holds now.
    async fn take_topology(&self, body: &Bytes) -> Answer {
        let mut delta = match serde_json::from_slice::<TopologyDelta>(body) {
            Ok(delta) => delta,
            Err(problem) => return bad(format!("expected a topology: {problem}")),
        };
        if delta.by.is_empty() {
            return bad("`by` is empty: expected who says so, such as the name of a cluster".to_owned());
        }
        // What agents see they tell in their sessions, and what people know stands in configs.
        delta.source = TopologySource::Platform;
        json(&serde_json::json!({"refused": self.tell_topology(delta).await}))
    }

    /// `?state=open&limit=N&after=ID`.
    async fn incidents(&self, query: &Query<'_>) -> Answer {
        let open = match query.first("state").as_deref() {
            None => false,
            Some("open") => true,
            Some(other) => return bad(format!("?state={other}: expected `open`, or nothing for all")),
        };
        let limit = match limit(query) {
            Ok(limit) => limit,
            Err(message) => return bad(message),
        };
        let after = match query.first("after").map(|text| text.parse::<IncidentId>()) {
            None => None,
            Some(Ok(id)) => match self.find(id).await {
                Ok(Some(incident)) => Some((incident.opened, incident.id)),
                Ok(None) => return bad(format!("?after={id}: there is no such incident")),
                Err(problem) => return unavailable(&problem),
            },
            Some(Err(problem)) => return bad(format!("?after: {problem}")),
        };
        let wanted = IncidentQuery { open, after, limit };
        match self.with_store(move |store| store.incidents(&wanted)).await {
            Ok(incidents) => json(&incidents),
            Err(problem) => unavailable(&problem),
        }
    }

    async fn incident(&self, id: &str) -> Answer {
        let id = match id.parse::<IncidentId>() {
            Ok(id) => id,
            Err(problem) => return bad(problem.to_string()),
        };
        match self.find(id).await {
            Ok(Some(incident)) => json(&incident),
            Ok(None) => error(StatusCode::NOT_FOUND, format!("no incident {id}; see /api/v1/incidents")),
            Err(problem) => unavailable(&problem),
        }
    }

    async fn find(&self, id: IncidentId) -> Result<Option<Incident>, HubError> {
        self.with_store(move |store| store.incident(id)).await
    }
}

/// `?limit=N`.
fn limit(query: &Query<'_>) -> Result<usize, String> {
    match query.first("limit").map(|text| text.parse::<usize>()) {
        None => Ok(PAGE),
        Some(Ok(limit)) if (1..=1_000).contains(&limit) => Ok(limit),
        Some(_) => Err("?limit: expected a number from 1 to 1000".to_owned()),
    }
}

fn bad(message: String) -> Answer {
    error(StatusCode::BAD_REQUEST, message)
}

fn unavailable(problem: &HubError) -> Answer {
    error(StatusCode::SERVICE_UNAVAILABLE, problem.to_string())
}
