//! What the LSTM costs for each row, forecast and learning together. Times are of groups of four rows, divided by four, so
//! that learning only each fourth row is seen as what it costs in the long run; the best of several rounds counts.

use std::time::Instant;

use larnax_detect::identity::Identity;
use larnax_detect::lstm::Lstm;

const GROUPS: usize = 1_000;
const GROUP: usize = 4;
/// Until the reservoir of windows is full.
const WARM_UP: usize = 1_100;
const ROUNDS: usize = 7;

fn main() {
    println!("| metrics | learns each | median µs | 99% µs | parameters | state KiB |");
    println!("|---|---|---|---|---|---|");
    for (metrics, every) in [(28, 1), (28, 4), (3, 1), (128, 1), (128, 4), (1000, 1)] {
        let rounds = (0..ROUNDS).map(|_| round(metrics, every));
        let (times, lstm) =
            rounds.min_by_key(|(times, _)| times[GROUPS / 2]).unwrap_or_else(|| unreachable!());
        let micros = |nanos: u64| nanos as f64 / 1e3;
        println!(
            "| {metrics} | {every} | {:.1} | {:.1} | {} | {} |",
            micros(times[GROUPS / 2]),
            micros(times[GROUPS * 99 / 100]),
            lstm.parameters(),
            lstm.state_bytes() >> 10
        );
    }
}

/// Nanoseconds a row, of each group, ascending.
fn round(metrics: usize, every: u32) -> (Vec<u64>, Lstm) {
    let mut lstm = Lstm::learning_every(every);
    lstm.rearrange(&vec![None; metrics]);
    let mut expected = vec![0.0; metrics];
    let mut rows = vec![vec![0.0; metrics]; GROUP];
    let mut state = 1_u64;
    let mut times = Vec::with_capacity(GROUPS);
    for group in 0..WARM_UP / GROUP + GROUPS {
        for (t, row) in rows.iter_mut().enumerate() {
            for (i, x) in row.iter_mut().enumerate() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = (state >> 40) as f64 / f64::from(1 << 24) - 0.5;
                *x = ((group * GROUP + t) as f64 / (10 + i) as f64).sin() + noise;
            }
        }
        let start = Instant::now();
        for row in &rows {
            lstm.expect(row, &mut expected);
            lstm.learn(row, 1.0);
        }
        if group >= WARM_UP / GROUP {
            times.push(start.elapsed().as_nanos() as u64 / GROUP as u64);
        }
    }
    times.sort_unstable();
    (times, lstm)
}
