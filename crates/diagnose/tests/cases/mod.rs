//! Made cases.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::Arc;

use larnax_core::{ComponentId, Edge, EdgeKind, MetricName, Timestamp};
use larnax_diagnose::{Case, Observed, Series, When};

/// Knuth's MMIX generator: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    /// From 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Near enough to a normal distribution of deviation 1.
    pub fn normal(&mut self) -> f64 {
        ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0).clamp(-4.0, 4.0)
    }
}

pub fn id(name: &str) -> ComponentId {
    ComponentId::from_parts("service", "shop", name)
}

pub fn calls(from: &str, to: &str) -> Edge {
    Edge { from: id(from), to: id(to), kind: EdgeKind::Calls }
}

pub fn at(second: f64) -> Timestamp {
    Timestamp::from_seconds(1e9 + second)
}

/// A row every `period` seconds.
pub fn times(rows: usize, period: f64) -> Arc<[Timestamp]> {
    (0..rows).map(|row| at(row as f64 * period)).collect()
}

pub fn series(metric: &str, times: &Arc<[Timestamp]>, values: impl IntoIterator<Item = f64>) -> Series {
    Series {
        metric: MetricName::new(metric).unwrap(),
        times: Arc::clone(times),
        values: values.into_iter().collect(),
    }
}

/// A component for 400 seconds, each of whose metrics goes up by so much at second 300.
pub fn stepped(name: &str, metrics: &[(&str, f64)]) -> Observed {
    let times = times(400, 1.0);
    let one = |(metric, by): &(&str, f64)| {
        let value = |row: usize| 20.0 + (row * 7 % 5) as f64 + if row >= 300 { *by } else { 0.0 };
        series(metric, &times, (0..400).map(value))
    };
    Observed { component: id(name), series: metrics.iter().map(one).collect() }
}

/// A small shop, a row a second for `rows` seconds: web calls api, api calls orders and users. `fault` is what is added to a
/// metric at a second.
pub fn shop(rows: usize, onset: f64, fault: impl Fn(&str, &str, f64) -> f64) -> Case {
    let (times, mut random) = (times(rows, 1.0), Random(7));
    let mut components = Vec::new();
    for component in ["web", "api", "orders", "users"] {
        let metrics = ["cpu", "latency", "memory"].map(|metric| {
            let value = |row: usize| 20.0 + random.normal() + fault(component, metric, row as f64);
            series(metric, &times, (0..rows).map(value).collect::<Vec<_>>())
        });
        components.push(Observed { component: id(component), series: metrics.into() });
    }
    let edges = vec![calls("web", "api"), calls("api", "orders"), calls("api", "users")];
    Case { components, edges, when: When::Since(at(onset)), ..Case::default() }
}

/// From second 300 on orders' cpu is high, and latencies follow along the calls, two seconds for each.
pub fn busy_orders(component: &str, metric: &str, second: f64) -> f64 {
    let (since, by) = match (component, metric) {
        ("orders", "cpu" | "latency") => (300.0, 30.0),
        ("api", "latency") => (302.0, 30.0),
        ("web", "latency") => (304.0, 30.0),
        _ => return 0.0,
    };
    if second >= since { by } else { 0.0 }
}

/// Twenty components at 2 Hz that call each other at random; a fault in one of them reaches its callers half a second to five
/// seconds later each, weaker or stronger by the factor `carried`. With the name of the sick one.
pub fn graph(seed: u64, carried: (f64, f64), internal: bool) -> (Case, ComponentId) {
    const ROWS: usize = 600;
    const ONSET: usize = 400;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xa5a5);
    for _ in 0..8 {
        random.uniform();
    }
    let name = |i: usize| format!("s{i:02}");
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for callee in 1..20 {
        for _ in 0..1 + usize::from(random.uniform() < 0.3) {
            edges.push(((random.uniform() * callee as f64) as usize, callee));
        }
    }
    let root = 6 + (random.uniform() * 14.0) as usize;
    let mut hit: Vec<Option<(f64, f64)>> = vec![None; 20];
    hit[root] = Some((0.0, 1.0));
    // Callers have smaller numbers, so one pass downwards is enough.
    for callee in (1..=root).rev() {
        let Some((delay, strength)) = hit[callee] else { continue };
        for (caller, _) in edges.iter().filter(|edge| edge.1 == callee) {
            let reached = (delay + random.between(0.5, 5.0), strength * random.between(carried.0, carried.1));
            if hit[*caller].is_none_or(|before| reached.0 < before.0) {
                hit[*caller] = Some(reached);
            }
        }
    }
    let times = times(ROWS, 0.5);
    let mut components = Vec::new();
    for (i, hit) in hit.iter().enumerate() {
        let metrics = ["latency", "errors", "cpu", "memory", "network"].map(|metric| {
            let feels = matches!(metric, "latency" | "errors") || (i == root && internal && metric == "cpu");
            let by = random.between(6.0, 30.0);
            let mut noise = 0.0;
            let value = |row: usize| {
                noise = 0.7 * noise + random.normal();
                let step = hit.filter(|(delay, _)| feels && row as f64 >= ONSET as f64 + 2.0 * delay);
                10.0 + noise + step.map_or(0.0, |(_, strength)| by * strength)
            };
            series(metric, &times, (0..ROWS).map(value).collect::<Vec<_>>())
        });
        components.push(Observed { component: id(&name(i)), series: metrics.into() });
    }
    let edges = edges.iter().map(|(from, to)| calls(&name(*from), &name(*to))).collect();
    let when = When::Since(at(ONSET as f64 / 2.0));
    (Case { components, edges, when, ..Case::default() }, id(&name(root)))
}
