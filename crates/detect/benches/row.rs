//! What one row of 28 metrics costs, scored and learnt, for each detector; and what one of 500 costs.
//!
//! Half of the metrics are autoregressive, a quarter wander, a quarter are noise that two common causes move.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use larnax_core::{Metric, MetricKind, MetricName, Row, Schema, Timestamp, Verdict};
use larnax_detect::{DetectorKind, Tuning};

/// Rows made beforehand, so that making them isn't measured; they are taken again and again.
const ROWS: usize = 4_096;

fn rows(width: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut noise = move || {
        let mut sum = -6.0;
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum
    };
    let mut last = vec![0.0; width];
    let mut rows = Vec::with_capacity(ROWS * width);
    for _ in 0..ROWS {
        let causes = [noise(), noise()];
        for (i, last) in last.iter_mut().enumerate() {
            *last = match i % 4 {
                0 | 1 => 0.8 * *last + noise(),
                2 => 0.999 * *last + 0.1 * noise(),
                _ => 0.3 * noise() + causes[i / 4 % 2],
            };
            rows.push(100.0 + *last);
        }
    }
    rows
}

fn row(c: &mut Criterion) {
    for width in [28, 500] {
        let mut group = c.benchmark_group(format!("a row of {width} metrics"));
        let metric = |i| Metric::new(MetricName::new(&format!("m{i}")).unwrap(), MetricKind::Gauge);
        let schema = Schema::new((0..width).map(metric).collect()).unwrap();
        let rows = rows(width);
        for kind in DetectorKind::ALL {
            let mut detector = kind.build(150.0, 21_600.0);
            detector.resize(&schema);
            let (mut verdict, mut t) = (Verdict::default(), 0_usize);
            let mut step = || {
                let values = &rows[t % ROWS * width..][..width];
                let row = Row { time: Timestamp::from_seconds(1.8e9 + t as f64), values, learnable: true };
                t += 1;
                detector.tune(Tuning { period: 1.0, tail: 1e-6 });
                detector.score(row, &mut verdict);
                detector.learn(row, 1.0);
                black_box(verdict.score)
            };
            (0..2 * ROWS).for_each(|_| {
                step();
            });
            group.bench_function(BenchmarkId::from_parameter(kind.as_str()), |b| b.iter(&mut step));
            println!("{}: {} bytes of state", kind.as_str(), detector.state_bytes());
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = row
}
criterion_main!(benches);
