//! What happens in a pair of shops. In one, each fault a few times and then the decoys, watched by an agent that may act and keeps what it
//! learns. In the other, each fault twice, watched by one that only watches.

use std::path::Path;
use std::sync::Mutex;
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use larnax_shop::{Decoy, Fault, Order, Service, Shop};
use larnax_test_peers::Agent;
use serde_json::Value;

use super::follow::{self, Arm, Round};
use super::judge::{self, Made, Seen, What};
use crate::bench::shop::{self, trial};

/// A fault lasts so long if nobody ends it, in seconds.
const LASTS: f64 = 300.0;
/// Between the last anomaly of one round and the next: what begins within two minutes is taken for the same incident.
const APART: Duration = Duration::from_secs(125);
/// How long that may take. After it the round is disturbed.
const APART_WITHIN: Duration = Duration::from_secs(420);
/// How long a decoy lasts that lasts, in seconds.
const DECOY_LASTS: f64 = 30.0;
/// How long it is looked at: its end is a part of it, and a diagnosis is made again after 30 s.
const DECOY: Duration = Duration::from_secs(60);

/// A pair of shops.
pub(super) struct Lane<'a> {
    /// Of the shops.
    pub(super) seed: u64,
    /// Of where faults are put.
    pub(super) first: u64,
    pub(super) times: u64,
    /// No round begins later.
    pub(super) until: Instant,
    pub(super) program: &'a Path,
    pub(super) learnt: &'a Path,
    pub(super) rows: &'a Mutex<Vec<Value>>,
}

/// How many rounds there are of a fault.
pub(super) fn rounds_of(times: u64) -> usize {
    times as usize + Decoy::ALL.len() + 2
}

impl Lane<'_> {
    /// All rounds. What was measured before something went wrong is kept.
    pub(super) fn run(&self, faults: &[Fault]) -> Result<()> {
        if faults.is_empty() {
            return Ok(());
        }
        scope(|scope| {
            let left = scope.spawn(|| self.left(faults));
            let mended = self.mended(faults);
            mended.and(
                left.join()
                    .unwrap_or_else(|_| Err(anyhow!("the one that only watches was given up, see above"))),
            )
        })
    }

    /// The rounds in which Larnax may act.
    fn mended(&self, faults: &[Fault]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let shop = shop::open(self.seed, self.program, folder.path(), true)?;
        let agent = self.knowing(&shop.config_file())?;
        for round in 1..=self.times {
            for fault in faults {
                self.round(&agent, &shop, &self.what(Arm::Mend, *fault, round))?;
            }
        }
        // All is learnt that could be taken for one of them. So many for each fault.
        for round in 1..=faults.len() as u64 {
            for (number, decoy) in Decoy::ALL.into_iter().enumerate() {
                let place = (self.seed + round) as usize + number;
                let on = decoy.usual_place().map(|_| Service::ALL[place % Service::ALL.len()]);
                self.round(&agent, &shop, &What { arm: Arm::Mend, made: Made::Odd(decoy, on), round })?;
            }
        }
        shop.stop()?;
        Ok(())
    }

    /// The rounds in which it may not: once nobody does anything, once somebody starts everything again.
    fn left(&self, faults: &[Fault]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let shop = shop::open(self.seed, self.program, folder.path(), true)?;
        let text = std::fs::read_to_string(shop.config_file())?;
        ensure!(text.contains("mode: act"), "the shop's config has no policy that acts");
        let config = folder.path().join("observing.yaml");
        std::fs::write(&config, text.replace("mode: act", "mode: observe"))?;
        let agent = self.knowing(&config)?;
        for fault in faults {
            for arm in [Arm::Nothing, Arm::RestartAll] {
                self.round(&agent, &shop, &self.what(arm, *fault, 1))?;
            }
        }
        shop.stop()?;
        Ok(())
    }

    /// A fault, elsewhere with each round; all that is compared with the first round is where that was.
    fn what(&self, arm: Arm, fault: Fault, round: u64) -> What {
        let on = shop::place(fault, self.first + fault as u64 + round - 1);
        What { arm, made: Made::Wrong(fault, on), round }
    }

    /// An agent with what was learnt of a well shop, that has seen this one for long enough.
    fn knowing(&self, config: &Path) -> Result<Agent> {
        let mut agent = shop::watch_by(config);
        agent.terminate();
        shop::know(&mut agent, self.learnt)?;
        trial::wait_for_calm(&agent, trial::BEFORE);
        Ok(agent)
    }

    fn round(&self, agent: &Agent, shop: &Shop, what: &What) -> Result<()> {
        self.in_time(what)?;
        let apart = follow::wait_until_apart(agent, APART, APART_WITHIN)?;
        let _core = what.fault().map_or(Ok(None), shop::core_for)?;
        self.in_time(what)?;
        // Whoever had the core before may have had it for long.
        let calm = apart && trial::is_calm(agent);
        let unserved = follow::unserved(shop).unwrap_or_default();
        let since = trial::now(agent);
        let broke = match what.made {
            Made::Wrong(fault, on) => shop.inject(on, &Order::new(fault, LASTS)).map(|_| ()),
            Made::Odd(decoy, on) => shop.decoy(decoy, on, DECOY_LASTS),
        };
        if let Err(error) = broke {
            // Where little memory or disk is left, a shop refuses what would take the rest.
            let mut row = judge::row(what, &Seen::new(since));
            row["disturbed"] = true.into();
            row["refused"] = error.to_string().into();
            self.keep(row);
            return Ok(());
        }
        let broken = what.broken();
        let least = if broken.is_some() { Duration::ZERO } else { DECOY };
        let seen = Round { agent, shop, arm: what.arm, broken, since, least, unserved }.follow();
        // Whatever became of it, the next one begins with a shop that is well.
        if let Some(on) = broken {
            shop.end_faults(on)?;
        }
        let seen = seen?;
        let mut row = judge::row(what, &seen);
        row["disturbed"] = (!calm).into();
        self.keep(row);
        if let (Arm::Mend, Some(fault), Some(_)) = (what.arm, what.fault(), seen.well()) {
            follow::name(agent, &seen, fault.name())?;
        }
        Ok(())
    }

    fn in_time(&self, what: &What) -> Result<()> {
        ensure!(Instant::now() <= self.until, "the time was over before {what}");
        Ok(())
    }

    fn keep(&self, mut row: Value) {
        row["seed"] = self.seed.into();
        // What an action says names where the program lies, which is nobody's business.
        let text = row.to_string().replace(&self.program.display().to_string(), "larnax");
        let row: Value = serde_json::from_str(&text).unwrap_or(row);
        eprintln!("{row}");
        self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(row);
    }
}
