//! `cargo xtask bench shop`: which faults of the shop become an incident, how soon, and whether its diagnosis names the service that
//! has them, beside simple rules.
//!
//! First an agent with a hub (`larnax up`) learns a shop that is well, for a whole one of its days. Then for each seed three shops are
//! opened side by side, watched by agents that know just what was learnt; each has a decoy, about which nobody should be told, and a
//! fault, and is well again.
//!
//! - `trial` is one fault or decoy and what was seen of it; `rules` asks simple rules about the same evidence; `table` counts.

mod rules;
mod table;
pub(super) mod trial;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Result, anyhow};
use larnax_shop::{Decoy, Fault, Service, Shop, ShopOptions};
use larnax_test_peers::Agent;
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::load::copy;
use super::{machine, report};
use crate::cargo;

/// So many of the faults meet each seed; which ones changes with the seed, so that all have their turn.
const FAULTS: usize = 10;
/// Shops side by side.
const SHOPS: usize = 3;
/// How long a day of the shop's customers is: who knows less of it takes other hours for anomalies.
pub(super) const DAY: Duration = Duration::from_secs(1_200);
/// How long a fault lasts, as with `larnax inject`; at the end of it the diagnosis is read.
const LASTS: Duration = Duration::from_secs(60);
/// How long a shop recovers after a fault before an agent looks at it again: it keeps idle connections for five seconds.
pub(super) const RECOVERY: Duration = Duration::from_secs(12);

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    seeds: u64,
    first: u64,
    learn: Duration,
    learnt: Option<PathBuf>,
    faults: Vec<Fault>,
    notes: Option<String>,
}

impl Options {
    /// Reads the arguments after `bench shop`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options =
            Options { seeds: 5, first: 1, learn: DAY, learnt: None, faults: Vec::new(), notes: None };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("seeds") => options.seeds = arguments.value()?.parse()?,
                Arg::Long("first") => options.first = arguments.value()?.parse()?,
                Arg::Long("learn") => options.learn = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("learnt") => options.learnt = Some(arguments.value()?.into()),
                Arg::Long("fault") => options.faults.push(arguments.value()?.parse()?),
                Arg::Long("note") => options.notes = Some(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    /// The faults of a seed.
    fn of_seed(&self, seed: u64) -> Vec<Fault> {
        if !self.faults.is_empty() {
            return self.faults.clone();
        }
        let left_out = Fault::ALL.len().saturating_sub(FAULTS);
        let from = seed as usize * left_out;
        (0..FAULTS).map(|number| Fault::ALL[(from + number) % Fault::ALL.len()]).collect()
    }
}

/// Measures, prints the tables and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    let program = cargo::build_release("larnax")?;
    let folder = tempfile::tempdir()?;
    let learnt = options.learnt.clone().unwrap_or_else(|| folder.path().join("learnt"));
    learn(options.first, options.learn, &program, &learnt)?;
    let mut rows = Vec::new();
    for seed in (options.first..).take(options.seeds as usize) {
        rows.extend(one_seed(options, seed, &program, &learnt)?);
    }
    let result = json!({
        "date": machine::today()?,
        "machine": machine,
        "note": options.notes,
        "learnt_seconds": options.learn.as_secs(),
        "rows": rows,
    });
    print!("{}", table::table(&result));
    // A part must not take the place of the whole.
    let whole = options.faults.is_empty() && options.seeds >= 5;
    report::keep(&if whole { report::folder() } else { cargo::target().join("bench") }, &result, "shop")
}

/// The shops of a seed, side by side.
fn one_seed(options: &Options, seed: u64, program: &Path, learnt: &Path) -> Result<Vec<Value>> {
    let faults = options.of_seed(seed);
    let lanes = scope(|scope| {
        let lane = |number: usize| {
            let mine: Vec<Fault> = faults.iter().copied().skip(number).step_by(SHOPS).collect();
            scope.spawn(move || lane(seed, program, learnt, &mine))
        };
        let lanes: Vec<_> = (0..SHOPS).map(lane).collect();
        lanes.into_iter().map(|lane| lane.join()).collect::<Vec<_>>()
    });
    let mut rows = Vec::new();
    for lane in lanes {
        rows.extend(lane.map_err(|_| anyhow!("seed {seed} was given up, see above"))??);
    }
    Ok(rows)
}

fn lane(seed: u64, program: &Path, learnt: &Path, faults: &[Fault]) -> Result<Vec<Value>> {
    if faults.is_empty() {
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir()?;
    let shop = open(seed, program, folder.path(), false)?;
    let mut agent = watch(&shop);
    agent.terminate();
    let mut rows = Vec::new();
    let mut keep = |mut row: Value| {
        row["seed"] = json!(seed);
        eprintln!("{row}");
        rows.push(row);
    };
    for fault in faults {
        let number = seed + *fault as u64;
        let place = place(*fault, number);
        know(&mut agent, learnt)?;
        let decoy = Decoy::ALL[number as usize % Decoy::ALL.len()];
        let on = decoy.usual_place().map(|_| Service::ALL[(number + 1) as usize % Service::ALL.len()]);
        let seen = trial::decoy(&agent, &shop, decoy, on)?;
        if seen["incidents"] != json!(0) {
            // What it was told of the decoy must not count for the fault.
            agent.terminate();
            know(&mut agent, learnt)?;
        }
        keep(seen);
        let mut ready = trial::wait_for_calm(&agent, trial::BEFORE);
        if !ready {
            // What is wrong by chance now must not be what the fault is taken for.
            agent.terminate();
            know(&mut agent, learnt)?;
            ready = trial::wait_for_calm(&agent, trial::BEFORE);
        }
        let mut row = {
            let _core = core_for(*fault)?;
            trial::fault(&agent, &shop, (*fault, place), LASTS, ready)?
        };
        agent.terminate();
        rules::ask(&mut row, &agent.state().join("evidence"), place)?;
        keep(row);
        sleep(RECOVERY);
    }
    agent.kill();
    shop.stop()?;
    Ok(rows)
}

/// A core of this machine, for a fault that takes a whole one, until it is dropped: two of those at once would be felt by all shops.
/// None for one that does not. Other benches of the shop wait for it too.
pub(super) fn core_for(fault: Fault) -> Result<Option<File>> {
    if !matches!(fault, Fault::CpuHog | Fault::CpuLeak) {
        return Ok(None);
    }
    let file = OpenOptions::new().create(true).append(true).open(cargo::target().join("shop.core"))?;
    file.lock()?;
    Ok(Some(file))
}

/// Has an agent learn a shop that is well, for so long, unless the folder is there.
pub(super) fn learn(seed: u64, time: Duration, program: &Path, learnt: &Path) -> Result<()> {
    if learnt.is_dir() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let shop = open(seed, program, folder.path(), false)?;
    let mut agent = watch(&shop);
    eprintln!("learning a well shop for {} s", time.as_secs());
    sleep(time);
    agent.terminate();
    copy(&agent.state(), learnt)?;
    // What it recorded is of another shop.
    std::fs::remove_dir_all(learnt.join("evidence"))?;
    shop.stop()?;
    Ok(())
}

/// A shop; `acts` lets Larnax mend in it what it is sure of.
pub(super) fn open(seed: u64, program: &Path, folder: &Path, acts: bool) -> Result<Shop> {
    Ok(Shop::start(&ShopOptions {
        program: program.to_owned(),
        arguments: vec!["shop".to_owned(), "serve".to_owned()],
        folder: folder.join("shop"),
        port: 0,
        seed,
        requests_per_second: ShopOptions::REQUESTS_PER_SECOND,
        leased: true,
        acts,
    })?)
}

pub(super) fn watch(shop: &Shop) -> Agent {
    watch_by(&shop.config_file())
}

/// An agent with a config of its own.
pub(super) fn watch_by(config: &Path) -> Agent {
    Agent::start("larnax", &["up", "--config", &config.display().to_string()])
}

/// Starts the agent anew, with what was learnt.
pub(super) fn know(agent: &mut Agent, learnt: &Path) -> Result<()> {
    std::fs::remove_dir_all(agent.state())?;
    copy(learnt, &agent.state())?;
    agent.start_again();
    Ok(())
}

/// Where a fault is put: elsewhere with each seed.
pub(super) fn place(fault: Fault, number: u64) -> Service {
    let can: Vec<Service> = Service::ALL
        .into_iter()
        .filter(|service| fault != Fault::SlowDependency || !service.calls().is_empty())
        .collect();
    can[number as usize % can.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_dependency_is_put_where_there_is_one() {
        for number in 0..8 {
            assert!(!place(Fault::SlowDependency, number).calls().is_empty());
        }
        assert_eq!((0..4).map(|number| place(Fault::Latency, number)).collect::<Vec<_>>(), Service::ALL);
    }

    #[test]
    fn in_five_seeds_every_fault_has_its_turn() {
        let options = Options::parse(Parser::from_args(Vec::<&str>::new())).unwrap();
        for fault in Fault::ALL {
            let times = (1..=5).filter(|seed| options.of_seed(*seed).contains(&fault)).count();
            assert!((3..=4).contains(&times), "{fault} {times} times");
        }
    }
}
