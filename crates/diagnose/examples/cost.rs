//! What ranking costs: many components of many metrics, one of which starts a fault that half of the others feel. Prints one line of
//! JSON: milliseconds with the onset told and without, the best of several times.
//!
//! `cargo run --release -p larnax-diagnose --example cost -- 1000 20 600` (components, metrics of each, rows)

use std::sync::Arc;
use std::time::Instant;

use larnax_core::schema::SchemaError;
use larnax_core::{ComponentId, Edge, EdgeKind, MetricName, Timestamp};
use larnax_diagnose::{Case, Observed, Series, When, rank};

/// Measured so often; the least counts, because what else a machine does only adds.
const TIMES: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument =
        |at: usize, default: &str| arguments.get(at).map_or(default, String::as_str).parse::<usize>();
    let (components, metrics, rows) = (argument(0, "1000")?, argument(1, "20")?, argument(2, "600")?);
    let told = case(components, metrics, rows)?;
    let found = Case { when: When::Unknown, ..told.clone() };
    let (told_ms, found_ms) = (milliseconds(&told), milliseconds(&found));
    println!(
        "{{\"components\":{components},\"metrics\":{metrics},\"rows\":{rows},\"told_ms\":{told_ms:.2},\"found_ms\":{found_ms:.2}}}"
    );
    Ok(())
}

fn milliseconds(case: &Case) -> f64 {
    let once = |_| {
        let began = Instant::now();
        std::hint::black_box(rank(std::hint::black_box(case)));
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..TIMES).map(once).fold(f64::INFINITY, f64::min)
}

/// A tree of components, each of which calls up to four others; the fault is in one of the leaves' parents, and whoever calls it
/// feels it two seconds later.
fn case(components: usize, metrics: usize, rows: usize) -> Result<Case, SchemaError> {
    let times: Arc<[Timestamp]> = (0..rows).map(|row| Timestamp::from_seconds(1e9 + row as f64)).collect();
    let (onset, mut noise) = (rows * 2 / 3, Noise(1));
    let id = |i: usize| ComponentId::from_parts("service", "made", &format!("c{i}"));
    let mut feels = vec![usize::MAX; components];
    let mut at = components.saturating_sub(1) / 4;
    let mut late = onset;
    while let Some(feels) = feels.get_mut(at) {
        *feels = late;
        late += 2;
        if at == 0 {
            break;
        }
        at = (at - 1) / 4;
    }
    let mut observed = Vec::with_capacity(components);
    for (i, feels) in feels.into_iter().enumerate() {
        let mut series = Vec::with_capacity(metrics);
        for metric in 0..metrics {
            let step = if metric < 3 { 20.0 } else { 0.0 };
            let values =
                (0..rows).map(|row| 10.0 + noise.next() + if row >= feels { step } else { 0.0 }).collect();
            let metric = MetricName::new(&format!("m{metric}"))?;
            series.push(Series { metric, times: Arc::clone(&times), values });
        }
        observed.push(Observed { component: id(i), series });
    }
    let edges =
        (1..components).map(|i| Edge { from: id((i - 1) / 4), to: id(i), kind: EdgeKind::Calls }).collect();
    let when = When::Since(times.get(onset).copied().unwrap_or_default());
    Ok(Case { components: observed, when, edges, alerting: Some(id(0)), ..Case::default() })
}

/// A sum of four uniform numbers of Knuth's MMIX generator: the same everywhere, near enough to a normal distribution.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.0 >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
        }
        sum
    }
}
