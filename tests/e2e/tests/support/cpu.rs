//! How busy this machine is, whoever keeps it so.

use std::fmt;

/// Looks that are averaged: as many as a shift is averaged over, when there is one a second.
const AVERAGED: f64 = 6.0;

/// The share of its time that the machine's CPU was not idle.
#[derive(Debug)]
pub(crate) struct Busy {
    /// Jiffies so far: idle, and all.
    last: (f64, f64),
    /// The average over six looks,
    pub(crate) now: f64,
    /// and the largest so far.
    pub(crate) most: f64,
    /// How many looks there were.
    pub(crate) looks: u32,
}

impl Busy {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { last: jiffies(), now: 0.0, most: 0.0, looks: 0 }
    }

    /// Takes in the time since the look before.
    pub(crate) fn look(&mut self) {
        let (idle, all) = jiffies();
        let share = 1.0 - (idle - self.last.0) / (all - self.last.1).max(1.0);
        self.last = (idle, all);
        self.looks += 1;
        self.now += (share - self.now) / AVERAGED;
        self.most = self.most.max(self.now);
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its CPU was busy for {:.0} % of six seconds", 100.0 * self.most)
    }
}

/// Idle time and time in all since the machine started (`proc_stat(5)`: idle and iowait are the fourth and fifth number;
/// guests, the last two, are in the first already).
fn jiffies() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let numbers: Vec<f64> = text
        .lines()
        .next()
        .into_iter()
        .flat_map(|line| line.split_whitespace().skip(1).take(8))
        .map(|n| n.parse().unwrap_or(0.0))
        .collect();
    (numbers[3] + numbers[4], numbers.iter().sum())
}
