//! `cargo xtask bench pattern`: whether a fault of the shop is known again by what it looks like, and one that was never seen before
//! is known to be none of those that were.
//!
//! - `record` breaks shops, as `bench shop` does, and keeps the evidence of each fault in a file. That takes hours;
//! - an example of larnax-hub judges a file in a minute, any time later, by the code that a hub runs; `table` shows it.

mod record;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use larnax_shop::Fault;
use larnax_test_peers::Agent;
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, report, shop};
use crate::cargo;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    runs: usize,
    first: u64,
    parallel: usize,
    learn: Duration,
    learnt: Option<PathBuf>,
    faults: Vec<Fault>,
    record: Option<PathBuf>,
    data: Option<PathBuf>,
    notes: Option<String>,
}

impl Options {
    /// Reads the arguments after `bench pattern`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options {
            runs: RUNS,
            first: 1,
            parallel: 5,
            learn: shop::DAY,
            learnt: None,
            faults: Vec::new(),
            record: None,
            data: None,
            notes: None,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("runs") => options.runs = arguments.value()?.parse()?,
                Arg::Long("first") => options.first = arguments.value()?.parse()?,
                Arg::Long("learn") => options.learn = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("parallel") => options.parallel = arguments.value()?.parse()?,
                Arg::Long("learnt") => options.learnt = Some(arguments.value()?.into()),
                Arg::Long("fault") => options.faults.push(arguments.value()?.parse()?),
                Arg::Long("record") => options.record = Some(arguments.value()?.into()),
                Arg::Long("data") => options.data = Some(arguments.value()?.into()),
                Arg::Long("note") => options.notes = Some(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!((1..=16).contains(&options.parallel), "--parallel: expected 1 to 16 shops");
        ensure!(options.record.is_none() || options.data.is_none(), "either --record or --data");
        if options.faults.is_empty() {
            options.faults = Fault::ALL.to_vec();
        }
        Ok(options)
    }
}

/// How often each fault is put somewhere.
const RUNS: usize = 10;

/// Faults that are another one of the shop's to all who look at metrics: the same cpu, a little later; the same silence; the same late
/// messages, but for those that are so late that they are given up. Without them there are ten.
pub(super) const TWINS: [Fault; 3] = [Fault::CpuLeak, Fault::Freeze, Fault::LinkLoss];

/// Measures, prints the tables and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = match (&options.data, &options.record) {
        (Some(data), _) => data.clone(),
        (None, record) => {
            let into = record.clone().unwrap_or_else(|| folder.path().join("pattern.jsonl"));
            let program = match std::env::var_os("LARNAX_PROGRAMS") {
                Some(_) => Agent::program("larnax"),
                None => cargo::build_release("larnax")?,
            };
            record::run(options, &program, &into)?;
            into
        }
    };
    let judge = cargo::example("larnax-hub", "patterns")?;
    let judged = |faults: &[&str]| -> Result<Value> {
        let input = File::open(&data).with_context(|| data.display().to_string())?;
        Ok(serde_json::from_str(&cargo::output(Command::new(&judge).args(faults).stdin(input))?)?)
    };
    let ten: Vec<&str> =
        Fault::ALL.iter().filter(|fault| !TWINS.contains(fault)).map(|fault| fault.name()).collect();
    let result = json!({
        "date": machine::today()?,
        "machine": machine::describe()?,
        "note": options.notes,
        "recorded": recorded(&data)?,
        "all": judged(&[])?,
        "ten": judged(&ten)?,
    });
    print!("{}", table::table(&result));
    // A part must not take the place of the whole.
    let whole = table::is_whole(&result, RUNS);
    report::keep(&if whole { report::folder() } else { cargo::target().join("bench") }, &result, "pattern")
}

/// How often each fault is in a recording, whatever came of it.
fn recorded(data: &Path) -> Result<BTreeMap<String, u64>> {
    let mut recorded = BTreeMap::new();
    for line in BufReader::new(File::open(data)?).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        *recorded.entry(line["fault"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(recorded)
}
