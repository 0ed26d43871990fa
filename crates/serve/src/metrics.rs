//! `/metrics`: a page of families, each with its samples.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
pub use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::process;

/// OpenMetrics where the scraper asks for it, else the text format, which reads the same lines.
pub fn content_type(accept: &str) -> &'static str {
    if accept.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

/// The labels of a sample.
pub type Labels = Vec<(&'static str, String)>;

/// One metric with its samples.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, f64)>,
}

/// A page: everything at one moment.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

impl Page {
    /// What every program of ours says of its process.
    pub fn of_process(version: &str, started_seconds: f64) -> Self {
        let mut page = Self::default();
        page.add(
            "larnax_build_info",
            "Version of the program",
            MetricType::Gauge,
            vec![(vec![("version", version.to_owned())], 1.0)],
        );
        page.counter("process_cpu_seconds", "CPU used, user and system", process::cpu_seconds());
        page.gauge("process_resident_memory_bytes", "Resident memory", process::resident_bytes() as f64);
        page.gauge("process_start_time_seconds", "Start, as seconds since the epoch", started_seconds);
        page
    }

    /// A metric with labels; one without samples is left out. The names of counters come without `_total`, which is added.
    pub fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: MetricType,
        samples: Vec<(Labels, f64)>,
    ) {
        self.0.push(Family { name, help, kind, samples });
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, MetricType::Counter, vec![(Labels::new(), value)]);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, MetricType::Gauge, vec![(Labels::new(), value)]);
    }

    /// The page as text.
    pub fn render(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a string fails only when a value refuses to be written; then half a page would mislead.
            Err(_) => "# EOF\n".to_owned(),
        }
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            let one = |sample: MetricEncoder<'_>, value: f64| match family.kind {
                MetricType::Counter => ConstCounter::new(value).encode(sample),
                _ => ConstGauge::new(value).encode(sample),
            };
            if let [(labels, value)] = family.samples.as_slice()
                && labels.is_empty()
            {
                one(metric, *value)?;
                continue;
            }
            for (labels, value) in &family.samples {
                one(metric.encode_family(labels)?, *value)?;
            }
        }
        Ok(())
    }
}
