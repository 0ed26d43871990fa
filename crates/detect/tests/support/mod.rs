//! What the tests of this crate share: schemas, noise, and a watch that is fed.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use larnax_core::{Component, Metric, MetricKind, MetricName, Row, Schema, Status, Timestamp};
use larnax_detect::{AlertBudget, Change, DetectorKind, Settings, Watch};

pub(crate) fn schema(names: &[String]) -> Arc<Schema> {
    let metric = |name: &String| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
    Schema::new(names.iter().map(metric).collect()).unwrap()
}

pub(crate) fn numbered(n: usize) -> Arc<Schema> {
    schema(&(0..n).map(|i| format!("m{i}")).collect::<Vec<_>>())
}

pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000.0 + seconds)
}

pub(crate) fn row(seconds: f64, values: &[f64]) -> Row<'_> {
    Row { time: at(seconds), values, learnable: true }
}

/// Random numbers that are the same in every run (xorshift64*).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// Between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Student's t with three degrees of freedom.
    pub(crate) fn heavy(&mut self) -> f64 {
        let chi: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
        self.normal() / (chi / 3.0).sqrt()
    }
}

/// A watch with its budget, fed row by row.
pub(crate) struct Fed {
    pub(crate) watch: Watch,
    pub(crate) budget: AlertBudget,
    pub(crate) changes: Vec<(f64, Change)>,
    pub(crate) ready: u64,
    pub(crate) flagged: u64,
}

impl Fed {
    pub(crate) fn new(schema: &Arc<Schema>) -> Self {
        Self::of(DetectorKind::default(), schema)
    }

    pub(crate) fn of(detector: DetectorKind, schema: &Arc<Schema>) -> Self {
        Self::with(Settings { detector, ..Settings::default() }, schema)
    }

    pub(crate) fn with(settings: Settings, schema: &Arc<Schema>) -> Self {
        let component =
            Component { id: "node/local/a".parse().unwrap(), group: "host".into(), labels: BTreeMap::new() };
        let mut watch = Watch::new(component, settings);
        watch.resize(schema);
        Self { watch, budget: AlertBudget::default(), changes: Vec::new(), ready: 0, flagged: 0 }
    }

    pub(crate) fn feed(&mut self, seconds: f64, values: &[f64]) {
        let mut changes = Vec::new();
        self.watch.observe(row(seconds, values), &mut self.budget, &mut changes);
        self.changes.extend(changes.into_iter().map(|c| (seconds, c)));
        if self.watch.verdict().status == Status::Ready {
            self.ready += 1;
            self.flagged += u64::from(self.watch.verdict().score.is_anomalous());
        }
    }

    /// Feeds `seconds` seconds, starting at `from`, of what `values` writes.
    pub(crate) fn run(
        &mut self,
        from: f64,
        seconds: f64,
        period: f64,
        mut values: impl FnMut(f64, &mut [f64]),
    ) {
        let mut buffer = vec![f64::NAN; self.watch.schema().len()];
        for i in 0..(seconds / period).round() as u64 {
            let t = from + i as f64 * period;
            values(t, &mut buffer);
            self.feed(t, &buffer);
        }
    }

    pub(crate) fn alerts(&self) -> usize {
        let mut ids: Vec<_> = self
            .changes
            .iter()
            .filter(|(_, c)| c.anomaly.alerted)
            .map(|(_, c)| c.anomaly.id.to_string())
            .collect();
        ids.sort();
        ids.dedup();
        ids.len()
    }

    pub(crate) fn story(&self) -> String {
        self.changes
            .iter()
            .map(|(t, c)| {
                let top: Vec<String> = c.anomaly.metrics.iter().take(3).map(|m| format!("{m:?}")).collect();
                format!(
                    "{t:.0}s {:?} {:?} {:.2} {top:?}\n",
                    c.transition,
                    c.anomaly.kind,
                    c.anomaly.peak.get()
                )
            })
            .collect()
    }
}
