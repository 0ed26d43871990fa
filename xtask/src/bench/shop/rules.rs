//! What simple rules say of the evidence that the hub had: the same rows, and since the same onset.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use larnax_alert::{Ring, RingOptions};
use larnax_core::{ComponentId, Timestamp};
use larnax_diagnose::{Case, Observed, Series, When, rank};
use larnax_shop::Service;
use serde_json::{Value, json};

use crate::bench::diagnose::rules;

/// As far back as a hub asks, see `HubOptions::past`.
const PAST: Duration = Duration::from_secs(600);
const ALL_ROWS: usize = 20_000;

/// Adds the place that each rule gives the right service, from 1, to what was seen of a fault. They know when the fault began no
/// better than the hub did. `evidence` is the folder of an agent that has ended.
pub(super) fn ask(row: &mut Value, evidence: &Path, truth: Service) -> Result<()> {
    let Ok(onset) = serde_json::from_value::<Timestamp>(row["onset"].clone()) else { return Ok(()) };
    let components = Service::ALL.into_iter().map(|service| observed(evidence, service, onset));
    let components = components.collect::<Result<Vec<_>>>()?;
    let case = Case { components, when: When::Since(onset), ..Case::default() };
    let truth = truth.component();
    let place =
        |ranking: Vec<ComponentId>| ranking.iter().position(|id| id.as_str() == truth).map(|at| at + 1);
    row["rules"] = rules::RULES.into_iter().map(|rule| (rule.0, place(rules::rank(&case, rule)))).collect();
    let alone = rank(&case).candidates.into_iter().map(|candidate| candidate.component);
    row["without_topology"] = json!(place(alone.collect()));
    Ok(())
}

/// What was kept of a service, from before the onset to the end.
fn observed(evidence: &Path, service: Service, onset: Timestamp) -> Result<Observed> {
    let id = service.component();
    let folder = evidence.join(id.replace('/', "~"));
    let ring = Ring::open(Some(&folder), RingOptions::default())?;
    let window = ring.read(onset.minus(PAST), onset.plus(PAST), ALL_ROWS, |_| true);
    anyhow::ensure!(!window.times.is_empty(), "{}: no evidence is there", folder.display());
    let times: Arc<[Timestamp]> = window.times.into();
    let series = window.metrics.into_iter().enumerate().map(|(at, metric)| Series {
        metric,
        times: Arc::clone(&times),
        values: window.rows.iter().map(|row| row.get(at).copied().flatten().unwrap_or(f64::NAN)).collect(),
    });
    Ok(Observed { series: series.collect(), component: id.parse().context("a service's name")? })
}
