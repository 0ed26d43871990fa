//! `cargo xtask bench detect`: how good each detector is on each labelled set at hand, and what it costs.
//!
//! - `sets` finds the sets and runs `larnax evaluate`; `made` writes the small ones that need no download.
//! - `table` and `frontier` show the results.
//! - `recorded` holds the default against what was recorded; `instructions` counts what it costs. Both are steps of
//!   `cargo xtask test`.

mod frontier;
mod instructions;
mod made;
pub(crate) mod recorded;
mod sets;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, report};
use crate::cargo;
use sets::Set;

/// Rows over which the cost of a sample is the mean, and the metrics of a sample: as in ZerOps4E.
const ROWS: &str = "10000";
const METRICS: &str = "28";

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Where the public sets are.
    data: Option<PathBuf>,
    /// All when empty.
    detectors: Vec<String>,
    record: bool,
}

impl Options {
    /// Reads the arguments after `bench detect`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("data") => options.data = Some(arguments.value()?.into()),
                Arg::Long("detector") => options.detectors.push(arguments.value()?.string()?),
                Arg::Long("record") => options.record = true,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.record && (options.data.is_some() || !options.detectors.is_empty()) {
            bail!("--record stands alone: what is recorded is the same each time");
        }
        Ok(options)
    }
}

/// Measures, prints the tables, and if nothing is missing keeps the raw results and draws.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.record {
        return recorded::write();
    }
    let machine = machine::describe()?;
    let larnax = cargo::build_release("larnax")?;
    let cost = cargo::example("larnax-detect", "cost")?;
    let all = cargo::output(Command::new(&cost).arg("list"))?;
    let all: Vec<String> = all.lines().map(str::to_owned).collect();
    let folder = tempfile::tempdir()?;
    let mut sets = public(options.data.as_deref());
    sets.extend(made::write(folder.path())?);
    let mut rows = Vec::new();
    for detector in if options.detectors.is_empty() { &all } else { &options.detectors } {
        let mut row = json!({ "detector": detector, "cost": spent(&cost, detector)? });
        for set in &sets {
            eprintln!("{detector} on {}", set.name);
            // Measured again and again: the least counts, because what else a machine does only adds.
            let again = spent(&cost, detector)?;
            if again["cpu_us"].as_f64() < row["cost"]["cpu_us"].as_f64() {
                row["cost"] = again;
            }
            row["sets"][set.name] = sets::evaluate(&larnax, set, detector)?;
        }
        rows.push(row);
    }
    let result =
        json!({ "date": machine::today()?, "machine": machine, "default": default(&cost)?, "rows": rows });
    print!("{}", table::tables(&result));
    match frontier::draw(&result).filter(|_| options.detectors.is_empty()) {
        Some(picture) => {
            report::keep(&report::folder(), &result, "detect")?;
            report::picture(&report::pictures(), "frontier", &picture)
        }
        // A part must not take the place of the whole.
        None => {
            eprintln!("not all detectors on all public sets: the picture stays as it is");
            report::keep(&cargo::target().join("bench"), &result, "detect")
        }
    }
}

/// What a sample costs a detector.
fn spent(cost: &Path, detector: &str) -> Result<Value> {
    let said = cargo::output(Command::new(cost).args([detector, METRICS, ROWS]))?;
    serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
}

/// The name of the detector that is used when none is asked for.
fn default(cost: &Path) -> Result<String> {
    let measured: Value = serde_json::from_str(&cargo::output(&mut Command::new(cost))?)?;
    Ok(measured["detector"].as_str().context("`cost` names no detector")?.to_owned())
}

/// The public sets at hand. It is said loudly when there are none: the figures that count are missing then.
fn public(data: Option<&Path>) -> Vec<Set> {
    let Some(folder) = data else {
        eprintln!(
            "NO PUBLIC SETS: `--data DIR` names the folder that has smd, asd or nab. Only the made sets are judged."
        );
        return Vec::new();
    };
    let sets = sets::public(folder);
    if sets.is_empty() {
        eprintln!(
            "NO PUBLIC SETS in {}: expected smd, asd or nab. Only the made sets are judged.",
            folder.display()
        );
    }
    sets
}
