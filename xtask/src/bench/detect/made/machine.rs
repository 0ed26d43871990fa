//! A machine that serves requests by day and runs a batch job every three hours.

use std::f64::consts::TAU;
use std::ops::Range;

use super::noise::{Noise, Slow};

/// Rows a minute apart, and which of those to be judged are faulty.
pub(super) struct Machine {
    pub(super) train: Vec<Vec<f64>>,
    pub(super) test: Vec<Vec<f64>>,
    pub(super) faults: Vec<Range<usize>>,
    /// The metrics at fault, for each fault.
    pub(super) named: Vec<&'static [usize]>,
}

const DAY: usize = 1_440;
const TRAIN_DAYS: usize = 2;
const TEST_DAYS: usize = 4;

/// What a metric is at usual load, which share of that follows the load and a batch job, and how noisy it is.
struct Kind {
    usual: f64,
    load: f64,
    batch: f64,
    noise: f64,
}

const fn kind(usual: f64, load: f64, batch: f64, noise: f64) -> Kind {
    Kind { usual, load, batch, noise }
}

const METRICS: [Kind; 16] = [
    kind(800.0, 1.0, 0.0, 0.03),   // 0 requests
    kind(4e6, 0.9, 0.0, 0.03),     // 1 bytes received
    kind(2e7, 0.9, 0.0, 0.03),     // 2 bytes sent
    kind(30.0, 0.9, 0.15, 0.04),   // 3 CPU, user
    kind(8.0, 0.6, 0.15, 0.05),    // 4 CPU, system
    kind(1.5, 0.8, 0.2, 0.06),     // 5 load average
    kind(120.0, 0.2, 0.0, 0.01),   // 6 threads
    kind(300.0, 0.5, 0.0, 0.02),   // 7 sockets
    kind(20.0, 0.25, 0.05, 0.04),  // 8 median latency
    kind(80.0, 0.4, 0.1, 0.08),    // 9 p99 latency
    kind(2.0, 0.3, 0.0, 0.20),     // 10 errors
    kind(6e9, 0.05, 0.01, 0.003),  // 11 memory
    kind(3e9, -0.05, 0.02, 0.004), // 12 page cache
    kind(1e6, 0.1, 0.6, 0.15),     // 13 disk, read
    kind(3e6, 0.4, 0.4, 0.12),     // 14 disk, written
    kind(55.0, 0.15, 0.02, 0.006), // 15 temperature
];

/// What goes wrong with the metrics at fault.
#[derive(Clone, Copy)]
enum Fault {
    /// So many times as high.
    Shift(f64),
    /// Rises steadily, to so many times as high.
    Leak(f64),
    /// So many times as noisy.
    Jitter(f64),
    /// Follows the load of half a day before: each value is usual, but not with the others.
    Apart,
    /// Stays as it was at the onset.
    Stuck,
    /// Comes and goes, every other row so many times as high.
    Bursts(f64),
}

/// Onset, rows, what, and which metrics: eight incidents, each twice, in another form.
const FAULTS: [(usize, usize, Fault, &[usize]); 16] = [
    (300, 30, Fault::Shift(2.5), &[8, 9]),               // slow
    (640, 20, Fault::Shift(0.1), &[0, 1, 2]),            // no requests
    (980, 45, Fault::Leak(1.35), &[11]),                 // memory leaks
    (1_320, 25, Fault::Jitter(6.0), &[1, 2, 7]),         // an uneven network
    (1_660, 40, Fault::Apart, &[3, 4, 5]),               // CPU for something else
    (2_000, 40, Fault::Stuck, &[0, 1, 2, 7]),            // a hung exporter
    (2_340, 15, Fault::Bursts(12.0), &[10]),             // errors
    (2_680, 30, Fault::Shift(9.0), &[13, 14]),           // a disk in use
    (3_020, 15, Fault::Shift(1.6), &[9]),                // slow for some
    (3_360, 30, Fault::Shift(0.4), &[0, 1, 2, 3, 4, 5]), // half the requests
    (3_700, 60, Fault::Leak(1.8), &[6, 7]),              // threads and sockets leak
    (4_040, 25, Fault::Jitter(5.0), &[3, 5, 8]),         // a noisy neighbour
    (4_380, 40, Fault::Apart, &[0, 1]),                  // requests for nothing
    (4_720, 40, Fault::Stuck, &[3, 4, 5, 8, 9]),         // another hung exporter
    (5_060, 12, Fault::Bursts(3.0), &[4, 13]),           // bursts of reading
    (5_400, 40, Fault::Shift(1.25), &[15]),              // hot
];

/// The same machine each time.
pub(super) fn make() -> Machine {
    let mut noise = Noise(3);
    let (mut sway, mut slow) = (Slow::default(), METRICS.map(|_| Slow::default()));
    let mut test: Vec<Vec<f64>> = Vec::new();
    let mut train = Vec::new();
    let mut stuck = vec![0.0; METRICS.len()];
    for minute in 0..(TRAIN_DAYS + TEST_DAYS) * DAY {
        let swayed = 0.04 * sway.next(0.97, &mut noise);
        let load = |minute: usize| 1.0 - 0.4 * (TAU * minute as f64 / DAY as f64).cos() + swayed;
        let batch = if minute % 180 < 6 { 1.0 } else { 0.0 };
        let judged = minute.checked_sub(TRAIN_DAYS * DAY);
        let fault = FAULTS
            .iter()
            .find(|(from, rows, ..)| judged.is_some_and(|row| (*from..from + rows).contains(&row)));
        let mut row = Vec::with_capacity(METRICS.len());
        for (i, metric) in METRICS.iter().enumerate() {
            let drawn = metric.noise * slow[i].next(0.5, &mut noise);
            let value = |load: f64, drawn: f64| {
                metric.usual * (1.0 + metric.load * (load - 1.0) + metric.batch * batch + drawn)
            };
            let usual = value(load(minute), drawn);
            let at_fault = fault.filter(|(.., metrics)| metrics.contains(&i));
            let made = match (at_fault, judged) {
                (Some((from, rows, what, _)), Some(at)) => match *what {
                    Fault::Shift(times) => times * usual,
                    Fault::Leak(times) => usual * (1.0 + (times - 1.0) * (at - from) as f64 / *rows as f64),
                    Fault::Jitter(times) => value(load(minute), times * drawn),
                    Fault::Apart => value(load(minute + DAY / 2), drawn),
                    Fault::Stuck => stuck[i],
                    Fault::Bursts(times) if (at - from) % 2 == 0 => times * usual,
                    Fault::Bursts(_) => usual,
                },
                _ => usual,
            };
            stuck[i] = made;
            row.push(made.max(0.0));
        }
        if judged.is_some() { &mut test } else { &mut train }.push(row);
    }
    Machine {
        train,
        test,
        faults: FAULTS.iter().map(|(from, rows, ..)| *from..from + rows).collect(),
        named: FAULTS.iter().map(|(.., metrics)| *metrics).collect(),
    }
}
