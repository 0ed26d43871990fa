//! Alerts promised against alerts given, on noise in which nothing happens. Prints a table; takes some minutes.
//!
//! `cargo run --release -p larnax-detect --example promise -- [part of a noise's name] [metrics] [threshold]`

#[path = "../tests/support/streams.rs"]
mod streams;

use larnax_detect::Settings;
use streams::{Kind, Outcome, STEPS, Stream, Watched, poisson};

/// Sampling period in seconds, and for how many weeks.
const SAMPLING: [(f64, f64); 4] = [(300.0, 105.0), (60.0, 53.0), (15.0, 21.0), (1.0, 5.0)];

fn main() {
    let argument = |i| std::env::args().nth(i).unwrap_or_default();
    let (only, metrics) = (argument(1), argument(2).parse());
    let threshold = argument(3).parse().unwrap_or_default();
    let widths = metrics.map_or(vec![1, 28], |metrics: usize| vec![metrics]);
    let settings = Settings { threshold, ..Settings::default() };
    println!(
        "| noise | metrics | sampling | promised | alerts (90 %) | given / promised | opened | first week | step alerted | after |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for kind in Kind::ALL {
        if !format!("{kind:?}").contains(&only) {
            continue;
        }
        for &metrics in &widths {
            for allowed in [1.0, 10.0] {
                for (period, weeks) in SAMPLING {
                    let stream = Stream::new(kind, metrics, period, 7);
                    let mut watched = Watched::new(stream, allowed, settings.clone());
                    let mut outcome = watched.run(weeks, allowed);
                    watched.lift(allowed, &mut outcome);
                    print(kind, metrics, period, &outcome);
                }
            }
        }
    }
}

fn print(kind: Kind, metrics: usize, period: f64, outcome: &Outcome) {
    let Outcome { promised, alerts, opened, early, delay, alerted } = outcome;
    let (lower, upper) = poisson(*alerts);
    let ratio = *alerts as f64 / promised;
    println!(
        "| {kind:?} | {metrics} | {period} s | {promised} | {alerts} ({lower:.1}–{upper:.1}) | {ratio:.2} | {opened} | {early} | {alerted}/{STEPS} | {delay} |"
    );
}
