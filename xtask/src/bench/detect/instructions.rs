//! Instructions for a sample, counted by valgrind's callgrind: unlike a time, the same on a busy machine.

use std::path::Path;

use anyhow::{Context, Result};
use larnax_test_peers::{Peer, Peers};

use super::METRICS;
use crate::cargo;

/// Rows that are judged one after the other, and how often: what comes before them is the same, and leaves the difference.
const ROWS: &str = "2000";
const FEW: u32 = 1;
const MANY: u32 = 3;

/// Instructions that a detector needs to score and learn a sample, in the mean, once warm.
pub(super) fn of_a_sample(peers: &Peers, cost: &Path, detector: &str) -> Result<f64> {
    let (few, many) = (of_a_run(peers, cost, detector, FEW)?, of_a_run(peers, cost, detector, MANY)?);
    let rows = f64::from(MANY - FEW) * ROWS.parse::<f64>()?;
    Ok(((many - few) / rows).round())
}

fn of_a_run(peers: &Peers, cost: &Path, detector: &str, times: u32) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let said = folder.path().join("said");
    let mut command = peers.command(Peer::Valgrind);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--log-file={}", said.display()))
        .arg(cost)
        .args([detector, METRICS, ROWS, &times.to_string()]);
    cargo::output(&mut command)?;
    let said = std::fs::read_to_string(said)?;
    counted(&said).with_context(|| format!("callgrind counted nothing: {said}"))
}

/// The number in `==123== Collected : 456`.
fn counted(said: &str) -> Option<f64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        assert_eq!(counted("==7== Events    : Ir\n==7== Collected : 2170641\n"), Some(2_170_641.0));
        assert_eq!(counted("==7== Events    : Ir\n"), None);
    }
}
