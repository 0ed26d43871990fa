//! Sock Shop (Ikram et al., "Root Cause Analysis of Failures in Microservices through Causal Discovery", 2022): five minutes of a
//! healthy and five of a sick application, a row a second.

use std::path::Path;

use anyhow::{Context, Result};
use larnax_core::Timestamp;
use larnax_diagnose::{Case, When};

use super::files::{Table, folders, name};
use super::trial::{Trial, component, observe, series};

const SYSTEM: &str = "sockshop";

/// The runs of the development half, the sick minutes set right behind the healthy ones, with the onset in between.
pub(super) fn trials(data: &Path) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for fault in folders(&data.join("rca_sockshop/dev"))? {
        for run in folders(&fault)? {
            trials.push(trial(&name(&fault), &run).with_context(|| run.display().to_string())?);
        }
    }
    Ok(trials)
}

fn trial(fault: &str, run: &Path) -> Result<Trial> {
    let normal = Table::read(&run.join("normal.csv.zst"))?;
    let incident = Table::read(&run.join("anomalous.csv.zst"))?;
    let (rows, more) = (normal.rows.len() - 1, incident.rows.len() - 1);
    let mut components = Vec::new();
    for (at, column) in normal.head().iter().enumerate() {
        // As RCAEval prepares the set: one of the three latencies, no metric that stands still on either side.
        if column == "time" || column.ends_with("_lat_50") || column.ends_with("_lat_99") {
            continue;
        }
        let Ok(there) = incident.place(column) else { continue };
        let (before, since) = (filled(normal.numbers(at, 1)), filled(incident.numbers(there, 1)));
        let moves = |values: &[f64]| values.iter().any(|value| Some(value) != values.first());
        let Some((service, metric)) = column.split_once('_') else { continue };
        if moves(&before) && moves(&since) {
            let values = before.into_iter().chain(since).enumerate();
            let values = values.map(|(second, value)| (Timestamp::from_seconds(second as f64), value));
            observe(&mut components, component(SYSTEM, service), series(metric, values)?);
        }
    }
    let (service, _) = fault.rsplit_once('-').context("the folder is not SERVICE-FAULT")?;
    anyhow::ensure!(rows > 0 && more > 0, "no rows");
    Ok(Trial {
        system: SYSTEM,
        id: format!("{fault}/{}", name(run)),
        truth: component(SYSTEM, service),
        case: Case { components, when: When::Since(Timestamp::from_seconds(rows as f64)), ..Case::default() },
    })
}

/// A gap holds what was before it, and 0 if nothing was.
fn filled(mut values: Vec<f64>) -> Vec<f64> {
    let mut last = 0.0;
    for value in &mut values {
        if value.is_finite() {
            last = *value;
        }
        *value = last;
    }
    values
}
