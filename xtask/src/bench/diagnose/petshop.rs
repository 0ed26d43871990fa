//! PetShop (Hardt et al., "The PetShop Dataset", 2024): one metric of each microservice every five minutes, the call graph, and the
//! service whose objective broke.

use std::path::Path;

use anyhow::{Context, Result};
use larnax_core::{Edge, EdgeKind, Timestamp};
use larnax_diagnose::{Case, When};
use serde_json::Value;

use super::files::{Table, folders, name};
use super::trial::{Trial, component, observe, series};

const SYSTEM: &str = "petshop";
/// Lines of heading: microservice, metric, statistic, and the name of the index.
const HEAD: usize = 4;
/// Rows of an issue's file that were taken before the alert.
const BEFORE_ALERT: usize = 2;

/// The issues of the development half; none if the set is not there.
pub(super) fn trials(data: &Path) -> Result<Vec<Trial>> {
    let folder = data.join("rca_petshop");
    let mut trials = Vec::new();
    for scenario in ["low_traffic", "high_traffic"] {
        let common = folder.join("common").join(scenario);
        let normal = Table::read(&common.join("noissue_metrics.csv"))?;
        let edges = edges(&Table::read(&common.join("graph.csv"))?);
        for part in folders(&folder.join("dev").join(scenario))? {
            for issue in folders(&part)? {
                let id = format!("{scenario}/{}/{}", name(&part), name(&issue));
                let trial = trial(id, &issue, &normal, &edges);
                trials.push(trial.with_context(|| issue.display().to_string())?);
            }
        }
    }
    Ok(trials)
}

/// The rows of the matrix call its columns.
fn edges(graph: &Table) -> Vec<Edge> {
    let mut edges = Vec::new();
    for row in graph.rows.iter().skip(1) {
        for (to, weight) in graph.head().iter().zip(row).skip(1) {
            if weight.parse().is_ok_and(|weight: f64| weight > 0.0) {
                let (from, to) = (component(SYSTEM, &row[0]), component(SYSTEM, to));
                edges.push(Edge { from, to, kind: EdgeKind::Calls });
            }
        }
    }
    edges
}

fn trial(id: String, issue: &Path, normal: &Table, edges: &[Edge]) -> Result<Trial> {
    let target: Value = serde_json::from_str(&std::fs::read_to_string(issue.join("target.json"))?)?;
    let word = |pointer: &str| {
        target.pointer(pointer).and_then(Value::as_str).context("a word is missing in target.json")
    };
    let (metric, statistic) = (word("/target/metric")?, word("/target/agg")?);
    let incident = Table::read(&issue.join("metrics.csv"))?;
    let column = |table: &Table, service: &str| {
        let is = |line: usize, at: usize, what: &str| {
            table.rows.get(line).and_then(|row| row.get(at)).is_some_and(|cell| cell == what)
        };
        (1..table.head().len()).find(|&at| is(0, at, service) && is(1, at, metric) && is(2, at, statistic))
    };
    let rows = |table: &Table, at: usize, skip: usize| -> Vec<(Timestamp, f64)> {
        let times = table.numbers(0, HEAD + skip).into_iter().map(Timestamp::from_seconds);
        times.zip(table.numbers(at, HEAD + skip)).collect()
    };
    let mut components = Vec::new();
    let mut services: Vec<&String> = incident.head().iter().skip(1).collect();
    services.sort();
    services.dedup();
    for service in services {
        let (Some(before), Some(since)) = (column(normal, service), column(&incident, service)) else {
            continue;
        };
        let values = rows(normal, before, 0).into_iter().chain(rows(&incident, since, BEFORE_ALERT));
        observe(&mut components, component(SYSTEM, service), series(metric, values)?);
    }
    let times = incident.numbers(0, HEAD + BEFORE_ALERT);
    let (first, last) = (times.first().context("no row")?, times.last().context("no row")?);
    let forever = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);
    Ok(Trial {
        system: SYSTEM,
        id,
        truth: component(SYSTEM, word("/root_cause/node")?),
        case: Case {
            components,
            when: When::Windows {
                normal: forever,
                incident: Timestamp::from_seconds(*first)..Timestamp::from_seconds(last + 1.0),
            },
            edges: edges.to_vec(),
            alerting: Some(component(SYSTEM, word("/target/node")?)),
            ..Case::default()
        },
    })
}
