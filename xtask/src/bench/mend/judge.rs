//! What came of a round. Times are in seconds: `…_after` since it was broken, `…_after_onset` since the first anomalous sample.

use std::fmt;

use larnax_core::{Incident, Plan, Timestamp};
use larnax_shop::{Decoy, Fault, Remedy, Service};
use serde_json::{Value, json};

use super::follow::Arm;

/// What a shop was made to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Made {
    /// Something wrong.
    Wrong(Fault, Service),
    /// Something odd.
    Odd(Decoy, Option<Service>),
}

/// A round.
pub(super) struct What {
    pub(super) arm: Arm,
    pub(super) made: Made,
    /// From 1.
    pub(super) round: u64,
}

impl What {
    pub(super) fn fault(&self) -> Option<Fault> {
        match self.made {
            Made::Wrong(fault, _) => Some(fault),
            Made::Odd(..) => None,
        }
    }

    /// The service that has a fault.
    pub(super) fn broken(&self) -> Option<Service> {
        match self.made {
            Made::Wrong(_, service) => Some(service),
            Made::Odd(..) => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.made {
            Made::Wrong(fault, _) => fault.name(),
            Made::Odd(decoy, _) => decoy.name(),
        };
        write!(f, "{}: round {} of {name}", self.arm.name(), self.round)
    }
}

/// What was seen of it.
pub(super) struct Seen {
    /// When it was done.
    pub(super) since: Timestamp,
    /// When the shop said that the fault was over; none while it was not.
    pub(super) over: Option<Timestamp>,
    /// Whether no anomaly was left at the end.
    pub(super) quiet: bool,
    /// Those that are not a part of another one.
    pub(super) incidents: Vec<Incident>,
    pub(super) plans: Vec<Plan>,
    /// When everything was started again by hand.
    pub(super) restarted: Option<Timestamp>,
    /// Customers who were not served, in all, and before anything was done about it.
    pub(super) unserved: u64,
    pub(super) unserved_before_acting: Option<u64>,
}

impl Seen {
    pub(super) fn new(since: Timestamp) -> Self {
        Self {
            since,
            over: None,
            quiet: false,
            incidents: Vec::new(),
            plans: Vec::new(),
            restarted: None,
            unserved: 0,
            unserved_before_acting: None,
        }
    }

    /// When all was well again: the fault was over, and nothing anomalous was seen any more.
    pub(super) fn well(&self) -> Option<Timestamp> {
        let over = self.over.filter(|_| self.quiet)?;
        Some(self.incidents.iter().map(|incident| incident.last_seen).fold(over, Timestamp::max))
    }
}

/// The round as it is kept.
pub(super) fn row(what: &What, seen: &Seen) -> Value {
    let after = |at: Timestamp| at.since(seen.since);
    let incident = seen.incidents.iter().min_by_key(|incident| incident.opened);
    let first = seen.plans.iter().min_by_key(|plan| plan.made);
    let begun = |plan: &Plan| plan.done.as_ref().and_then(|step| step.began);
    let done = seen.plans.iter().filter(|plan| begun(plan).is_some()).min_by_key(|plan| begun(plan));
    let onset = done.or(first).map(|plan| plan.onset).or(incident.map(|incident| incident.onset));
    let after_onset = |at: Timestamp| onset.map(|onset| at.since(onset));
    let opened = incident.map(|incident| incident.opened);
    let began = done.and_then(begun);
    let made = first.map(|plan| plan.made);
    let (decoy, on) = match what.made {
        Made::Wrong(_, on) => (None, Some(on)),
        Made::Odd(decoy, on) => (Some(decoy), on),
    };
    let mut row = json!({
        "arm": what.arm.name(),
        "fault": what.fault().map(Fault::name),
        "decoy": decoy.map(Decoy::name),
        "on": on.map(Service::name),
        "round": what.round,
        "incidents": seen.incidents.len(),
        "alerted": seen.incidents.iter().any(|incident| incident.alerted),
        "onset_after": onset.map(after),
        "noticed_after": opened.map(after),
        "noticed_after_onset": opened.and_then(after_onset),
        "proposed_after": made.map(after),
        "proposed_after_onset": made.and_then(after_onset),
        "begun_after": began.map(after),
        "begun_after_onset": began.and_then(after_onset),
        "restarted_after": seen.restarted.map(after),
        "over_after": what.fault().and(seen.over).map(after),
        "well_after": what.fault().and(seen.well()).map(after),
        "unserved": seen.unserved,
        "unserved_since_acting": seen.unserved_before_acting.map(|before| seen.unserved.saturating_sub(before)),
        "actions": seen.plans.iter().filter(|plan| begun(plan).is_some()).count(),
        "worse": seen.plans.iter().any(|plan| plan.outcome.as_ref().is_some_and(|outcome| outcome.worse)),
        "rolled_back": seen.plans.iter().any(|plan| plan.undone.is_some()),
        "plans": seen.plans.iter().map(|plan| short(plan, &after)).collect::<Vec<_>>(),
    });
    // What was done first; where nothing was, what would have been.
    if let Some(plan) = done.or(first) {
        let action = plan.chosen().map(|chosen| chosen.action.as_str());
        let pattern = plan.pattern.as_ref().filter(|pattern| pattern.known);
        let is_there = what.broken().is_some_and(|on| plan.component.as_str() == on.component());
        let remedy = what.fault().map(Fault::remedy);
        row["pattern"] = json!(plan.pattern.as_ref().map(|pattern| &pattern.pattern));
        row["known"] = json!(pattern.is_some());
        row["name_right"] =
            json!(pattern.is_some_and(|one| Some(one.pattern.as_str()) == what.fault().map(Fault::name)));
        row["component_right"] = json!(is_there);
        row["action"] = json!(action);
        row["action_right"] = json!(remedy.is_some() && action == remedy.map(|remedy| remedy.name()));
        // A roll-back starts a process too.
        let ends = action.and_then(|action| action.parse::<Remedy>().ok()).zip(what.fault());
        row["would_end_it"] = json!(is_there && ends.is_some_and(|(remedy, fault)| remedy.ends(fault)));
        row["by"] = json!(done.and_then(|plan| plan.decision.as_ref()).map(|decision| &decision.by));
        row["recovered_seconds"] =
            json!(seen.plans.iter().find_map(|plan| plan.outcome.as_ref()?.recovered_seconds));
    }
    row
}

/// What is to be known of a plan afterwards.
fn short(plan: &Plan, after: &impl Fn(Timestamp) -> f64) -> Value {
    let done = plan.done.as_ref();
    json!({
        "attempt": plan.attempt,
        "state": plan.state.as_str(),
        "component": plan.component,
        "confidence": plan.confidence,
        "pattern": plan.pattern,
        "made_after": after(plan.made),
        "proposals": plan.proposals.iter().map(|one| json!({
            "action": one.action, "expected": one.expected, "error": one.error, "outcomes": one.outcomes,
            "recommended": one.recommended,
        })).collect::<Vec<_>>(),
        "reasons": plan.reasons,
        "decision": plan.decision,
        "begun_after": done.and_then(|step| step.began).map(after),
        "effect": done.and_then(|step| step.effect),
        "message": done.map(|step| &step.message),
        "undone": plan.undone,
        "outcome": plan.outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000 * (1_000 + seconds))
    }

    fn incident(onset: i64, last_seen: i64) -> Incident {
        serde_json::from_value(json!({
            "id": "1f0c2a9e5b7d4c33", "onset": at(onset), "opened": at(onset + 3), "last_seen": at(last_seen),
            "alerted": true, "anomalies": [], "sequence": 1,
        }))
        .unwrap()
    }

    fn plan(attempt: u32, component: &str, action: &str, began: Option<i64>) -> Plan {
        let mut plan = json!({
            "id": "5b7d4c331f0c2a9e", "incident": "1f0c2a9e5b7d4c33", "attempt": attempt, "sequence": 1, "state": "ended",
            "made": at(8 + i64::from(attempt)), "onset": at(2), "component": component, "confidence": 0.9, "mode": "act",
            "pattern": { "pattern": "stop", "known": true, "similarity": 0.9 },
            "proposals": [{ "action": action, "agent": "a", "risk": "safe", "timeout_seconds": 15.0, "expected": 0.5,
                            "error": 0.1, "outcomes": 3, "recommended": true }],
        });
        if let Some(began) = began {
            plan["done"] = json!({ "ordered": at(began), "expires": at(began + 60), "by": "policy", "began": at(began),
                                   "ended": at(began + 2), "effect": "done" });
            plan["decision"] = json!({ "approved": true, "action": action, "by": "policy", "at": at(began) });
            plan["outcome"] = json!({ "recovered_seconds": 4.0, "worse": false });
        }
        serde_json::from_value(plan).unwrap()
    }

    fn what(fault: Fault) -> What {
        What { arm: Arm::Mend, made: Made::Wrong(fault, Service::Stock), round: 2 }
    }

    fn seen(incidents: Vec<Incident>, plans: Vec<Plan>) -> Seen {
        Seen { over: Some(at(12)), quiet: true, incidents, plans, ..Seen::new(at(0)) }
    }

    #[test]
    fn what_was_done_first_is_judged_and_not_what_was_only_proposed() {
        let plans = vec![
            plan(1, "service/shop/web", "roll-back", None),
            plan(2, "service/shop/stock", "restart", Some(11)),
            plan(3, "service/shop/stock", "reroute", Some(40)),
        ];
        let row = row(&what(Fault::Stop), &seen(vec![incident(2, 15)], plans));
        assert_eq!((&row["action"], &row["action_right"]), (&json!("restart"), &json!(true)));
        assert_eq!((&row["component_right"], &row["name_right"]), (&json!(true), &json!(true)));
        assert_eq!((&row["noticed_after"], &row["proposed_after"]), (&json!(5.0), &json!(9.0)));
        assert_eq!((&row["begun_after"], &row["begun_after_onset"]), (&json!(11.0), &json!(9.0)));
        assert_eq!((&row["actions"], &row["by"]), (&json!(2), &json!("policy")));
    }

    #[test]
    fn what_ends_a_fault_by_the_way_is_not_right_and_is_told_apart() {
        let there = vec![plan(1, "service/shop/stock", "roll-back", Some(11))];
        let elsewhere = vec![plan(1, "service/shop/web", "roll-back", Some(11))];
        let of = |plans| row(&what(Fault::Stop), &seen(vec![incident(2, 15)], plans));
        let (there, elsewhere) = (of(there), of(elsewhere));
        assert_eq!((&there["action_right"], &there["would_end_it"]), (&json!(false), &json!(true)));
        assert_eq!(elsewhere["would_end_it"], json!(false));
    }

    #[test]
    fn it_is_well_when_the_fault_is_over_and_nothing_anomalous_is_seen_any_more() {
        let well = |seen: Seen| row(&what(Fault::Stop), &seen)["well_after"].clone();
        assert_eq!(well(seen(vec![incident(2, 15)], Vec::new())), json!(15.0));
        assert_eq!(well(seen(vec![incident(2, 9)], Vec::new())), json!(12.0));
        assert!(well(Seen { over: None, ..seen(vec![incident(2, 15)], Vec::new()) }).is_null());
        assert!(well(Seen { quiet: false, ..seen(vec![incident(2, 15)], Vec::new()) }).is_null());
    }

    #[test]
    fn nothing_is_right_about_a_decoy() {
        let decoy = What { made: Made::Odd(Decoy::CpuSpike, Some(Service::Stock)), ..what(Fault::Stop) };
        let row = row(&decoy, &seen(Vec::new(), vec![plan(1, "service/shop/stock", "restart", Some(11))]));
        assert_eq!((&row["action_right"], &row["component_right"]), (&json!(false), &json!(false)));
        assert_eq!((&row["name_right"], &row["over_after"]), (&json!(false), &Value::Null));
    }

    #[test]
    fn a_fault_that_nobody_notices_has_no_times_but_its_own() {
        let row = row(&what(Fault::ForkFlood), &seen(Vec::new(), Vec::new()));
        assert!(row["noticed_after"].is_null() && row["action"].is_null(), "{row}");
        assert_eq!((&row["over_after"], &row["actions"]), (&json!(12.0), &json!(0)));
    }
}
