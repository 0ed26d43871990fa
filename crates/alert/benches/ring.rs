//! What the evidence ring costs for a target like node_exporter: 500 series every 5 s.
//!
//! Half of the series never change, a quarter are whole numbers that sometimes do, a quarter are noisy rates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larnax_alert::{Ring, RingOptions};
use larnax_core::{Metric, MetricKind, MetricName, Row, Schema, Timestamp};

const SERIES: usize = 500;
const STEP: Duration = Duration::from_secs(5);
const MINUTES: usize = 360;

fn main() {
    let metrics =
        (0..SERIES).filter_map(|i| MetricName::new(&format!("node_metric_{i}{{cpu=\"{}\"}}", i % 8)).ok());
    let metrics = metrics.map(|name| Metric::new(name, MetricKind::Gauge)).collect();
    let schema: Arc<Schema> = Schema::new(metrics).unwrap_or_else(|error| unreachable!("{error}"));
    let folder = std::env::temp_dir().join(format!("larnax-ring-bench-{}", std::process::id()));
    let options = RingOptions::default();
    let mut ring = Ring::open(Some(&folder), options).unwrap_or_else(|error| unreachable!("{error}"));

    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut values: Vec<f64> = (0..SERIES).map(|i| (i * 1000) as f64).collect();
    let mut time = Timestamp::from_seconds(1.8e9);
    let mut spent = Duration::ZERO;
    let rows = MINUTES * 12;
    for _ in 0..rows {
        time = time.plus(STEP);
        for (i, value) in values.iter_mut().enumerate() {
            match i % 4 {
                0 | 1 => {}
                2 if random() < 0.3 => *value += (random() * 100.0).floor(),
                2 => {}
                _ => *value = (random() * 1000.0).floor() / STEP.as_secs_f64(),
            }
        }
        let start = Instant::now();
        ring.push(&schema, Row { time, values: &values, learnable: true });
        spent += start.elapsed();
    }
    let stats = ring.stats();
    let start = Instant::now();
    let window = ring.tail(time, Duration::from_secs(600), 1000, |name| name.as_str().contains("_3"));
    let read = start.elapsed();
    println!("{rows} rows of {SERIES} series: {:.3} ms a minute", spent.as_secs_f64() * 1e3 / MINUTES as f64);
    println!(
        "{:.0} bytes a row, {:.2} bytes a value",
        stats.written_bytes as f64 / rows as f64,
        stats.written_bytes as f64 / (rows * SERIES) as f64
    );
    println!(
        "a tail of ten minutes ({} rows, {} metrics): {read:?}",
        window.rows.len(),
        window.metrics.len()
    );
    // The folder is this process's own; that it stays when it can't be removed harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
}
