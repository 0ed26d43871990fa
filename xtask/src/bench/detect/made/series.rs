//! Metrics by themselves, as of a service that shows no more.

use std::f64::consts::TAU;
use std::ops::Range;

use super::noise::{Noise, Slow};

/// One metric, five minutes between rows.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
    pub(super) faults: Vec<Range<usize>>,
}

const DAY: usize = 288;
const ROWS: usize = 14 * DAY;

/// When a row was seen, in seconds of Unix time.
pub(super) fn time(row: usize) -> usize {
    1_700_000_000 + 300 * row
}

/// What a metric does at a row: when all is well, or in its first, second or third fault.
type Shape = fn(row: usize, fault: Option<usize>, noise: &mut Noise, slow: &mut Slow) -> f64;

/// Name, onset and rows of the faults, and shape.
type Plan = (&'static str, [(usize, usize); 3], Shape);

const SERIES: [Plan; 4] = [
    ("daily", [(1_500, 24), (2_450, 36), (3_300, 6)], daily),
    ("levels", [(1_200, 40), (2_200, 40), (3_400, 40)], levels),
    ("bursty", [(1_600, 24), (2_500, 24), (3_500, 24)], bursty),
    ("wave", [(1_400, 36), (2_300, 36), (3_200, 36)], wave),
];

/// The same series each time.
pub(super) fn make() -> Vec<Series> {
    let make = |(seed, (name, faults, shape)): (usize, Plan)| {
        let (mut noise, mut slow) = (Noise(11 + seed as u64), Slow::default());
        let faults = faults.map(|(from, rows)| from..from + rows).to_vec();
        let fault = |row: usize| faults.iter().position(|fault| fault.contains(&row));
        let values = (0..ROWS).map(|row| shape(row, fault(row), &mut noise, &mut slow)).collect();
        Series { name, values, faults }
    };
    SERIES.into_iter().enumerate().map(make).collect()
}

/// Follows the day. Too low by day; as high by night as by day; far too high for half an hour.
fn daily(row: usize, fault: Option<usize>, noise: &mut Noise, slow: &mut Slow) -> f64 {
    let by_day = |row: usize| 100.0 - 60.0 * (TAU * row as f64 / DAY as f64).cos();
    let usual = by_day(row) + 4.0 * slow.next(0.8, noise);
    match fault {
        Some(0) => 0.5 * usual,
        Some(1) => usual - by_day(row) + 160.0,
        Some(_) => usual + 150.0,
        None => usual,
    }
}

/// Noise about a level. The level is elsewhere; the noise is larger; there is none.
fn levels(_row: usize, fault: Option<usize>, noise: &mut Noise, slow: &mut Slow) -> f64 {
    let drawn = slow.next(0.3, noise);
    match fault {
        Some(0) => 58.0 + drawn,
        Some(1) => 50.0 + 5.0 * drawn,
        Some(_) => 50.0,
        None => 50.0 + drawn,
    }
}

/// Mostly little, at times much. Much all the time; more than ever; nothing.
fn bursty(_row: usize, fault: Option<usize>, noise: &mut Noise, _slow: &mut Slow) -> f64 {
    let rare = noise.even() < 0.03;
    let usual = 2.0 + noise.even() + if rare { 20.0 + 10.0 * noise.even() } else { 0.0 };
    match fault {
        Some(0) => usual + 22.0,
        Some(1) => 4.0 * usual + 40.0,
        Some(_) => 0.0,
        None => usual,
    }
}

/// A wave of two hours. Faster; lower; higher.
fn wave(row: usize, fault: Option<usize>, noise: &mut Noise, slow: &mut Slow) -> f64 {
    let turns = row as f64 / 24.0;
    let drawn = 0.8 * slow.next(0.5, noise);
    let (height, turns) = match fault {
        Some(0) => (20.0, 4.0 * turns),
        Some(1) => (4.0, turns),
        Some(_) => (60.0, turns),
        None => (20.0, turns),
    };
    70.0 + height * (TAU * turns).sin() + drawn
}
