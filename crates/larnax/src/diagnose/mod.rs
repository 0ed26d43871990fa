//! `larnax diagnose`: where an incident began, from files.
//!
//! - `metrics` reads the CSV files, `graph` the JSON files beside them, `report` is the table for people.

mod args;
mod graph;
mod metrics;
mod report;

use std::process::ExitCode;

use anyhow::Context;
use larnax_core::Timestamp;
use larnax_diagnose::{Case, When, rank};

use crate::output::print;
pub(crate) use args::DiagnoseArgs;
use metrics::Columns;

pub(crate) fn diagnose(args: &DiagnoseArgs) -> anyhow::Result<ExitCode> {
    let edges = args.graph.as_deref().map(graph::edges).transpose()?.unwrap_or_default();
    let changes = args.changes.as_deref().map(graph::changes).transpose()?.unwrap_or_default();
    let alerting = args.alerting.as_deref().map(graph::component).transpose().context("--alerting")?;
    let known = graph::names(&edges);
    let metrics = Columns::read(&args.metrics, &known)?;
    let normal = args.normal.as_deref().map(|file| Columns::read(file, &known)).transpose()?;
    let when = match (args.onset, &normal, metrics.first()) {
        (Some(onset), ..) => When::Since(onset),
        (None, Some(_), Some(first)) => When::Windows {
            normal: Timestamp::from_nanos(i64::MIN)..first,
            incident: first..Timestamp::from_nanos(i64::MAX),
        },
        _ => When::Unknown,
    };
    let case =
        Case { components: metrics.observed(normal), when, edges, alerting, changes, ..Case::default() };
    print(args.output, &rank(&case), report::table)?;
    Ok(ExitCode::SUCCESS)
}
