//! The same cases through a hub: an example of larnax-hub replays them, with edges that answer pulls from rings.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use larnax_core::{ComponentId, Diagnosis, EdgeKind, Timestamp};
use larnax_diagnose::deviation::Normal;
use larnax_diagnose::{Case, Observed, Series, When};
use serde_json::{Value, json};

use super::position;
use super::score::Outcome;
use super::trial::{Trial, series};
use crate::cargo;

/// A component alerts once a metric is so many deviations off: the threshold of the graph traversal that PetShop's authors compare
/// with. What Larnax would detect is another question, and these sets are too short to learn on.
const ALERTS: f64 = 5.0;

/// What became of a case on its way through a hub.
pub(super) struct Live {
    pub(super) outcome: Outcome,
    pub(super) bytes: u64,
    pub(super) budget: u64,
    /// Incidents that were built of it. None where nobody alerted.
    pub(super) incidents: u64,
}

/// Replays all trials, in their order.
pub(super) fn run(trials: &[&Trial]) -> Result<Vec<Live>> {
    let program = cargo::example("larnax-hub", "replay")?;
    let mut lines = tempfile::NamedTempFile::new()?;
    for (at, trial) in trials.iter().enumerate() {
        serde_json::to_writer(&mut lines, &replay(&at.to_string(), &trial.case)?)?;
        lines.write_all(b"\n")?;
    }
    lines.flush()?;
    let played = cargo::output(Command::new(program).stdin(File::open(lines.path())?))?;
    let played: Vec<Value> = played.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(played.len() == trials.len(), "{} of {} cases came back", played.len(), trials.len());
    trials.iter().zip(played).map(|(trial, played)| live(trial, &played)).collect()
}

fn live(trial: &Trial, played: &Value) -> Result<Live> {
    let diagnosis: Diagnosis = serde_json::from_value(played["diagnosis"].clone())?;
    let candidates = diagnosis.candidates.iter().map(|candidate| &candidate.component);
    Ok(Live {
        outcome: Outcome {
            rank: position(candidates, &trial.truth),
            named: Some(diagnosis.known),
            confidence: Some(diagnosis.confidence),
        },
        bytes: diagnosis.evidence_bytes,
        budget: played["budget"].as_u64().unwrap_or_default(),
        incidents: played["incidents"].as_u64().unwrap_or_default(),
    })
}

/// A case as the rings of its edges have it.
fn replay(id: &str, case: &Case) -> Result<Value> {
    let mut components = measured(case)?;
    let onset = set_in_a_row(&mut components, &case.when).context("a case without an onset")?;
    let last =
        |observed: &Observed| observed.series.iter().filter_map(|series| series.times.last()).max().copied();
    let until = components.iter().filter_map(last).max().context("no rows")?;
    let alerts: Vec<(ComponentId, Timestamp)> = match &case.alerting {
        Some(alerting) => vec![(alerting.clone(), onset)],
        None => {
            components.iter().filter_map(|one| Some((one.component.clone(), alert(one, onset)?))).collect()
        }
    };
    let watched = |one: &Observed| json!({ "component": one.component, "samples": samples(&one.series) });
    Ok(json!({
        "id": id,
        "components": components.iter().map(watched).collect::<Vec<_>>(),
        "edges": case.edges,
        "alerts": alerts,
        "until": until,
        // Without a graph the hub can only take what belongs together from who watches it.
        "together": case.edges.is_empty(),
    }))
}

/// The components with all that is measured at them: what is known of calls is a metric of both ends.
fn measured(case: &Case) -> Result<Vec<Observed>> {
    let mut components = case.components.clone();
    let is_known = |from: &ComponentId, to: &ComponentId| {
        case.edges.iter().any(|edge| edge.kind == EdgeKind::Calls && edge.from == *from && edge.to == *to)
    };
    for call in &case.calls {
        ensure!(is_known(&call.caller, &call.callee), "{} calls {}: no edge", call.caller, call.callee);
        let views = [(&call.caller, &call.caller_view), (&call.callee, &call.callee_view)];
        for (at, view) in views {
            let (Some(observed), Some(view)) = (components.iter_mut().find(|one| one.component == *at), view)
            else {
                continue;
            };
            let name = format!(
                "call_seconds{{source=\"{}\",destination=\"{}\"}}",
                call.caller.name(),
                call.callee.name()
            );
            observed.series.push(series(&name, view.times.iter().copied().zip(view.values.iter().copied()))?);
        }
    }
    Ok(components)
}

/// Sets the normal rows right before the incident, wherever they were taken from: a ring has no holes of days. Gives back when the
/// incident began.
fn set_in_a_row(components: &mut [Observed], when: &When) -> Option<Timestamp> {
    let incident = match when {
        When::Windows { incident, .. } => incident.clone(),
        When::Since(onset) => return Some(*onset),
        When::Unknown => return None,
    };
    let times = components.iter().flat_map(|one| &one.series).flat_map(|series| series.times.iter().copied());
    let onset = times.filter(|time| incident.contains(time)).min()?;
    for series in components.iter_mut().flat_map(|one| &mut one.series) {
        let rows = series.times.iter().copied().zip(series.values.iter().copied());
        let (mut rows, mut normal): (Vec<_>, Vec<_>) = rows.partition(|(time, _)| incident.contains(time));
        normal.sort_by_key(|(time, _)| *time);
        // As far apart as this one's own rows are.
        let period = Duration::try_from_secs_f64(usual_step(&normal)).ok()?;
        let before = (1u32..).map(|row| onset.minus(period.saturating_mul(row)));
        rows.extend(before.zip(normal.iter().rev().map(|(_, value)| *value)));
        rows.sort_by_key(|(time, _)| *time);
        (series.times, series.values) =
            (rows.iter().map(|row| row.0).collect(), rows.iter().map(|row| row.1).collect());
    }
    Some(onset)
}

/// The median time between two rows, in seconds; one second where there are not two.
fn usual_step(rows: &[(Timestamp, f64)]) -> f64 {
    let mut steps: Vec<f64> = rows.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied().unwrap_or(1.0)
}

/// When the first metric of a component is far off, if one is.
fn alert(observed: &Observed, onset: Timestamp) -> Option<Timestamp> {
    let first = |series: &Series| {
        let at = series.times.partition_point(|time| *time < onset);
        let normal = Normal::of(&[series.values.get(..at)?])?;
        let mut rows = series.times.iter().zip(&series.values).skip(at);
        rows.find(|(_, value)| normal.z(**value).abs() > ALERTS).map(|(time, _)| *time)
    };
    observed.series.iter().filter_map(first).min()
}

/// One row for each time at which any of the metrics was taken.
fn samples(all: &[Series]) -> Value {
    let mut rows: BTreeMap<Timestamp, Vec<Option<f64>>> = BTreeMap::new();
    for (at, series) in all.iter().enumerate() {
        for (time, value) in series.times.iter().zip(&series.values) {
            let row = rows.entry(*time).or_insert_with(|| vec![None; all.len()]);
            if let Some(cell) = row.get_mut(at) {
                *cell = Some(*value).filter(|value| value.is_finite());
            }
        }
    }
    let metrics: Vec<&str> = all.iter().map(|series| series.metric.as_str()).collect();
    json!({
        "times": rows.keys().collect::<Vec<_>>(),
        "metrics": metrics,
        "rows": rows.values().collect::<Vec<_>>(),
    })
}
