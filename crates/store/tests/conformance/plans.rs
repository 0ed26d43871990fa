use std::slice;
use std::time::Duration;

use larnax_core::{
    Decision, IncidentId, Mode, Outcome, Plan, PlanId, PlanState, Proposal, Risk, Step, Timestamp,
};
use larnax_store::{Document, Error, PlanQuery};

use super::{Place, component, incident, time};

/// A plan about the incident of a component, its first attempt, as it is made.
pub(crate) fn plan(name: &str, made: f64, sequence: u32) -> Plan {
    let incident = incident(name, 0.0, 0).id;
    Plan {
        id: PlanId::of(incident, 1),
        incident,
        attempt: 1,
        sequence,
        state: PlanState::Proposed,
        made: time(made),
        onset: time(made - 5.0),
        ended: None,
        component: component(name).id,
        confidence: 0.8,
        pattern: None,
        mode: Mode::Ask,
        proposals: vec![Proposal {
            action: "restart".to_owned(),
            summary: "ü \u{0} ☃ '; DROP TABLE plans".to_owned(),
            agent: "host-1".to_owned(),
            risk: Risk::Disruptive,
            cost_seconds: 3.0,
            timeout_seconds: 60.0,
            helps_within_seconds: 300.0,
            cooldown_seconds: 60.0,
            can_undo: false,
            expected: 0.7,
            error: 0.1,
            outcomes: 4,
            recommended: true,
            why: vec!["It helped four times.".to_owned()],
        }],
        reasons: Vec::new(),
        decision: None,
        done: None,
        undone: None,
        outcome: None,
    }
}

/// The same, once all is known of it.
pub(crate) fn ended(plan: Plan, at: f64, sequence: u32) -> Plan {
    let step = Step {
        ordered: plan.made,
        expires: time(at),
        by: "policy".to_owned(),
        began: Some(plan.made),
        ended: Some(time(at)),
        effect: Some(larnax_core::Effect::Done),
        message: "restarted".to_owned(),
    };
    let decision =
        Decision { approved: true, action: "restart".to_owned(), by: "ann".to_owned(), at: plan.made };
    Plan {
        sequence,
        state: PlanState::Ended,
        ended: Some(time(at)),
        decision: Some(decision),
        done: Some(step),
        outcome: Some(Outcome {
            recovered_seconds: Some(2.5),
            worse: false,
            reward: Some(0.9),
            notes: vec![],
        }),
        ..plan
    }
}

fn document(name: &str, version: u64, json: &str) -> Document {
    Document { name: name.to_owned(), version, json: json.to_owned() }
}

pub(crate) fn an_older_plan_never_overwrites_a_newer_one(place: &Place) {
    let store = place.open();
    let first = plan("orders", 1.0, 0);
    let newer = ended(first.clone(), 9.0, 5);
    assert_eq!(store.upsert_plans(slice::from_ref(&first), &[], None).unwrap(), 1);
    assert_eq!(store.plan(first.id).unwrap(), Some(first.clone()));
    assert_eq!(store.upsert_plans(&[newer.clone(), plan("orders", 1.0, 4)], &[], None).unwrap(), 1);
    let again = plan("orders", 1.0, 5);
    assert_eq!(store.upsert_plans(&[again], &[], None).unwrap(), 0, "a repetition changes nothing");
    assert_eq!(store.plan(first.id).unwrap(), Some(newer.clone()));
    assert_eq!(store.plan(plan("stock", 1.0, 0).id).unwrap(), None);
    assert_eq!(store.upsert_plans(&[], &[], None).unwrap(), 0);
    drop(store);
    assert_eq!(place.open().plan(first.id).unwrap(), Some(newer));
}

pub(crate) fn plans_are_listed_latest_first_by_incident_and_whether_they_are_open(place: &Place) {
    let store = place.open();
    for i in 0..23 {
        // Some made at the same moment.
        let mut one = plan(&format!("c{i}"), f64::from(i / 4), 0);
        if i % 3 == 0 {
            one = ended(one, 100.0, 1);
        }
        store.upsert_plans(&[one], &[], None).unwrap();
    }
    let position = |query: &PlanQuery| -> Vec<(Timestamp, PlanId)> {
        store.plans(query).unwrap().into_iter().map(|plan| (plan.made, plan.id)).collect()
    };
    let all = position(&PlanQuery::default());
    assert_eq!(all.len(), 23);
    assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    let mut paged = Vec::new();
    loop {
        let page = position(&PlanQuery { after: paged.last().copied(), limit: 4, ..PlanQuery::default() });
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(position(&PlanQuery { open: true, ..PlanQuery::default() }).len(), 15);

    let second = Plan { id: PlanId::of(plan("c0", 0.0, 0).incident, 2), attempt: 2, ..plan("c0", 50.0, 0) };
    store.upsert_plans(slice::from_ref(&second), &[], None).unwrap();
    let of = |incident: IncidentId, open: bool| {
        position(&PlanQuery { incident: Some(incident), open, ..PlanQuery::default() })
    };
    let first = plan("c0", 0.0, 0);
    assert_eq!(of(first.incident, false), [(second.made, second.id), (first.made, first.id)]);
    assert_eq!(of(first.incident, true), [(second.made, second.id)]);
    assert!(of(incident("nobody", 0.0, 0).id, false).is_empty());
}

pub(crate) fn what_was_learnt_stays_until_a_newer_version_comes(place: &Place) {
    let store = place.open();
    assert_eq!(store.knowledge("patterns").unwrap(), None);
    let first = document("patterns", 1, r#"{"b": 1,  "a":"ü\u0000","n":1e400}"#);
    let freeze = document("freeze", 7, "false");
    store.upsert_plans(&[], &[first.clone(), freeze.clone()], None).unwrap();
    assert_eq!(store.knowledge("patterns").unwrap(), Some(first.clone()), "as it came");
    for version in [0, 1] {
        store.upsert_plans(&[], &[document("patterns", version, "[]")], None).unwrap();
        assert_eq!(store.knowledge("patterns").unwrap(), Some(first.clone()));
    }
    let largest = document("patterns", i64::MAX as u64, "[1]");
    store.upsert_plans(&[], &[document("patterns", 3, "[3]"), largest.clone(), first], None).unwrap();
    assert_eq!(store.knowledge("patterns").unwrap(), Some(largest));
    assert_eq!(store.knowledge("freeze").unwrap(), Some(freeze));
}

pub(crate) fn plans_and_what_was_learnt_are_written_together_or_not_at_all(place: &Place) {
    let store = place.open();
    let learnt = document("patterns", 1, "{}");
    let mut unreadable = plan("stock", 1.0, 0);
    unreadable.confidence = f64::NAN;
    let both = [plan("orders", 1.0, 0), unreadable];
    let error = store.upsert_plans(&both, slice::from_ref(&learnt), None).unwrap_err();
    assert!(!error.is_temporary() && error.to_string().contains("can't be read back"), "{error}");
    let too_large = format!("\"{}\"", "x".repeat(16 << 20));
    for (bad, reason) in [
        (document("patterns", 1, "{\"a\":"), "can't be read back"),
        (document("patterns", 1, "{} {}"), "can't be read back"),
        (document("patterns", 1, &too_large), "expected JSON of at most 16777216"),
        (document("patterns", u64::MAX, "{}"), "expected at most 9223372036854775807"),
        (document("", 1, "{}"), "expected 1 to 1024"),
        (document("a\0b", 1, "{}"), "expected 1 to 1024"),
    ] {
        let documents = [learnt.clone(), bad];
        let error = store.upsert_plans(&both[..1], &documents, None).unwrap_err();
        assert!(!error.is_temporary() && error.to_string().contains(reason), "{error}");
    }
    assert!(store.plans(&PlanQuery::default()).unwrap().is_empty());
    assert_eq!(store.knowledge("patterns").unwrap(), None);
    assert_eq!(store.upsert_plans(&both[..1], slice::from_ref(&learnt), None).unwrap(), 1);
    assert_eq!(store.knowledge("patterns").unwrap(), Some(learnt));
}

pub(crate) fn a_hub_that_has_lost_its_lease_neither_plans_nor_learns(place: &Place) {
    let store = place.open();
    let minute = Duration::from_secs(60);
    let old = store.acquire("act", "hub-1", minute, time(0.0)).unwrap().unwrap();
    let (made, learnt) = (plan("orders", 1.0, 0), document("patterns", 1, "{}"));
    store.upsert_plans(slice::from_ref(&made), slice::from_ref(&learnt), Some(&old)).unwrap();
    assert!(store.release(&old).unwrap());
    let new = store.acquire("act", "hub-2", minute, time(0.0)).unwrap().unwrap();
    let later = (ended(made.clone(), 9.0, 1), document("patterns", 2, "[]"));
    let late =
        store.upsert_plans(slice::from_ref(&later.0), slice::from_ref(&later.1), Some(&old)).unwrap_err();
    assert_eq!(late, Error::Fenced { lease: "act".to_owned(), number: old.number });
    assert_eq!(store.plan(made.id).unwrap(), Some(made.clone()));
    assert_eq!(store.knowledge("patterns").unwrap(), Some(learnt));
    assert_eq!(
        store.upsert_plans(slice::from_ref(&later.0), slice::from_ref(&later.1), Some(&new)).unwrap(),
        1
    );
    assert_eq!(store.plan(made.id).unwrap(), Some(later.0));
    assert_eq!(store.knowledge("patterns").unwrap(), Some(later.1));
}
