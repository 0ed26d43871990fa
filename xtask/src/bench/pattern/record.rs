//! Breaks shops and keeps what was seen of each fault, for the judge.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use larnax_alert::{Ring, RingOptions};
use larnax_core::{ComponentId, Edge, EdgeKind, Timestamp};
use larnax_shop::{Fault, Service};
use serde_json::{Value, json};

use super::Options;
use crate::bench::shop::{self, trial};

/// How long a fault lasts. A slow one is noticed after 14 s, and 30 s of it are looked at.
const LASTS: Duration = Duration::from_secs(45);
/// As far back as a hub asks, see `HubOptions::past`.
const PAST: Duration = Duration::from_secs(600);
const ALL_ROWS: usize = 20_000;

/// What is recorded, one line for each fault.
pub(super) fn run(options: &Options, program: &Path, into: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let learnt = options.learnt.clone().unwrap_or_else(|| folder.path().join("learnt"));
    shop::learn(options.first, options.learn, program, &learnt)?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(into)?;
    let file = Mutex::new(file);
    let seeds: Vec<u64> = (options.first..).take(options.runs).collect();
    for seeds in seeds.chunks(options.parallel) {
        let lanes: Vec<Result<()>> = scope(|scope| {
            let lane = |seed: u64| {
                let mut faults = options.faults.clone();
                // Shops side by side have the same fault at different times.
                faults.rotate_left(seed as usize % options.faults.len());
                let (file, learnt) = (&file, &learnt);
                scope.spawn(move || lane(seed, program, learnt, &faults, file))
            };
            let lanes: Vec<_> = seeds.iter().map(|seed| lane(*seed)).collect();
            let given_up = |_| Err(anyhow!("a shop was given up, see above"));
            lanes.into_iter().map(|lane| lane.join().unwrap_or_else(given_up)).collect()
        });
        lanes.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}

/// One shop and the faults that it has, one after the other.
fn lane(
    seed: u64,
    program: &Path,
    learnt: &Path,
    faults: &[Fault],
    file: &Mutex<std::fs::File>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let shop = shop::open(seed, program, folder.path(), false)?;
    let mut agent = shop::watch(&shop);
    agent.terminate();
    for fault in faults {
        let place = shop::place(*fault, seed + *fault as u64);
        shop::know(&mut agent, learnt)?;
        let mut ready = trial::wait_for_calm(&agent, trial::BEFORE);
        if !ready {
            // What is wrong by chance now must not be what the fault is taken for.
            agent.terminate();
            shop::know(&mut agent, learnt)?;
            ready = trial::wait_for_calm(&agent, trial::BEFORE);
        }
        let seen = {
            let _core = shop::core_for(*fault)?;
            trial::fault(&agent, &shop, (*fault, place), LASTS, ready)?
        };
        agent.terminate();
        let line = line(seed, &seen, &agent.state().join("evidence"))?;
        eprintln!("seed {seed}: {fault} on {place}, began in {}", line["cause"]);
        let mut file = file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        writeln!(file, "{line}")?;
        drop(file);
        sleep(shop::RECOVERY);
    }
    agent.kill();
    shop.stop()?;
    Ok(())
}

/// What was seen of a fault. `evidence` is the folder of an agent that has ended.
fn line(seed: u64, seen: &Value, evidence: &Path) -> Result<Value> {
    let mut line = json!({
        "seed": seed,
        "fault": seen["fault"],
        "place": seen["on"].as_str().map(|name| format!("service/shop/{name}")),
        "disturbed": seen["disturbed"],
        "onset": seen["onset"],
        "cause": seen["candidates"][0]["component"],
        "cause_known": seen["known"] == true,
    });
    let Ok(onset) = serde_json::from_value::<Timestamp>(seen["onset"].clone()) else { return Ok(line) };
    let mut windows = serde_json::Map::new();
    for service in Service::ALL {
        let id = service.component();
        let folder = evidence.join(id.replace('/', "~"));
        let ring = Ring::open(Some(&folder), RingOptions::default())?;
        let window = ring.read(onset.minus(PAST), onset.plus(LASTS), ALL_ROWS, |_| true);
        windows.insert(id, serde_json::to_value(window)?);
    }
    let injected: Timestamp = serde_json::from_value(seen["injected"].clone())?;
    line["until"] = json!(injected.plus(LASTS));
    line["windows"] = Value::Object(windows);
    line["edges"] = json!(edges()?);
    Ok(line)
}

/// Who calls whom in a shop.
fn edges() -> Result<Vec<Edge>> {
    let id = |service: Service| service.component().parse::<ComponentId>().context("a service's name");
    let mut edges = Vec::new();
    for from in Service::ALL {
        for to in from.calls() {
            edges.push(Edge { from: id(from)?, to: id(to)?, kind: EdgeKind::Calls });
        }
    }
    Ok(edges)
}
