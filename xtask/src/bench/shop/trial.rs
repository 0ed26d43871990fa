//! One fault, or one decoy, and what an agent with a hub says of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use larnax_core::{Incident, Timestamp};
use larnax_shop::{Decoy, Fault, Order, Service, Shop};
use larnax_test_peers::Agent;
use serde_json::{Value, json};

/// How long a decoy is looked at.
const DECOY: Duration = Duration::from_secs(20);
/// How long an agent that was started anew may take to see the shop well.
const CALM: Duration = Duration::from_secs(90);
/// How long it has been watching before a fault: what a target's silence means, it says after 60 samples only.
pub(in crate::bench) const BEFORE: Duration = Duration::from_secs(70);
/// How long it has been watching before a decoy.
const SOON: Duration = Duration::from_secs(10);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(500);

/// A decoy: what opened, and whether anybody would have been told.
pub(super) fn decoy(agent: &Agent, shop: &Shop, decoy: Decoy, on: Option<Service>) -> Result<Value> {
    let calm = wait_for_calm(agent, SOON);
    let began = Instant::now();
    let since = now(agent);
    shop.decoy(decoy, on, DECOY.as_secs_f64())?;
    while began.elapsed() < DECOY {
        sleep(LOOK);
    }
    let incidents = opened_since(agent, since);
    Ok(json!({
        "decoy": decoy.name(),
        "on": on.map(Service::name),
        "disturbed": !calm,
        "incidents": incidents.len(),
        "alerted": incidents.iter().any(|incident| incident.alerted),
    }))
}

/// A fault that lasts so long: how soon there was an incident, and what is said of it at the end.
pub(in crate::bench) fn fault(
    agent: &Agent,
    shop: &Shop,
    (fault, place): (Fault, Service),
    lasts: Duration,
    ready: bool,
) -> Result<Value> {
    // Whoever had the core before may have had it for long.
    let calm = ready && is_calm(agent);
    let since = now(agent);
    let began = Instant::now();
    shop.inject(place, &Order::new(fault, lasts.as_secs_f64() + 5.0))?;
    let mut noticed = None;
    while began.elapsed() < lasts {
        if noticed.is_none() && !opened_since(agent, since).is_empty() {
            noticed = Some(began.elapsed().as_secs_f64());
        }
        sleep(LOOK);
    }
    let incidents = opened_since(agent, since);
    shop.end_faults(place)?;
    // The oldest is what people were told of first.
    let incident = incidents.iter().min_by_key(|incident| incident.opened);
    let mut row = json!({
        "fault": fault.name(),
        "on": place.name(),
        "disturbed": !calm,
        "noticed_after_seconds": noticed,
        "incidents": incidents.len(),
        "alerted": incidents.iter().any(|incident| incident.alerted),
    });
    if let Some(incident) = incident {
        let anomalies = incident.anomalies.iter();
        row["injected"] = json!(since);
        row["onset"] = json!(incident.onset);
        row["anomalies"] = anomalies
            .map(|anomaly| json!({ "component": anomaly.component, "after": anomaly.onset.since(since) }))
            .collect();
        row["first_anomaly"] = json!(incident.anomalies.first().map(|anomaly| &anomaly.component));
        if let Some(diagnosis) = &incident.diagnosis {
            row["known"] = json!(diagnosis.known);
            row["confidence"] = json!(diagnosis.confidence);
            row["evidence_bytes"] = json!(diagnosis.evidence_bytes);
            row["notes"] = json!(diagnosis.notes);
            row["candidates"] = diagnosis
                .candidates
                .iter()
                .map(|one| json!({ "component": one.component, "score": one.score, "reasons": one.reasons }))
                .collect();
        }
    }
    Ok(row)
}

/// Whether all is normal within the time that it may take, and the agent has been there for `least`.
pub(in crate::bench) fn wait_for_calm(agent: &Agent, least: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < CALM && !(is_calm(agent) && uptime(agent) >= least.as_secs_f64()) {
        sleep(LOOK);
    }
    is_calm(agent)
}

fn uptime(agent: &Agent) -> f64 {
    let status = agent.json("/api/v1/status");
    time(&status["now"]).since(time(&status["started"]))
}

pub(in crate::bench) fn is_calm(agent: &Agent) -> bool {
    let all = agent.json("/api/v1/components");
    let normal = |all: &Vec<Value>| all.iter().all(|component| component["state"] == "normal");
    let open = agent.json("/api/v1/incidents?state=open");
    all.as_array().is_some_and(normal) && open.as_array().is_some_and(Vec::is_empty)
}

/// By the agent's clock.
pub(in crate::bench) fn now(agent: &Agent) -> Timestamp {
    time(&agent.json("/api/v1/status")["now"])
}

fn time(value: &Value) -> Timestamp {
    serde_json::from_value(value.clone()).unwrap_or(Timestamp::from_nanos(0))
}

/// Incidents that opened since then, and are not a part of another one.
fn opened_since(agent: &Agent, since: Timestamp) -> Vec<Incident> {
    let all: Vec<Incident> =
        serde_json::from_value(agent.json("/api/v1/incidents?limit=20")).unwrap_or_default();
    all.into_iter().filter(|incident| incident.opened >= since && incident.merged_into.is_none()).collect()
}
