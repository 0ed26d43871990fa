//! What a service says of itself. All names stand in this file.
//!
//! Every series is there from the start, with zeros: an error that comes for the first time is then a change of a value
//! that was watched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::faults::Effects;
use crate::http::{self, Answer};
use crate::options::ServeOptions;
use crate::pool::Failure;
use crate::{Service, process};

/// Upper bounds of the histograms of durations, in seconds.
const BOUNDS: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What a service answers.
const STATUSES: [(StatusCode, &str); 5] = [
    (StatusCode::OK, "200"),
    (StatusCode::INTERNAL_SERVER_ERROR, "500"),
    (StatusCode::BAD_GATEWAY, "502"),
    (StatusCode::SERVICE_UNAVAILABLE, "503"),
    (StatusCode::GATEWAY_TIMEOUT, "504"),
];

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Durations = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// The metrics of one service.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    durations: Durations,
    pub(super) in_flight: Gauge,
    pub(super) queue: Gauge,
    calls: Durations,
    call_errors: Family<Labels<2>, Counter>,
}

impl Metrics {
    pub(super) fn new(service: Service, options: &ServeOptions, effects: Arc<Effects>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BOUNDS);
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            in_flight: Gauge::default(),
            queue: Gauge::default(),
            calls: Family::new_with_constructor(histogram),
            call_errors: Family::default(),
        };
        for route in service.routes() {
            drop(metrics.durations.get_or_create(&[("route", route.path)]));
            for (_, status) in STATUSES {
                drop(metrics.requests.get_or_create(&[("route", route.path), ("status", status)]));
            }
        }
        for callee in service.calls() {
            drop(metrics.calls.get_or_create(&[("dependency", callee.name())]));
            for failure in Failure::ALL {
                let labels = [("dependency", callee.name()), ("reason", failure.name())];
                drop(metrics.call_errors.get_or_create(&labels));
            }
        }
        metrics.register(options, effects)
    }

    fn register(mut self, options: &ServeOptions, effects: Arc<Effects>) -> Self {
        let all = &mut self.registry;
        all.register("http_requests", "Requests answered", self.requests.clone());
        let help = "Time from a request to its answer";
        all.register("http_request_duration_seconds", help, self.durations.clone());
        all.register("http_requests_in_flight", "Requests under way", self.in_flight.clone());
        all.register("request_queue_length", "Requests that wait to be worked on", self.queue.clone());
        let help = "Time from a call to its answer or failure";
        all.register("client_request_duration_seconds", help, self.calls.clone());
        all.register("client_errors", "Calls that failed", self.call_errors.clone());
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        all.register_collector(Box::new(OwnProcess {
            started,
            restarts: options.restarts,
            folder: options.folder.clone(),
            effects,
        }));
        self
    }

    /// One request was answered.
    pub(super) fn answered(&self, route: &'static str, status: StatusCode, took: Duration) {
        let status = STATUSES.iter().find(|(known, _)| *known == status).map_or("500", |(_, text)| text);
        self.requests.get_or_create(&[("route", route), ("status", status)]).inc();
        self.durations.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
    }

    /// One call was made.
    pub(super) fn called(&self, callee: Service, took: Duration, failure: Option<Failure>) {
        self.calls.get_or_create(&[("dependency", callee.name())]).observe(took.as_secs_f64());
        if let Some(failure) = failure {
            self.call_errors
                .get_or_create(&[("dependency", callee.name()), ("reason", failure.name())])
                .inc();
        }
    }

    /// The page of `/metrics`.
    pub(super) fn page(&self) -> Answer {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            return http::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be written");
        }
        let mut page = http::text(StatusCode::OK, text);
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        page.headers_mut().insert(header::CONTENT_TYPE, kind);
        page
    }
}

/// What the system says of this process, looked up when somebody asks.
#[derive(Debug)]
struct OwnProcess {
    started: f64,
    restarts: u64,
    folder: PathBuf,
    effects: Arc<Effects>,
}

impl Collector for OwnProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let usage = process::usage();
        let children = self.effects.children.load(Relaxed) as f64;
        let children_started = self.effects.children_started.load(Relaxed) as f64;
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
        let all = [
            ("process_cpu_seconds", "CPU used, user and system", counter, usage.cpu_seconds),
            ("process_resident_memory_bytes", "Resident memory", gauge, usage.resident_bytes),
            ("process_open_fds", "Open file descriptors", gauge, usage.open_files),
            ("process_threads", "Threads", gauge, usage.threads),
            ("process_start_time_seconds", "Start, as seconds since the epoch", gauge, self.started),
            ("service_restarts", "How often it was started again", counter, self.restarts as f64),
            ("child_processes", "Processes that it started and that run", gauge, children),
            ("child_processes_started", "Processes that it started", counter, children_started),
            ("data_folder_bytes", "Size of its files", gauge, folder_bytes(&self.folder)),
        ];
        for (name, help, kind, value) in all {
            let metric = encoder.encode_descriptor(name, help, None, kind)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(metric)?,
                _ => ConstGauge::new(value).encode(metric)?,
            }
        }
        Ok(())
    }
}

/// The bytes of the files of a folder, not of folders in it.
fn folder_bytes(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len() as f64).sum()
}
