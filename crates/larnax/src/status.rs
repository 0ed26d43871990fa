//! `larnax status`: what a running agent watches, and what is wrong.

use std::process::ExitCode;

use larnax_edge_role::server::api::{AnomalyReport, ComponentReport, StatusReport};
use serde::Serialize;

use crate::cli::{AskArgs, FOUND};
use crate::client::ask;
use crate::output::{columns, print};

#[derive(Serialize)]
struct Everything {
    status: StatusReport,
    components: Vec<ComponentReport>,
    anomalies: Vec<AnomalyReport>,
}

pub(crate) fn status(args: &AskArgs) -> anyhow::Result<ExitCode> {
    let everything = Everything {
        status: ask(args, "/api/v1/status")?,
        components: ask(args, "/api/v1/components")?,
        anomalies: ask(args, "/api/v1/anomalies?state=open")?,
    };
    print(args.output, &everything, table)?;
    Ok(if everything.anomalies.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

fn table(all: &Everything) -> String {
    let status = &all.status;
    let mut text = format!(
        "larnax {} · {} · up {} · {:.2} ms CPU per second · {:.1} MiB\n\n",
        status.version,
        status.instance,
        duration(status.now.since(status.started)),
        1000.0 * status.cpu_seconds / status.now.since(status.started).max(1.0),
        status.resident_bytes as f64 / f64::from(1 << 20),
    );
    let rows: Vec<Vec<String>> = all.components.iter().map(|c| component_row(c, status)).collect();
    text += &columns(&["COMPONENT", "STATE", "SCORE", "METRICS", "LAST SAMPLE", "DEVIATES MOST"], &rows);
    for component in &all.components {
        if let Some(plan) = &component.cost_plan {
            text += &format!("\n{}: {plan}", component.id);
        }
        for source in component.sources.iter().filter(|s| s.error.is_some()) {
            text += &format!("\n{}: {}", source.name, source.error.as_deref().unwrap_or_default());
        }
    }
    text += "\n";
    text += &match all.anomalies.as_slice() {
        [] => "No anomaly is open.\n".to_owned(),
        open => columns(
            &["OPEN ANOMALY", "COMPONENT", "KIND", "SINCE", "PEAK", "ALERTED", "METRICS"],
            &open.iter().map(anomaly_row).collect::<Vec<_>>(),
        ),
    };
    for budget in &status.budgets {
        text += &format!(
            "\nAlert budget of {}: {} given in the last {}, {} allowed; an alert must exceed {:.2}.",
            budget.group,
            budget.given,
            duration(budget.period_seconds),
            budget.allowed,
            budget.bar
        );
    }
    for sink in &status.sinks {
        let error = sink.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        text += &format!("\n{}: {} delivered, {} waiting{error}", sink.name, sink.delivered, sink.pending);
    }
    for notice in &status.notices {
        text += &format!("\nNotice: {notice}");
    }
    let unwatched: Vec<String> = status
        .listeners
        .iter()
        .filter(|listener| !listener.watched)
        .map(|l| format!("{} ({})", l.address, l.process.as_deref().unwrap_or("?")))
        .collect();
    if !unwatched.is_empty() {
        text += &format!("\nLocal listeners that are not watched: {}", unwatched.join(", "));
    }
    text + "\n"
}

fn component_row(c: &ComponentReport, status: &StatusReport) -> Vec<String> {
    let state = match c.warm_up_remaining_seconds {
        Some(left) => format!("{} ({} left)", c.state, duration(left)),
        None => c.state.clone(),
    };
    let top: Vec<String> =
        c.top.iter().take(3).map(|t| format!("{}:{:+.1}", t.metric, t.deviation)).collect();
    vec![
        c.id.to_string(),
        state,
        format!("{:.2}", c.score),
        c.metrics.to_string(),
        c.last_sample
            .map_or_else(|| "never".to_owned(), |t| format!("{} ago", duration(status.now.since(t)))),
        top.join(" "),
    ]
}

fn anomaly_row(report: &AnomalyReport) -> Vec<String> {
    let a = &report.anomaly;
    let top: Vec<String> =
        a.metrics.iter().take(3).map(|c| format!("{}:{:+.1}", c.metric, c.deviation)).collect();
    vec![
        a.id.to_string(),
        a.component.to_string(),
        a.kind.as_str().to_owned(),
        a.onset.to_string(),
        format!("{:.1}", a.peak.get()),
        if a.alerted { "yes" } else { "no" }.to_owned(),
        top.join(" "),
    ]
}

/// A duration in the largest units that matter.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [(0.2, "0s"), (75.0, "1m15s"), (3700.0, "1h01m"), (200_000.0, "2d07h")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
