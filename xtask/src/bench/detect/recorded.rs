//! What the default detector and `birch` reached on the made sets, and what they cost, in `bench/recorded.json`: a change that
//! makes either worse fails a step of `cargo xtask test`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use larnax_test_peers::{Peer, Peers, fetch};
use serde_json::{Map, Value, json};

use super::{instructions, made, sets};
use crate::cargo::{self, root};
use crate::peers;
use crate::steps::Outcome;

const FILE: &str = "bench/recorded.json";

/// A figure of a set, and how much worse it may be than recorded: judging is the same on each machine, so that this is for
/// changes which gain elsewhere.
struct Figure {
    name: &'static str,
    /// Where `larnax evaluate` says it.
    place: &'static str,
    /// Whether more is better.
    more: bool,
    may_lose: f64,
}

const FIGURES: [Figure; 5] = [
    Figure { name: "VUS-PR", place: "/vus_pr", more: true, may_lose: 0.02 },
    Figure { name: "events with a score above 1", place: "/state/caught", more: true, may_lose: 1.0 },
    Figure { name: "events caught by anomalies", place: "/opened/caught", more: true, may_lose: 1.0 },
    Figure { name: "false anomalies", place: "/opened/false_alarms", more: false, may_lose: 1.0 },
    Figure { name: "false alerts", place: "/alerts/false_alarms", more: false, may_lose: 1.0 },
];

/// How many more instructions than recorded are a regression, by the same compiler and by another, which may lay out the same
/// code otherwise.
const MAY_COST: f64 = 0.05;
const MAY_COST_ELSEWHERE: f64 = 0.25;

/// `cargo xtask bench detect --record`.
pub(super) fn write() -> Result<()> {
    for (package, fetched) in fetch(&[Peer::Valgrind], &peers::folder())? {
        fetched.map_err(|error| error.context(format!("instructions are counted with {package}")))?;
    }
    let cost = cargo::example("larnax-detect", "cost")?;
    let guarded = guarded(&cost)?;
    let larnax = cargo::build_release("larnax")?;
    let recorded = json!({ "accuracy": judge(&larnax, &guarded)?, "instructions": count(&cost, &guarded)? });
    std::fs::write(root().join(FILE), format!("{recorded:#}\n")).context(FILE)?;
    println!("{recorded:#}");
    Ok(())
}

/// The step `accuracy`.
pub(crate) fn check_accuracy() -> Result<Outcome> {
    let cost = cargo::example("larnax-detect", "cost")?;
    let now = judge(&cargo::target().join("release/larnax"), &guarded(&cost)?)?;
    let (worse, told) = compare_accuracy(&now, &recorded()?["accuracy"])?;
    if !worse.is_empty() {
        bail!("{}; if that is worth it, `cargo xtask bench detect --record`", worse.join("; "));
    }
    Ok(Outcome::PassedWith(format!("VUS-PR of {}", told.join(", "))))
}

/// The step `instructions`.
pub(crate) fn check_instructions() -> Result<Outcome> {
    for (package, fetched) in fetch(&[Peer::Valgrind], &peers::folder())? {
        if let Err(error) = fetched {
            return Ok(Outcome::LeftOut(format!("instructions are counted with {package}: {error:#}")));
        }
    }
    let recorded = &recorded()?["instructions"];
    if recorded["cpu"] != std::env::consts::ARCH {
        return Ok(Outcome::LeftOut(format!("instructions were recorded for {}", recorded["cpu"])));
    }
    let cost = cargo::example("larnax-detect", "cost")?;
    let (worse, told) = compare_instructions(&count(&cost, &guarded(&cost)?)?, recorded)?;
    if !worse.is_empty() {
        bail!("{}; if that is worth it, `cargo xtask bench detect --record`", worse.join("; "));
    }
    Ok(Outcome::PassedWith(told.join(", ")))
}

fn recorded() -> Result<Value> {
    let text = std::fs::read_to_string(root().join(FILE)).context(FILE)?;
    serde_json::from_str(&text).context(FILE)
}

/// The default detector, and `birch`.
fn guarded(cost: &Path) -> Result<Vec<String>> {
    let mut guarded = vec![super::default(cost)?, "birch".to_owned()];
    guarded.dedup();
    Ok(guarded)
}

/// The figures of each detector on each made set.
fn judge(larnax: &Path, detectors: &[String]) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let sets = made::write(folder.path())?;
    let mut all = Map::new();
    for detector in detectors {
        for set in &sets {
            let said = sets::evaluate(larnax, set, detector)?;
            let figures: Map<String, Value> = FIGURES
                .iter()
                .map(|figure| {
                    (figure.name.to_owned(), said.pointer(figure.place).cloned().unwrap_or_default())
                })
                .collect();
            all.insert(format!("{detector} on {}", set.name), figures.into());
        }
    }
    Ok(all.into())
}

/// Instructions for a sample of each detector, and by which compiler.
fn count(cost: &Path, detectors: &[String]) -> Result<Value> {
    let peers = Peers::under(&peers::folder());
    let mut all = Map::new();
    for detector in detectors {
        all.insert(detector.clone(), instructions::of_a_sample(&peers, cost, detector)?.into());
    }
    let rustc = cargo::output(Command::new("rustc").arg("--version"))?;
    Ok(json!({ "cpu": std::env::consts::ARCH, "rustc": rustc.trim(), "a_sample": all }))
}

/// What is worse than recorded, and what is to be said in any case.
type Compared = (Vec<String>, Vec<String>);

fn compare_accuracy(now: &Value, recorded: &Value) -> Result<Compared> {
    let (mut worse, mut told) = (Vec::new(), Vec::new());
    for (what, figures) in now.as_object().into_iter().flatten() {
        for Figure { name, more, may_lose, .. } in FIGURES {
            let before = recorded[what][name].as_f64();
            let before = before.with_context(|| format!("{FILE} has no {name} of {what}"))?;
            let now = figures[name].as_f64().with_context(|| format!("{what} has no {name}"))?;
            let lost = if more { before - now } else { now - before };
            // What a difference of decimals leaves in the last place is no loss.
            if lost > may_lose + 1e-9 {
                worse.push(format!("{what}: {name} {now:.3}, recorded {before:.3}"));
            }
        }
        told.push(format!("{what} {:.3}", figures["VUS-PR"].as_f64().unwrap_or_default()));
    }
    Ok((worse, told))
}

fn compare_instructions(now: &Value, recorded: &Value) -> Result<Compared> {
    let (mut worse, mut told) = (Vec::new(), Vec::new());
    let same = now["rustc"] == recorded["rustc"];
    let may_cost = if same { MAY_COST } else { MAY_COST_ELSEWHERE };
    for (detector, count) in now["a_sample"].as_object().into_iter().flatten() {
        let before = recorded["a_sample"][detector].as_f64();
        let before = before.with_context(|| format!("{FILE} has no instructions of {detector}"))?;
        let now = count.as_f64().unwrap_or_default();
        let compared = format!("{detector} {now:.0} instructions a sample, recorded {before:.0}");
        if now > before * (1.0 + may_cost) { &mut worse } else { &mut told }.push(compared);
    }
    if !same {
        told.push(format!("recorded with {}", recorded["rustc"].as_str().unwrap_or_default()));
    }
    Ok((worse, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_that_got_worse_by_more_than_is_allowed_is_named() {
        let of = |vus: f64, caught: u32, false_ones: u32| {
            json!({"a on host": {"VUS-PR": vus, "events caught by anomalies": caught, "false anomalies": false_ones,
                "events with a score above 1": 8, "false alerts": 0}})
        };
        let worse = |now: Value| compare_accuracy(&now, &of(0.5, 8, 0)).unwrap().0;
        assert!(worse(of(0.481, 7, 1)).is_empty());
        assert_eq!(worse(of(0.47, 8, 0)), ["a on host: VUS-PR 0.470, recorded 0.500"]);
        assert_eq!(worse(of(0.6, 6, 2)).len(), 2);
        assert!(compare_accuracy(&of(0.5, 8, 0), &json!({})).is_err());
    }

    #[test]
    fn more_instructions_are_a_regression_and_another_compiler_may_need_more() {
        let of = |rustc: &str, count: f64| json!({"rustc": rustc, "a_sample": {"a": count}});
        let worse = |now: Value| compare_instructions(&now, &of("1.95", 1000.0)).unwrap().0.len();
        assert_eq!([worse(of("1.95", 1040.0)), worse(of("1.95", 1060.0))], [0, 1]);
        assert_eq!([worse(of("1.96", 1060.0)), worse(of("1.96", 1300.0))], [0, 1]);
    }
}
