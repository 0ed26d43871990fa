//! What is told of an incident.

use std::collections::BTreeMap;
use std::fmt::Write;

use larnax_core::event::IncidentEvent;
use larnax_core::{Incident, IncidentPlan, PlanState, Timestamp, Transition};

use super::{Told, number};
use crate::names;

/// Candidates that a notification names.
const NAMED: usize = 3;

impl Told for IncidentEvent {
    fn subject(&self) -> u64 {
        self.incident.id.number()
    }

    fn goes_on(&self) -> bool {
        self.transition != Transition::Closed
    }

    fn is_alerted(&self) -> bool {
        self.incident.alerted
    }

    fn clean(&mut self) {
        let Some(diagnosis) = &mut self.incident.diagnosis else { return };
        for candidate in &mut diagnosis.candidates {
            candidate.metrics.retain(|m| [m.before, m.extreme, m.deviation].iter().all(|x| x.is_finite()));
        }
        diagnosis.candidates.retain(|candidate| candidate.score.is_finite());
    }

    fn shorten(&mut self) {
        if let Some(diagnosis) = &mut self.incident.diagnosis {
            diagnosis.candidates.truncate(NAMED);
        }
        self.incident.anomalies.truncate(100);
    }

    fn began(&self) -> Timestamp {
        self.incident.onset
    }

    fn ended(&self) -> Option<Timestamp> {
        self.incident.closed
    }

    /// The id is the identity: what belongs to an incident and what caused it may change while it lasts.
    fn labels(&self) -> BTreeMap<String, String> {
        let own = [
            (names::LABEL_ALERTNAME, names::ALERT_INCIDENT.to_owned()),
            (names::LABEL_INCIDENT, self.incident.id.to_string()),
            (names::LABEL_SEVERITY, "warning".to_owned()),
        ];
        own.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
    }

    fn annotations(&self, late: bool) -> BTreeMap<&'static str, String> {
        let incident = &self.incident;
        let mut summary = summary(incident);
        if let Some(closed) = incident.closed.filter(|_| late) {
            let _ = write!(summary, " (reported late: it ended at {closed})");
        }
        let mut all = BTreeMap::from([
            ("summary", summary),
            ("description", description(incident)),
            ("onset", incident.onset.to_string()),
            ("opened", incident.opened.to_string()),
            ("last_seen", incident.last_seen.to_string()),
            ("components", components(incident).join(" ")),
        ]);
        if let Some(diagnosis) = &incident.diagnosis {
            all.insert("confidence", number(diagnosis.confidence));
            if let Some(first) = diagnosis.candidates.first().filter(|_| diagnosis.known) {
                all.insert("cause", first.component.to_string());
            }
        }
        if let Some(plan) = &incident.plan {
            all.insert("plan", planned(plan));
        }
        if let Some(closed) = incident.closed {
            all.insert("closed", closed.to_string());
        }
        all
    }

    fn link(&self, base: &str) -> String {
        names::incident_link(base, self.incident.id)
    }
}

/// Its components, by onset, each once.
fn components(incident: &Incident) -> Vec<&str> {
    let mut components: Vec<&str> = Vec::new();
    for anomaly in &incident.anomalies {
        let component = anomaly.component.as_str();
        if !components.contains(&component) {
            components.push(component);
        }
    }
    components
}

/// One sentence: what is wrong, and where it began.
fn summary(incident: &Incident) -> String {
    let components = components(incident);
    let what = match components.as_slice() {
        [] => "Nothing behaves unlike normal any more".to_owned(),
        [one] => format!("{one} behaves unlike normal"),
        [first, rest @ ..] => format!("{first} and {} more behave unlike normal", rest.len()),
    };
    let named = incident.diagnosis.as_ref().filter(|diagnosis| diagnosis.known);
    match named.and_then(|diagnosis| diagnosis.candidates.first()) {
        Some(cause) => format!("{what}; it began in {}", cause.component),
        None if incident.diagnosis.is_some() => format!("{what}; cause unknown"),
        None => what,
    }
}

/// The first candidates with their reasons.
/// What is done about it, in a sentence.
fn planned(plan: &IncidentPlan) -> String {
    let IncidentPlan { id, state, action, component } = plan;
    let what = format!("`{action}` on {component}");
    match state {
        PlanState::Shadow => format!("no policy allows it: {what} would be done (plan {id})"),
        PlanState::Proposed => format!("{what} is proposed: `larnax plans approve {id}`, or on the page"),
        PlanState::Acting => format!("{what} is being done (plan {id})"),
        PlanState::Verifying => format!("{what} was done; whether it helps is being watched (plan {id})"),
        PlanState::Undoing => format!("{what} is being taken back (plan {id})"),
        PlanState::Ended => format!("{what}: `larnax plans show {id}` says what came of it"),
    }
}

fn description(incident: &Incident) -> String {
    let mut text = format!("Since {}.", incident.onset);
    let Some(diagnosis) = &incident.diagnosis else { return text };
    for candidate in diagnosis.candidates.iter().take(NAMED) {
        let _ = write!(text, "\n{}: {}", candidate.component, candidate.reasons.join("; "));
    }
    for note in &diagnosis.notes {
        let _ = write!(text, "\n{note}");
    }
    text
}
