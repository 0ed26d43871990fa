//! What agents ask: `GET /targets?node=NAME`, or `?federation=NAMESPACE/NAME`, in the form of Prometheus' `http_sd_configs`.
//!
//! Who brings what it knows (`If-None-Match`) and prefers to wait (`Prefer: wait=200`, RFC 7240) gets its answer when that is another
//! one: hundreds of agents then hear of a change at once, and cost next to nothing while there is none.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Clock, SystemClock, Timestamp};
use larnax_serve::answer::{error, not_allowed, text};
use larnax_serve::hyper::body::Bytes;
use larnax_serve::hyper::header::{ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use larnax_serve::hyper::http::request::Parts;
use larnax_serve::hyper::{Method, StatusCode};
use larnax_serve::metrics::{self, Page};
use larnax_serve::{Answer, Handler, LocalFuture, Query};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::federation::Federations;
use crate::missed::Missed;
use crate::pod::Group;
use crate::targets::Targets;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest that an answer is held back.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Changes so close together are answered as one.
const GATHER: Duration = Duration::from_millis(200);

/// Answers agents.
pub struct Answers {
    targets: Rc<RefCell<Targets>>,
    federations: Rc<RefCell<Federations>>,
    missed: Rc<RefCell<Missed>>,
    /// Told of each change of targets or federations.
    changed: Rc<Notify>,
    version: &'static str,
    started: Timestamp,
}

impl Answers {
    pub(crate) fn new(
        targets: Rc<RefCell<Targets>>,
        federations: Rc<RefCell<Federations>>,
        missed: Rc<RefCell<Missed>>,
        changed: Rc<Notify>,
        version: &'static str,
    ) -> Self {
        Self { targets, federations, missed, changed, version, started: SystemClock.now() }
    }

    /// The targets that are asked for, as soon as they are others than those that are known already.
    async fn targets(&self, head: &Parts) -> Answer {
        let until = Instant::now() + wait(head);
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let body = match self.found(head) {
                Ok(body) => body,
                Err((status, problem)) => return error(status, problem),
            };
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            let tag = format!("\"{:016x}\"", hasher.finish());
            let is_known = head.headers.get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
            if !is_known || Instant::now() >= until {
                let mut answer = match is_known {
                    true => text(StatusCode::NOT_MODIFIED, "application/json", ""),
                    false => text(StatusCode::OK, "application/json", body),
                };
                answer.headers_mut().extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
                answer.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("wait"));
                return answer;
            }
            tokio::select! {
                () = changed => sleep(GATHER).await,
                () = sleep_until(until) => {}
            }
        }
    }

    /// What is asked for, as it is now; or why there is none, for a person.
    fn found(&self, head: &Parts) -> Result<Vec<u8>, (StatusCode, String)> {
        let (targets, federations) = (self.targets.borrow(), self.federations.borrow());
        if !self.is_ready() {
            // An empty list would have every agent forget what it watches.
            let message = "the pods of the cluster are not known yet: ask again";
            return Err((StatusCode::SERVICE_UNAVAILABLE, message.to_owned()));
        }
        let query = Query(head.uri.query().unwrap_or_default());
        let node = query.first("node");
        let found: Vec<&Group> = match query.first("federation") {
            Some(of) => match of.split_once('/') {
                Some(of) => targets.of(of, &federations).collect(),
                None => {
                    let message = format!("federation is `{of}`, expected NAMESPACE/NAME");
                    return Err((StatusCode::BAD_REQUEST, message));
                }
            },
            None => targets.on(node.as_deref(), &federations).collect(),
        };
        serde_json::to_vec(&found).map_err(|problem| {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the answer can't be written: {problem}"))
        })
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

/// How long an answer may be held back.
fn wait(head: &Parts) -> Duration {
    let preferences = head.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut words = preferences.flat_map(|value| value.split(',')).map(str::trim);
    let seconds = words.find_map(|word| word.strip_prefix("wait=")?.parse().ok());
    seconds.map_or(Duration::ZERO, |seconds: u32| Duration::from_secs(seconds.into()).min(MAX_WAIT))
}

impl Handler for Answers {
    fn answer<'a>(&'a self, head: &'a Parts, _body: Bytes) -> LocalFuture<'a, Answer> {
        let path = head.uri.path();
        if path == "/targets" && head.method == Method::GET {
            return Box::pin(self.targets(head));
        }
        let answer = match (path, head.method == Method::GET) {
            ("/targets" | "/metrics" | "/-/healthy" | "/-/ready", false) => {
                not_allowed(&head.method, path, "GET")
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::targets::Seen;

    fn pod(name: &str) -> Seen {
        let pod = json!({
            "metadata": {"namespace": "shop", "name": name,
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "80"}},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"podIP": "10.0.0.1"},
        });
        Seen::There(serde_json::from_value(pod).unwrap())
    }

    fn asks(known: Option<&HeaderValue>, prefer: &str) -> Parts {
        let mut request = larnax_serve::hyper::Request::new(());
        *request.uri_mut() = "/targets?node=n1".parse().unwrap();
        request.headers_mut().insert(PREFER, prefer.parse().unwrap());
        request.headers_mut().extend(known.map(|known| (IF_NONE_MATCH, known.clone())));
        request.into_parts().0
    }

    #[tokio::test(start_paused = true)]
    async fn who_knows_what_there_is_and_can_wait_is_answered_when_that_changes_or_when_it_has_waited() {
        let targets = Rc::new(RefCell::new(Targets::default()));
        let changed = Rc::<Notify>::default();
        targets.borrow_mut().see(pod("a"));
        targets.borrow_mut().see(Seen::Complete);
        let all = Rc::clone(&targets);
        let answers = Answers::new(all, Rc::default(), Rc::default(), Rc::clone(&changed), "1");
        let began = Instant::now();
        let first = answers.targets(&asks(None, "wait=200")).await;
        let tag = first.headers()[ETAG].clone();
        assert_eq!((first.status(), began.elapsed()), (StatusCode::OK, Duration::ZERO));

        let same = answers.targets(&asks(Some(&tag), "respond-async, wait=200")).await;
        assert_eq!(
            (same.status(), began.elapsed().as_secs(), &same.headers()[PREFERENCE_APPLIED]),
            (StatusCode::NOT_MODIFIED, 200, &HeaderValue::from_static("wait"))
        );
        let at_once = answers.targets(&asks(Some(&tag), "return=minimal")).await;
        assert_eq!((at_once.status(), began.elapsed().as_secs()), (StatusCode::NOT_MODIFIED, 200));

        let head = asks(Some(&tag), "wait=200");
        let (other, ()) = tokio::join!(answers.targets(&head), async {
            sleep(Duration::from_secs(10)).await;
            let mut targets = targets.borrow_mut();
            assert!(!targets.see(Seen::Beginning) && !targets.see(pod("a")) && !targets.see(pod("b")));
            assert!(targets.see(Seen::Complete));
            changed.notify_waiters();
        });
        assert_eq!((other.status(), began.elapsed().as_secs()), (StatusCode::OK, 210));
        assert_ne!(other.headers()[ETAG], tag);
    }
}
