//! `cargo xtask bench diagnose`: how often the right component is named, on public sets whose faults were injected, beside simple
//! rules; and what ranking costs.
//!
//! - `petshop`, `nezha` and `sockshop` turn the sets into cases, `files` reads them, `trial` is one case with its truth.
//! - `live` sends the same cases through a hub;
//! - `rules` are the simple rules; `score` counts, `table` prints.

mod files;
mod live;
mod nezha;
mod petshop;
pub(super) mod rules;
mod score;
mod sockshop;
mod table;
mod trial;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use larnax_core::ComponentId;
use larnax_diagnose::{Case, When, rank};
use lexopt::{Arg, Parser};
use serde_json::{Value, json};

use super::{machine, report};
use crate::cargo;
use score::Outcome;
use trial::Trial;

/// How wrong an onset is told to be, in seconds.
const SHIFT: Duration = Duration::from_secs(60);

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Where the public sets are.
    data: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments after `bench diagnose`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("data") => options.data = Some(arguments.value()?.into()),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// How the onset of a case is told.
#[derive(Clone, Copy)]
enum Told {
    Given,
    Found,
    Early,
    Late,
}

impl Told {
    fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Found => "found",
            Self::Early => "60 s early",
            Self::Late => "60 s late",
        }
    }

    /// The case with its onset told like that; none where that makes no sense.
    fn of(self, case: &Case) -> Option<Case> {
        let when = match (self, &case.when) {
            (Self::Given, when) => when.clone(),
            (Self::Found, When::Since(_)) => When::Unknown,
            (Self::Early, When::Since(onset)) => When::Since(onset.minus(SHIFT)),
            (Self::Late, When::Since(onset)) => When::Since(onset.plus(SHIFT)),
            _ => return None,
        };
        Some(Case { when, ..case.clone() })
    }
}

/// Measures, prints the table, and keeps the raw results if all sets were there.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    let mut trials = Vec::new();
    type Read = fn(&std::path::Path) -> Result<Vec<Trial>>;
    let sets: [(&str, Read); 3] =
        [("rca_petshop", petshop::trials), ("rca_nezha", nezha::trials), ("rca_sockshop", sockshop::trials)];
    let mut missing = false;
    for (name, read) in sets {
        match options.data.as_deref().filter(|data| data.join(name).is_dir()) {
            Some(data) => trials.extend(read(data).with_context(|| name.to_owned())?),
            None => {
                missing = true;
                eprintln!("NO {name}: `--data DIR` names the folder that has it. It is not judged.");
            }
        }
    }
    let cost = cargo::example("larnax-diagnose", "cost")?;
    let cost: Value = serde_json::from_str(&cargo::output(&mut Command::new(cost))?)?;
    let mut systems: Vec<&str> = trials.iter().map(|trial| trial.system).collect();
    systems.dedup();
    let mut rows = Vec::new();
    for system in systems {
        let of: Vec<&Trial> = trials.iter().filter(|trial| trial.system == system).collect();
        rows.extend(judge(system, &of));
        rows.push(through_hub(system, &of)?);
    }
    let result = json!({ "date": machine::today()?, "machine": machine, "cost": cost, "rows": rows });
    print!("{}", table::table(&result));
    // A part must not take the place of the whole.
    report::keep(&if missing { cargo::target().join("bench") } else { report::folder() }, &result, "diagnose")
}

/// Ours with the onset told in each way, the rules with the true and the shifted one, and blind choice.
fn judge(system: &str, trials: &[&Trial]) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut row = |method: &str, onset: &str, figures: Value, outcomes: Vec<Value>| {
        let mut row = json!({ "system": system, "method": method, "onset": onset, "outcomes": outcomes });
        for (name, figure) in figures.as_object().into_iter().flatten() {
            row[name] = figure.clone();
        }
        rows.push(row);
    };
    for told in [Told::Given, Told::Found, Told::Early, Told::Late] {
        let cases: Vec<(&Trial, Case)> =
            trials.iter().filter_map(|trial| Some((*trial, told.of(&trial.case)?))).collect();
        if cases.is_empty() {
            continue;
        }
        let outcomes: Vec<Outcome> = cases.iter().map(|(trial, case)| ours(trial, case)).collect();
        let raw = cases.iter().zip(&outcomes).map(|((trial, _), outcome)| {
            json!({ "case": trial.id, "rank": outcome.rank, "named": outcome.named, "confidence": outcome.confidence })
        });
        row("larnax", told.as_str(), score::figures(&outcomes), raw.collect());
        if matches!(told, Told::Found) {
            continue;
        }
        for rule in rules::RULES {
            let place = |(trial, case): &(&Trial, Case)| Outcome {
                rank: position(rules::rank(case, rule).iter(), &trial.truth),
                named: None,
                confidence: None,
            };
            let outcomes: Vec<Outcome> = cases.iter().map(place).collect();
            row(rule.0, told.as_str(), score::figures(&outcomes), Vec::new());
        }
    }
    let sizes: Vec<usize> = trials.iter().map(|trial| trial.case.components.len()).collect();
    row("blind choice", "given", score::blind(&sizes), Vec::new());
    rows
}

/// Ours where the evidence is pulled from edges by a hub, and how much that is.
fn through_hub(system: &str, trials: &[&Trial]) -> Result<Value> {
    let all = live::run(trials).context("through a hub")?;
    let outcomes: Vec<Outcome> = all.iter().map(|live| live.outcome).collect();
    let raw = trials.iter().zip(&all).map(|(trial, live)| {
        json!({
            "case": trial.id, "rank": live.outcome.rank, "named": live.outcome.named,
            "confidence": live.outcome.confidence, "bytes": live.bytes, "incidents": live.incidents,
        })
    });
    let mut row = json!({
        "system": system, "method": "larnax, through a hub", "onset": "alerted",
        "outcomes": raw.collect::<Vec<_>>(),
        "bytes_mean": all.iter().map(|live| live.bytes).sum::<u64>() as f64 / all.len().max(1) as f64,
        "bytes_max": all.iter().map(|live| live.bytes).max(),
        "bytes_budget": all.iter().map(|live| live.budget).max(),
        "one_incident": all.iter().filter(|live| live.incidents == 1).count(),
    });
    for (name, figure) in score::figures(&outcomes).as_object().into_iter().flatten() {
        row[name] = figure.clone();
    }
    Ok(row)
}

fn ours(trial: &Trial, case: &Case) -> Outcome {
    let diagnosis = rank(case);
    let candidates = diagnosis.candidates.iter().map(|candidate| &candidate.component);
    Outcome {
        rank: position(candidates, &trial.truth),
        named: Some(diagnosis.known),
        confidence: Some(diagnosis.confidence),
    }
}

/// Where a component stands, from 1.
fn position<'a>(mut ranking: impl Iterator<Item = &'a ComponentId>, truth: &ComponentId) -> Option<usize> {
    Some(ranking.position(|component| component == truth)? + 1)
}
