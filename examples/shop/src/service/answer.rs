//! From a request to its answer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use prometheus_client::metrics::gauge::Gauge;

use super::Running;
use crate::faults::Switch;
use crate::graph::Route;
use crate::http::{self, Answer};
use crate::pool::Failure;

/// Requests that may wait; more are refused.
const LONGEST_QUEUE: i64 = 128;

/// Counts as long as it lives: a request also ends where its customer goes away, or the service is started again.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn by(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Running {
    pub(super) async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        // Whoever watches is not a customer: neither counted nor on the faulty link.
        match path {
            "/metrics" => return self.metrics.page(),
            "/healthy" => return http::text(StatusCode::OK, "ok\n"),
            _ => {}
        }
        if http::body(body).await.is_none() {
            return http::text(StatusCode::PAYLOAD_TOO_LARGE, "expected a short body\n");
        }
        let Some(route) = self.service.routes().iter().find(|route| route.path == path) else {
            return http::text(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        self.link().await;
        let began = Instant::now();
        let under_way = Counted::by(&self.metrics.in_flight);
        let status = self.handle(route).await;
        drop(under_way);
        self.metrics.answered(route.path, status, began.elapsed());
        self.link().await;
        http::text(status, format!("{} {}\n", self.service, status))
    }

    async fn handle(&self, route: &Route) -> StatusCode {
        let Some(_worker) = self.worker().await else { return StatusCode::SERVICE_UNAVAILABLE };
        let hold_up = self.effects.hold_up(Switch::Latency, &mut self.random.borrow_mut());
        if let Some(hold_up) = hold_up {
            tokio::time::sleep(hold_up).await;
        }
        if self.random.borrow_mut().happens(self.effects.get(Switch::Errors)) {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        self.work.borrow_mut().request(route);
        let wait = self.random.borrow_mut().lognormal(route.wait_ms, 0.3);
        tokio::time::sleep(Duration::from_secs_f64(wait / 1000.0)).await;
        for (callee, path) in route.calls {
            match self.call(*callee, path).await {
                Ok(()) => {}
                Err(Failure::Timeout) => return StatusCode::GATEWAY_TIMEOUT,
                Err(Failure::Connection | Failure::Status) => return StatusCode::BAD_GATEWAY,
            }
        }
        StatusCode::OK
    }

    /// Waits in the queue; none when that is too long.
    async fn worker(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        if let Ok(worker) = self.workers.try_acquire() {
            return Some(worker);
        }
        if self.metrics.queue.get() >= LONGEST_QUEUE {
            return None;
        }
        let _waits = Counted::by(&self.metrics.queue);
        self.workers.acquire().await.ok()
    }

    /// One message passes between this service and the others.
    pub(super) async fn link(&self) {
        let held = self.effects.link(&mut self.random.borrow_mut());
        if let Some(held) = held {
            tokio::time::sleep(held).await;
        }
    }
}
