//! What a row costs, and how to get by with less.
//!
//! **The model.** A row that is judged costs
//!
//! > `ROW` + `METRIC`·metrics, and where peers are compared `COMPARED`·metrics + `CELL`·cells of their blocks,
//!
//! `FEW` more for each of three metrics or fewer, and `HOURS` for each where there are more, up to 256. What is left out
//! follows from the model and never from a clock: the same budget gives the same scores on every machine, and a machine of half
//! the speed takes twice as long.
//!
//! **What is left out**, in this order, until the model is within the budget: the comparison of metrics with their peers, which
//! is a fifth of the cost; then rows. Each n-th row is judged, as if samples came n times as seldom: the row that is judged
//! costs up to n times the budget, the mean over all rows does not exceed it. Rejected: fewer peers for each metric, as the
//! passes over 4,096 cells together cost half a microsecond, and what is done with the result for each metric costs more.
//! Rejected: bands before rows, as nothing else sees what a single metric does.
//!
//! **When it fails.** A fault is seen up to n rows later, and one that is over before is not seen. The 60 rows of the warm-up are
//! 60·n.
//!
//! **Measured** on 2026-11-22 with rustc 1.95 in release mode on one core of a virtual machine with an AMD EPYC processor, by
//! `cargo run --release -p larnax-detect --example cost -- auto METRICS ROWS`, the best of six runs: 2.7 µs for 28 metrics
//! without peers and 3.4 with, 8.6 and 10.9 for 100, 39 and 47 for 500, 160 and 187 for 2,000; before hours were kept, which
//! adds a few tenths of a microsecond to 28. The constants promise a tenth to a quarter more than that; beside busy programs on
//! the same caches, a row can take longer.

use std::fmt;
use std::time::Duration;

use super::few;
use super::peers;
use super::rhythm;

/// Nanoseconds for each row,
const ROW: f64 = 500.0;
/// for each metric, its band and its edges,
const METRIC: f64 = 95.0;
/// for each of three metrics or fewer,
const FEW: f64 = 700.0;
/// for each metric that has peers,
const COMPARED: f64 = 20.0;
/// for each metric of which hours are kept,
const HOURS: f64 = 10.0;
/// and for each cell of a matrix of peers, in all three passes.
const CELL: f64 = 0.15;

/// What is judged within a budget, and what that is expected to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostPlan {
    /// Whether metrics are compared with their peers, where they would be without a budget.
    pub peers: bool,
    /// One of so many rows is judged.
    pub every: u32,
    /// CPU of a row, the mean over those that are judged and those that are not.
    pub expected: Duration,
}

impl CostPlan {
    /// What can be had for so many metrics within a budget.
    pub fn new(metrics: usize, budget: Duration) -> Self {
        let budget = budget.as_secs_f64() * 1e9;
        let peers = nanoseconds(metrics, true) <= budget;
        let cost = nanoseconds(metrics, peers);
        // The cast saturates; no budget is less than a nanosecond.
        let every = (cost / budget.max(1.0)).ceil().max(1.0) as u32;
        Self { peers, every, expected: Duration::from_secs_f64(cost / f64::from(every) / 1e9) }
    }

    /// Whether anything is left out.
    pub fn saves(&self) -> bool {
        !self.peers || self.every > 1
    }
}

impl fmt::Display for CostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {:.1} µs a row", self.expected.as_secs_f64() * 1e6)?;
        match (self.peers, self.every) {
            (true, 1) => f.write_str(", nothing is left out"),
            (true, every) => write!(f, ", one of {every} rows is judged"),
            (false, 1) => f.write_str(", metrics are not compared with each other"),
            (false, every) => {
                write!(f, ", metrics are not compared with each other and one of {every} rows is judged")
            }
        }
    }
}

/// What a row costs that is judged.
fn nanoseconds(metrics: usize, peers: bool) -> f64 {
    let width = metrics as f64;
    let few = if metrics <= few::MOST { FEW * width } else { 0.0 };
    let cells = peers::cells(metrics) as f64;
    let compared = if peers && cells > 0.0 { COMPARED * width + CELL * cells } else { 0.0 };
    let hours = HOURS * rhythm::kept(metrics) as f64;
    ROW + METRIC * width + few + hours + compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(metrics: usize, micros: u64) -> CostPlan {
        CostPlan::new(metrics, Duration::from_micros(micros))
    }

    #[test]
    fn a_smaller_budget_leaves_out_more_and_is_kept() {
        for metrics in [0, 1, 3, 28, 64, 100, 500, 2_000, 10_000] {
            assert!(!plan(metrics, 1_000_000).saves(), "{metrics}");
            let mut before = plan(metrics, 1_000_000);
            for micros in [1_000, 200, 50, 20, 5, 1] {
                let plan = plan(metrics, micros);
                assert!(plan.expected <= Duration::from_micros(micros), "{metrics} {micros} {plan:?}");
                assert!(plan.peers <= before.peers && plan.every >= before.every, "{metrics} {micros}");
                assert!(plan.every == 1 || !plan.peers, "rows go last: {metrics} {micros}");
                before = plan;
            }
        }
        assert_eq!(CostPlan::new(5, Duration::ZERO), CostPlan::new(5, Duration::from_nanos(1)));
    }

    #[test]
    fn a_plan_says_what_it_leaves_out() {
        assert_eq!(plan(28, 50).to_string(), "about 4.1 µs a row, nothing is left out");
        assert_eq!(
            plan(2_000, 50).to_string(),
            "about 47.6 µs a row, metrics are not compared with each other and one of 4 rows is judged"
        );
    }
}
