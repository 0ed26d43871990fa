//! What agents ask: `GET /targets?node=NAME`, or `?federation=NAMESPACE/NAME`, in the form of Prometheus' `http_sd_configs`.

use std::cell::RefCell;
use std::rc::Rc;

use larnax_core::{Clock, SystemClock, Timestamp};
use larnax_serve::answer::{error, json, not_allowed, text};
use larnax_serve::hyper::body::Bytes;
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::hyper::{Method, StatusCode};
use larnax_serve::metrics::{self, Page};
use larnax_serve::{Answer, Handler, LocalFuture, Query};

use crate::federation::Federations;
use crate::missed::Missed;
use crate::pod::Group;
use crate::targets::Targets;

/// Answers agents.
pub struct Answers {
    targets: Rc<RefCell<Targets>>,
    federations: Rc<RefCell<Federations>>,
    missed: Rc<RefCell<Missed>>,
    version: &'static str,
    started: Timestamp,
}

impl Answers {
    pub(crate) fn new(
        targets: Rc<RefCell<Targets>>,
        federations: Rc<RefCell<Federations>>,
        missed: Rc<RefCell<Missed>>,
        version: &'static str,
    ) -> Self {
        Self { targets, federations, missed, version, started: SystemClock.now() }
    }

    fn targets(&self, head: &Parts) -> Answer {
        let (targets, federations) = (self.targets.borrow(), self.federations.borrow());
        if !self.is_ready() {
            // An empty list would have every agent forget what it watches.
            let message = "the pods of the cluster are not known yet: ask again";
            return error(StatusCode::SERVICE_UNAVAILABLE, message.to_owned());
        }
        let query = Query(head.uri.query().unwrap_or_default());
        let node = query.first("node");
        let found: Vec<&Group> = match query.first("federation") {
            Some(of) => match of.split_once('/') {
                Some(of) => targets.of(of, &federations).collect(),
                None => {
                    let message = format!("federation is `{of}`, expected NAMESPACE/NAME");
                    return error(StatusCode::BAD_REQUEST, message);
                }
            },
            None => targets.on(node.as_deref(), &federations).collect(),
        };
        json(&found)
    }

    fn is_ready(&self) -> bool {
        self.targets.borrow().is_complete() && self.federations.borrow().is_complete()
    }

    fn metrics(&self, head: &Parts) -> Answer {
        let targets = self.targets.borrow();
        let mut page = Page::of_process(self.version, self.started.seconds());
        page.gauge("larnax_operator_targets", "Pods that are scraped", targets.all().count() as f64);
        page.gauge(
            "larnax_operator_unusable",
            "Pods that should be scraped and can't be",
            targets.problems().count() as f64,
        );
        page.gauge(
            "larnax_operator_missed",
            "Pods that should have an agent of their own and have none",
            self.missed.borrow().count() as f64,
        );
        let accept = head.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        text(StatusCode::OK, metrics::content_type(accept), page.render())
    }
}

impl Handler for Answers {
    fn answer<'a>(&'a self, head: &'a Parts, _body: Bytes) -> LocalFuture<'a, Answer> {
        let path = head.uri.path();
        let answer = match (path, head.method == Method::GET) {
            ("/targets" | "/metrics" | "/-/healthy" | "/-/ready", false) => {
                not_allowed(&head.method, path, "GET")
            }
            ("/targets", true) => self.targets(head),
            ("/metrics", true) => self.metrics(head),
            ("/-/healthy", true) => text(StatusCode::OK, "text/plain", "OK\n"),
            ("/-/ready", true) if self.is_ready() => text(StatusCode::OK, "text/plain", "OK\n"),
            ("/-/ready", true) => {
                error(StatusCode::SERVICE_UNAVAILABLE, "the pods of the cluster are not known yet".to_owned())
            }
            _ => error(
                StatusCode::NOT_FOUND,
                format!("there is no {path}: ask /targets?node=NAME or ?federation=NAMESPACE/NAME"),
            ),
        };
        Box::pin(std::future::ready(answer))
    }

    fn has_page(&self, _path: &str) -> bool {
        false
    }
}
