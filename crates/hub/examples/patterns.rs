//! Judges how well recorded incidents are known again, by the code that a hub runs: `cargo xtask bench pattern`. Reads an incident as
//! JSON from each line of the standard input, of which those count whose fault is named by an argument, or all; prints one JSON
//! document of [`Judged`].
//!
//! Each incident is left out in turn. Once all others are learnt before, and it has to be known again; once all others but those with
//! the same fault, and it must not be known.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::time::Duration;

use anyhow::{Context, Result};
use larnax_core::{ComponentId, Edge, Timestamp, Window};
use larnax_decide::{Patterns, Recognised, Signature};
use larnax_session::{EvidencePart, Gap};
use serde::{Deserialize, Serialize};

/// So long after the onset it is judged.
const AGES: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];

/// A recorded fault.
#[derive(Deserialize)]
struct Recorded {
    seed: u64,
    fault: String,
    /// Which component had it.
    place: ComponentId,
    /// Whether something was wrong before.
    disturbed: bool,
    /// Since when there was an incident; none if there was none.
    onset: Option<Timestamp>,
    /// Where the hub said that it began.
    cause: Option<ComponentId>,
    /// Until when it was looked at.
    until: Option<Timestamp>,
    #[serde(default)]
    windows: BTreeMap<ComponentId, Window>,
    #[serde(default)]
    edges: Vec<Edge>,
}

/// What came of all, at one age.
#[derive(Serialize)]
struct Judged {
    after_seconds: u64,
    /// Whether the hub's word was taken for where it began, or the truth.
    located_by_hub: bool,
    incidents: Vec<One>,
    /// What all of them are as knowledge, in bytes of JSON.
    bytes: usize,
}

/// What an incident was taken for.
#[derive(Serialize)]
struct One {
    seed: u64,
    fault: String,
    place: ComponentId,
    /// Where all others were learnt.
    seen_before: Option<Taken>,
    /// Where all others but those with the same fault were learnt.
    never_seen: Option<Taken>,
}

#[derive(Serialize)]
struct Taken {
    nearest: String,
    known: bool,
    similarity: f64,
    margin: f64,
}

fn main() -> Result<()> {
    let faults: BTreeSet<String> = std::env::args().skip(1).collect();
    let mut recorded = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let one: Recorded = serde_json::from_str(&line?).context("a recorded incident")?;
        if !one.disturbed && (faults.is_empty() || faults.contains(&one.fault)) {
            recorded.push(one);
        }
    }
    let mut judged = Vec::new();
    for age in AGES {
        for located_by_hub in [false, true] {
            judged.push(judge(&recorded, age, located_by_hub)?);
        }
    }
    println!("{}", serde_json::to_string(&judged)?);
    Ok(())
}

fn judge(recorded: &[Recorded], age: Duration, located_by_hub: bool) -> Result<Judged> {
    let seen = |one| look(one, age, located_by_hub).map(|signature: Signature| (one, signature));
    let all: Vec<(&Recorded, Signature)> = recorded.iter().filter_map(seen).collect();
    let learnt = |left_out: &dyn Fn(usize, &str) -> bool| {
        let mut patterns = Patterns::default();
        for (at, (one, signature)) in all.iter().enumerate() {
            if !left_out(at, &one.fault) {
                patterns.learn(&one.fault, signature.clone());
            }
        }
        patterns
    };
    let judged = |(at, (one, signature)): (usize, &(&Recorded, Signature))| One {
        seed: one.seed,
        fault: one.fault.clone(),
        place: one.place.clone(),
        seen_before: learnt(&|other, _| other == at).recognise(signature).map(taken),
        never_seen: learnt(&|_, fault| fault == one.fault).recognise(signature).map(taken),
    };
    Ok(Judged {
        after_seconds: age.as_secs(),
        located_by_hub,
        incidents: all.iter().enumerate().map(judged).collect(),
        bytes: serde_json::to_string(&learnt(&|_, _| false))?.len(),
    })
}

fn taken(recognised: Recognised) -> Taken {
    let Recognised { nearest, known, similarity, margin } = recognised;
    Taken { nearest, known, similarity, margin }
}

/// What an incident looked like at that age. None if it was no incident or is not known to have begun anywhere.
fn look(one: &Recorded, age: Duration, located_by_hub: bool) -> Option<Signature> {
    let (onset, cause) = (one.onset?, if located_by_hub { one.cause.as_ref()? } else { &one.place });
    let until = onset.plus(age).min(one.until?);
    let parts = one.windows.iter().map(|(component, window)| {
        let rows = window.times.partition_point(|time| *time <= until);
        let times = window.times.get(..rows).unwrap_or_default().to_vec();
        let gaps = Gap::among(&times, *times.first().unwrap_or(&onset), until, period(&times));
        let window = Window {
            times,
            metrics: window.metrics.clone(),
            rows: window.rows.get(..rows).unwrap_or_default().to_vec(),
        };
        (component.clone(), EvidencePart { window, gaps, ..EvidencePart::default() })
    });
    Some(larnax_hub::signature_of(parts.collect(), &one.edges, cause, onset))
}

/// How far apart samples usually are, in seconds.
fn period(times: &[Timestamp]) -> f64 {
    let pairs = times.iter().zip(times.iter().skip(1));
    let mut apart: Vec<f64> = pairs.map(|(one, next)| next.since(*one)).collect();
    apart.sort_by(f64::total_cmp);
    apart.get(apart.len() / 2).copied().unwrap_or(1.0)
}
