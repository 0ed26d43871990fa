//! What a detector costs: scores and learns rows of correlated noise and prints one line of JSON. `list` lists the
//! detectors.
//!
//! `cargo run --release -p larnax-detect --example cost -- birch 28 10000` (detector, metrics, rows; and, if need be, how often
//! these rows are judged one after the other: 1; and a budget in microseconds of CPU for a row)

use std::time::{Duration, Instant};

use larnax_core::{Metric, MetricKind, MetricName, Row, Schema, Timestamp, Verdict};
use larnax_detect::{DetectorKind, Tuning};
use nix::time::ClockId;

/// Seconds between rows: what the papers sample at.
const PERIOD: f64 = 0.5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: &str| arguments.get(at).map_or(default.to_owned(), Clone::clone);
    if argument(0, "") == "list" {
        DetectorKind::ALL.iter().for_each(|kind| println!("{}", kind.as_str()));
        return Ok(());
    }
    let kind: DetectorKind = argument(0, DetectorKind::default().as_str()).parse()?;
    let (metrics, rows): (usize, usize) = (argument(1, "28").parse()?, argument(2, "10000").parse()?);
    let times: usize = argument(3, "1").parse()?;

    let name = |i: usize| MetricName::new(&format!("m{i}"));
    let schema = (0..metrics).map(|i| Ok(Metric::new(name(i)?, MetricKind::Gauge)));
    let mut detector = kind.build(150.0, 21_600.0);
    if let Some(budget) = arguments.get(4) {
        detector.keep_to(Duration::from_secs_f64(budget.parse::<f64>()? / 1e6));
    }
    detector.resize(&Schema::new(schema.collect::<Result<_, larnax_core::schema::SchemaError>>()?)?);
    let every = detector.cost_plan().map_or(1, |plan| plan.every);
    detector.tune(Tuning { period: PERIOD * f64::from(every), tail: 1e-6 });

    // Made beforehand, so that only the detector is measured.
    let (mut noise, mut common, mut made) = (Noise(1), 0.0, vec![0.0; metrics]);
    let mut values = Vec::with_capacity(metrics * rows);
    for _ in 0..rows {
        common = 0.9 * common + noise.next();
        for (i, value) in made.iter_mut().enumerate() {
            *value = 0.8 * *value + 0.2 * (10.0 * i as f64 + common) + noise.next();
        }
        values.extend_from_slice(&made);
    }
    let (mut verdict, mut at) = (Verdict::default(), 0);
    let mut run = |rows: usize, times: usize| {
        let (began, before) = (Instant::now(), cpu()?);
        let one_by_one = (0..times).flat_map(|_| values.chunks_exact(metrics.max(1)).take(rows));
        for values in one_by_one {
            at += 1;
            if at % every != 0 {
                continue;
            }
            let row =
                Row { time: Timestamp::from_seconds(1e9 + PERIOD * f64::from(at)), values, learnable: true };
            detector.score(row, &mut verdict);
            detector.learn(row, 1.0);
        }
        Ok::<_, nix::Error>((began.elapsed(), cpu()? - before))
    };
    // Past the warm-up, so that what is measured is what it costs for the rest of its life.
    run(rows.min(2_000), 1)?;
    let (wall, spent) = run(rows, times)?;
    let judged = (rows * times).max(1) as f64;
    if let Some(plan) = detector.cost_plan() {
        eprintln!("{plan}");
    }
    println!(
        "{{\"detector\":\"{}\",\"metrics\":{metrics},\"rows\":{rows},\"cpu_us\":{:.3},\"wall_us\":{:.3},\"state_bytes\":{}}}",
        kind.as_str(),
        spent.as_secs_f64() * 1e6 / judged,
        wall.as_secs_f64() * 1e6 / judged,
        detector.state_bytes(),
    );
    Ok(())
}

/// About normal noise, the same everywhere: the sum of four uniform numbers of Knuth's MMIX generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        (uniform() + uniform() + uniform() + uniform()) * 1.732
    }
}

/// CPU time of this process, user and system. By the C library: under valgrind, which counts instructions, reading the clock
/// without it fails.
fn cpu() -> Result<Duration, nix::Error> {
    ClockId::CLOCK_PROCESS_CPUTIME_ID.now().map(Duration::from)
}
