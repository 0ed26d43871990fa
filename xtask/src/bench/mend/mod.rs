//! `cargo xtask bench mend`: whether a shop that breaks is mended, by what, how soon, and whether that gets better with each time; beside
//! doing nothing and beside starting everything again.
//!
//! An agent with a hub learns a well shop for one of its days, once. Then shops are opened in pairs that share out the faults, each
//! watched by an agent that knows just that. One of a pair may act, and what is learnt stays: each of its faults comes a few times, in
//! turn, and then the decoys. The other has the same faults and only watches.
//!
//! - `lane` is what happens in a pair of shops; `follow` looks at one round until its outcome is known; `judge` says what came of it; `table`
//!   counts.

mod follow;
mod judge;
mod lane;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use larnax_shop::Fault;
use larnax_test_peers::Agent;
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, pattern, report, shop};
use crate::cargo;
use lane::Lane;

/// Occurrences of a fault after which it counts as learnt.
const LEARNT_AFTER: u64 = 5;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    times: u64,
    parallel: usize,
    first: u64,
    learn: Duration,
    learnt: Option<PathBuf>,
    faults: Vec<Fault>,
    hours: f64,
    notes: Option<String>,
}

impl Options {
    /// Reads the arguments after `bench mend`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options {
            times: LEARNT_AFTER + 1,
            parallel: 2,
            first: 1,
            learn: shop::DAY,
            learnt: None,
            faults: Vec::new(),
            hours: 6.0,
            notes: None,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("times") => options.times = arguments.value()?.parse()?,
                Arg::Long("parallel") => options.parallel = arguments.value()?.parse()?,
                Arg::Long("first") => options.first = arguments.value()?.parse()?,
                Arg::Long("learn") => options.learn = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("learnt") => options.learnt = Some(arguments.value()?.into()),
                Arg::Long("fault") => options.faults.push(arguments.value()?.parse()?),
                Arg::Long("hours") => options.hours = arguments.value()?.parse()?,
                Arg::Long("note") => options.notes = Some(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!((1..=8).contains(&options.parallel), "--parallel: expected 1 to 8 pairs of shops");
        ensure!((1..=100).contains(&options.times), "--times: expected 1 to 100");
        ensure!(options.hours > 0.0 && options.hours <= 48.0, "--hours: expected more than 0, at most 48");
        Ok(options)
    }

    /// What is broken: those that somebody who looks at metrics can tell from one another, unless others are asked for.
    fn faults(&self) -> Vec<Fault> {
        if !self.faults.is_empty() {
            return self.faults.clone();
        }
        Fault::ALL.into_iter().filter(|fault| !pattern::TWINS.contains(fault)).collect()
    }

    /// The faults of one of the shops.
    fn of_lane(&self, number: usize) -> Vec<Fault> {
        self.faults().into_iter().skip(number).step_by(self.parallel).collect()
    }
}

/// Measures, prints the tables and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    let program = match std::env::var_os("LARNAX_PROGRAMS") {
        Some(_) => Agent::program("larnax"),
        None => cargo::build_release("larnax")?,
    };
    let folder = tempfile::tempdir()?;
    let learnt = options.learnt.clone().unwrap_or_else(|| folder.path().join("learnt"));
    eprintln!(
        "no round begins later than {} hours after a well shop is learnt; a round takes {} min at most",
        options.hours,
        follow::FOLLOWED.as_secs() / 60
    );
    shop::learn(options.first, options.learn, &program, &learnt)?;
    let (rows, given_up) = rounds(options, &program, &learnt);
    let whole = options.faults.is_empty()
        && options.times > LEARNT_AFTER
        && given_up.is_empty()
        && rows.len() == lane::rounds_of(options.times) * options.faults().len();
    let result = json!({
        "date": machine::today()?,
        "machine": machine,
        "note": options.notes,
        "learnt_seconds": options.learn.as_secs(),
        "times": options.times,
        "pairs": options.parallel,
        "given_up": given_up,
        "rows": rows,
    });
    print!("{}", table::table(&result));
    // A part must not take the place of the whole.
    report::keep(&if whole { report::folder() } else { cargo::target().join("bench") }, &result, "mend")
}

/// All rounds of all shops, and why some are missing.
fn rounds(options: &Options, program: &Path, learnt: &Path) -> (Vec<Value>, Vec<String>) {
    let rows = Mutex::new(Vec::new());
    let until = Instant::now() + Duration::from_secs_f64(3_600.0 * options.hours);
    let given_up = scope(|scope| {
        let lanes: Vec<_> = (0..options.parallel)
            .map(|number| {
                let (faults, rows) = (options.of_lane(number), &rows);
                let seed = options.first + number as u64;
                let lane =
                    Lane { seed, first: options.first, times: options.times, until, program, learnt, rows };
                scope.spawn(move || lane.run(&faults))
            })
            .collect();
        let ended = lanes.into_iter().enumerate().map(|(number, lane)| match lane.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("shop {number}: {error:#}")),
            Err(_) => Some(format!("shop {number} was given up, see above")),
        });
        ended.flatten().collect()
    });
    (rows.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()), given_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options> {
        Options::parse(Parser::from_args(arguments))
    }

    #[test]
    fn ten_faults_are_shared_out_among_the_shops() {
        let options = options(&["--parallel", "3"]).unwrap();
        let mut all: Vec<Fault> = (0..3).flat_map(|number| options.of_lane(number)).collect();
        all.sort();
        assert_eq!((all.len(), all), (10, options.faults()));
    }

    #[test]
    fn what_can_t_be_is_refused() {
        for bad in [["--parallel", "0"], ["--times", "0"], ["--hours", "NaN"], ["--hours", "49"]] {
            assert!(options(&bad).is_err(), "{bad:?}");
        }
    }
}
