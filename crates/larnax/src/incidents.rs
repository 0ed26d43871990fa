//! `larnax incidents list|show`: what belongs together, and where it began.

use std::process::ExitCode;

use larnax_core::{Candidate, Clock, Incident, SystemClock, Timestamp};

use crate::cli::{FOUND, IncidentsArgs, IncidentsCommand};
use crate::client::ask;
use crate::output::{columns, print};
use crate::status::duration;

pub(crate) fn incidents(args: &IncidentsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        IncidentsCommand::List { open, limit } => {
            let state = if *open { "&state=open" } else { "" };
            let found: Vec<Incident> = ask(&args.ask, &format!("/api/v1/incidents?limit={limit}{state}"))?;
            let now = SystemClock.now();
            print(args.ask.output, &found, |found| list(found, now))?;
            let any_open = found.iter().any(|incident| incident.closed.is_none());
            Ok(if any_open { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
        }
        IncidentsCommand::Show { id } => {
            let incident: Incident = match id {
                Some(id) => ask(&args.ask, &format!("/api/v1/incidents/{id}"))?,
                None => {
                    let latest: Vec<Incident> = ask(&args.ask, "/api/v1/incidents?limit=100")?;
                    // One that turned out to be a part of another tells nothing any more.
                    let whole = latest.into_iter().find(|incident| incident.merged_into.is_none());
                    whole.ok_or_else(|| anyhow::anyhow!("there was no incident so far"))?
                }
            };
            let now = SystemClock.now();
            print(args.ask.output, &incident, |incident| show(incident, now))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(incidents: &[Incident], now: Timestamp) -> String {
    if incidents.is_empty() {
        return "No incident.\n".to_owned();
    }
    let row = |incident: &Incident| {
        vec![
            incident.id.to_string(),
            incident.onset.to_string(),
            lasted(incident, now),
            match (incident.merged_into, incident.closed) {
                (Some(_), _) => "merged",
                (None, Some(_)) => "closed",
                (None, None) => "open",
            }
            .to_owned(),
            incident.anomalies.len().to_string(),
            cause(incident),
        ]
    };
    let rows: Vec<Vec<String>> = incidents.iter().map(row).collect();
    columns(&["INCIDENT", "SINCE", "LASTED", "STATE", "ANOMALIES", "BEGAN IN"], &rows)
}

/// An open one lasts until now, whenever its edges were last heard of it; the clocks may differ.
fn lasted(incident: &Incident, now: Timestamp) -> String {
    let end = incident.closed.unwrap_or(now.max(incident.last_seen));
    duration(end.since(incident.onset))
}

fn cause(incident: &Incident) -> String {
    let Some(diagnosis) = &incident.diagnosis else { return "…".to_owned() };
    match diagnosis.candidates.first().filter(|_| diagnosis.known) {
        Some(first) => format!("{} ({:.0} %)", first.component, 100.0 * diagnosis.confidence),
        None => "unknown".to_owned(),
    }
}

fn show(incident: &Incident, now: Timestamp) -> String {
    let state = match (incident.closed, incident.merged_into) {
        (_, Some(into)) => format!("part of {into}"),
        (Some(_), None) => "closed".to_owned(),
        (None, None) => "open".to_owned(),
    };
    let mut text = format!(
        "Incident {}, {state}, since {}, {}. It began in: {}\n\n",
        incident.id,
        incident.onset,
        lasted(incident, now),
        cause(incident)
    );
    let rows: Vec<Vec<String>> = incident
        .anomalies
        .iter()
        .map(|anomaly| {
            vec![
                format!("+{:.0} s", anomaly.onset.since(incident.onset)),
                anomaly.component.to_string(),
                if anomaly.closed.is_some() { "ended" } else { "open" }.to_owned(),
            ]
        })
        .collect();
    text += &columns(&["ONSET", "COMPONENT", "STATE"], &rows);
    if incident.left_out > 0 {
        text += &format!("and {} more\n", incident.left_out);
    }
    let Some(diagnosis) = &incident.diagnosis else { return text + "\nIts cause is being looked for.\n" };
    for (place, candidate) in diagnosis.candidates.iter().take(5).enumerate() {
        text += &format!("\n{}. {}\n", place + 1, described(candidate));
    }
    for note in &diagnosis.notes {
        text += &format!("\nNote: {note}");
    }
    text + "\n"
}

fn described(candidate: &Candidate) -> String {
    let mut text = candidate.component.to_string();
    for reason in &candidate.reasons {
        text += &format!("\n   {reason}");
    }
    if candidate.path.len() > 1 {
        let path: Vec<&str> = candidate.path.iter().map(|component| component.as_str()).collect();
        text += &format!("\n   it spread: {}", path.join(" → "));
    }
    text
}
