use larnax_core::{
    AnomalyId, AnomalyKind, Candidate, Diagnosis, Glob, IncidentAnomaly, Mode, Request, Risk, Want,
};
use larnax_spec::Scope;

use super::*;
use crate::choose::{Remedy, Situation};
use crate::signature::{Feature, Place, Signature, Track};

const SERVICE: &str = "service/shop/orders";

pub(super) fn at(second: f64) -> Timestamp {
    Timestamp::from_seconds(1e9 + second)
}

pub(super) fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn glob(text: &str) -> Glob {
    text.parse().unwrap()
}

pub(super) fn anomaly(component: &str, onset: f64) -> IncidentAnomaly {
    IncidentAnomaly {
        id: AnomalyId::of(&id(component), AnomalyKind::Deviation, at(onset)),
        component: id(component),
        source: String::new(),
        onset: at(onset),
        closed: None,
        skew_seconds: None,
        metrics: Vec::new(),
    }
}

/// An incident that began at a second and whose cause is named.
pub(super) fn incident(onset: f64) -> Incident {
    let candidate = Candidate {
        component: id(SERVICE),
        score: 1.0,
        onset: None,
        onset_error_seconds: None,
        metrics: Vec::new(),
        reasons: Vec::new(),
        path: Vec::new(),
    };
    let first = anomaly(SERVICE, onset);
    Incident {
        id: IncidentId::of(first.id),
        onset: at(onset),
        opened: at(onset + 5.0),
        last_seen: at(onset + 5.0),
        closed: None,
        alerted: true,
        anomalies: vec![first],
        left_out: 0,
        plan: None,
        merged_into: None,
        diagnosis: Some(Diagnosis {
            known: true,
            confidence: 0.9,
            candidates: vec![candidate],
            ..Diagnosis::default()
        }),
        sequence: 0,
    }
}

pub(super) fn over(incident: &Incident, last_seen: f64) -> Incident {
    Incident { closed: Some(at(last_seen + 15.0)), last_seen: at(last_seen), ..incident.clone() }
}

/// The same at first sight as later.
pub(super) fn look(kind: &str, z: f64) -> Look {
    Look { whole: signature(kind, z), glimpse: signature(kind, z), early: false }
}

/// Of a metric that is so many deviations out.
pub(super) fn signature(kind: &str, z: f64) -> Signature {
    let points = (0..10).map(|second| (Duration::from_secs(second), z)).collect();
    let feature = Feature { place: Place::Cause, kind: kind.to_owned() };
    let usual = |kind: &str| Track {
        feature: Feature { place: Place::Cause, kind: kind.to_owned() },
        points: (0..10).map(|second| (Duration::from_secs(second), 0.1)).collect(),
    };
    let others = ["cpu", "memory", "files"].into_iter().filter(|other| *other != kind).map(usual);
    let tracks: Vec<Track> = others.chain([Track { feature, points }]).collect();
    Signature::of(&tracks, Duration::from_secs(10))
}

pub(super) fn offered(action: &str, can_undo: bool) -> Offered {
    let offer = Offer {
        action: action.to_owned(),
        summary: String::new(),
        on: vec![glob("service/shop/*")],
        patterns: Vec::new(),
        metrics: Vec::new(),
        risk: Risk::Safe,
        cost_seconds: 3.0,
        timeout_seconds: 10.0,
        helps_within_seconds: 300.0,
        cooldown_seconds: 0.0,
        can_undo,
    };
    Offered { agent: "edge-1".to_owned(), offer }
}

pub(super) fn policy(mode: Mode) -> Policy {
    Policy { on: vec![Scope(glob("service/*"))], mode, ..Policy::default() }
}

pub(super) fn plans(mode: Mode) -> Plans {
    let mut plans = Plans::new(vec![policy(mode)], Knowledge::default(), Vec::new(), at(0.0));
    plans.know(vec![id(SERVICE), id("service/shop/pay"), id("node/local/a")]);
    plans
}

/// Knows a pattern by the name of its metric.
pub(super) fn taught(mode: Mode) -> Plans {
    let mut plans = plans(mode);
    for kind in ["cpu", "memory"] {
        plans.knowledge.patterns.learn(kind, signature(kind, 5.0));
    }
    plans
}

pub(super) fn only(plans: &Plans) -> Plan {
    assert_eq!(plans.plans.len(), 1);
    plans.plans.values().next().unwrap().clone()
}

pub(super) fn diagnose(plans: &mut Plans, incident: &Incident, offers: &[&str], now: f64) {
    let offers = offers.iter().map(|action| offered(action, false)).collect();
    plans.diagnosed(incident, Some(look("cpu", 5.0)), offers, at(now));
}

pub(super) fn report(plan: &Plan, wanted: Wanted, effect: Effect, now: f64) -> Report {
    Report {
        key: Command::key(plan.id, wanted),
        effect,
        message: "so".to_owned(),
        began: (effect != Effect::NotDone).then(|| at(now)),
        ended: at(now + 1.0),
    }
}

pub(super) fn hear(plans: &mut Plans, incident: &Incident, now: f64) {
    plans.hear(incident);
    plans.pass(at(now));
}

pub(super) fn approve(plan: PlanId, by: &str) -> Request {
    Request {
        id: by.to_owned(),
        by: by.to_owned(),
        want: Want::Approve { plan, action: None, sequence: None },
    }
}

#[test]
fn what_is_known_and_allowed_is_done_verified_and_learnt() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!((plan.state, plan.pattern.as_ref().unwrap().pattern.as_str()), (PlanState::Acting, "cpu"));
    assert!(!plans.knows_help());
    let orders = plans.orders();
    assert_eq!((orders.len(), orders[0].wanted, orders[0].agent.as_str()), (1, Wanted::Do, "edge-1"));
    assert_eq!(plans.orders(), orders, "until there is a report");
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    assert_eq!(plans.orders(), []);
    assert_eq!(only(&plans).state, PlanState::Verifying);
    // Meanwhile something else is more unusual.
    let mut later = incident.clone();
    if let Some(diagnosis) = &mut later.diagnosis {
        diagnosis.candidates[0].component = id("service/shop/pay");
    }
    plans.diagnosed(&later, Some(look("files", 5.0)), Vec::new(), at(15.0));
    hear(&mut plans, &over(&incident, 20.0), 35.0);
    let plan = only(&plans);
    let outcome = plan.outcome.unwrap();
    assert_eq!((plan.state, outcome.recovered_seconds, outcome.worse), (PlanState::Ended, Some(9.0), false));
    assert!((outcome.reward.unwrap() - (1.0 - 9.0 / 300.0 - 0.01)).abs() < 1e-9);
    let (changed, knowledge) = plans.changes();
    assert_eq!((changed.len(), knowledge.is_some()), (1, true));
    assert_eq!(plans.changes(), (Vec::new(), None));
    // The second time it is known what comes of it.
    let again = super::tests::incident(2_000.0);
    let familiar = |kind: &str| {
        let seen = plans.looks_like(&Look { early: true, ..look(kind, 5.0) }).unwrap();
        plans.is_familiar(again.diagnosis.as_ref().unwrap(), &seen)
    };
    assert!(familiar("cpu") && !familiar("memory") && !familiar("files"));
    diagnose(&mut plans, &again, &["restart"], 2_010.0);
    let proposal = plans.latest(again.id).unwrap().proposals[0].clone();
    assert_eq!(proposal.outcomes, 1);
    assert!(
        proposal.why.iter().any(|why| why.contains("done once for this: all was well 9 s after")),
        "{proposal:?}"
    );
}

#[test]
fn a_report_that_comes_twice_late_or_for_nobody_changes_nothing() {
    let mut plans = taught(Mode::Act);
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Undo, Effect::Done, 11.0), "edge-1", at(12.0));
    assert_eq!(only(&plans), plan);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    let verifying = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::NotDone, 11.0), "edge-1", at(13.0));
    let nobody = Report { key: "x".to_owned(), ..report(&plan, Wanted::Do, Effect::Done, 11.0) };
    plans.reported(&nobody, "edge-1", at(13.0));
    assert_eq!(only(&plans), verifying);
}

#[test]
fn without_a_policy_it_only_says_what_it_would_do_and_nobody_can_approve_it() {
    let mut plans = taught(Mode::Act);
    plans.policies.clear();
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!((plan.state, plan.mode), (PlanState::Shadow, Mode::Observe));
    let refused = plans.request(&approve(plan.id, "ana"), at(11.0)).unwrap_err();
    assert!(refused.contains("only observed"), "{refused}");
    hear(&mut plans, &over(&incident(0.0), 100.0), 115.0);
    let ended = only(&plans);
    assert_eq!((ended.state, ended.outcome.unwrap().recovered_seconds), (PlanState::Ended, Some(90.0)));
    assert_eq!(plans.orders(), []);
}

#[test]
fn what_is_new_is_asked_for_and_of_two_who_approve_the_first_counts() {
    let mut plans = plans(Mode::Act);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!(plan.state, PlanState::Proposed);
    assert!(plan.reasons.iter().any(|reason| reason.contains("seen before")), "{plan:?}");
    assert!(plans.request(&approve(plan.id, "ana"), at(20.0)).is_ok());
    let said = plans.request(&approve(plan.id, "ben"), at(20.0)).unwrap_err();
    assert!(said.contains("ana has approved it already"), "{said}");
    let reject = Request { id: "r".to_owned(), by: "ben".to_owned(), want: Want::Reject { plan: plan.id } };
    assert!(plans.request(&reject, at(20.0)).is_err());
    assert_eq!(plans.orders().len(), 1);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 21.0), "edge-1", at(22.0));
    hear(&mut plans, &over(&incident, 30.0), 45.0);
    let pattern = only(&plans).pattern.unwrap();
    assert_eq!((pattern.pattern.as_str(), pattern.known), ("U-1", false));
    // What a person names is known by that name.
    let want = Want::Name { plan: plan.id, name: "busy".to_owned() };
    plans.request(&Request { id: "n".to_owned(), by: "ana".to_owned(), want }, at(50.0)).unwrap();
    let again = super::tests::incident(2_000.0);
    diagnose(&mut plans, &again, &["restart"], 2_010.0);
    let plan = plans.latest(again.id).unwrap();
    assert_eq!((plan.state, plan.pattern.as_ref().unwrap().pattern.as_str()), (PlanState::Acting, "busy"));
    assert_eq!(plan.proposals[0].outcomes, 1);
}

#[test]
fn nothing_is_done_about_a_cause_that_is_unknown_unless_a_person_says_so() {
    let mut plans = taught(Mode::Act);
    let mut incident = incident(0.0);
    if let Some(diagnosis) = &mut incident.diagnosis {
        diagnosis.known = false;
    }
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!(plan.state, PlanState::Proposed);
    assert!(plan.reasons.iter().any(|reason| reason.contains("cause is unknown")), "{plan:?}");
    plans.pass(at(400.0));
    assert_eq!(plans.orders(), []);
}

#[test]
fn what_did_not_help_is_taken_back_and_something_else_is_tried() {
    let mut plans = taught(Mode::Act);
    plans.policies[0].cooldown = larnax_spec::Period::seconds(60);
    let incident = incident(0.0);
    let offers = vec![offered("limit", true), offered("restart", false)];
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), offers, at(10.0));
    let first = only(&plans);
    assert_eq!(first.proposals[0].action, "limit");
    plans.reported(&report(&first, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    plans.pass(at(200.0));
    assert_eq!(only(&plans).state, PlanState::Verifying);
    plans.pass(at(311.0));
    let undoing = plans.orders();
    assert_eq!((undoing.len(), undoing[0].wanted), (1, Wanted::Undo));
    plans.reported(&report(&first, Wanted::Undo, Effect::Done, 312.0), "edge-1", at(313.0));
    plans.pass(at(350.0));
    let second = plans.latest(incident.id).unwrap();
    assert_eq!((second.attempt, second.proposals[0].action.as_str()), (2, "restart"));
    assert_eq!(second.state, PlanState::Acting);
}

#[test]
fn an_action_after_which_another_component_is_anomalous_made_things_worse() {
    let mut plans = taught(Mode::Act);
    let mut incident = incident(0.0);
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), vec![offered("limit", true)], at(10.0));
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    incident.anomalies.push(anomaly("service/shop/pay", 15.0));
    hear(&mut plans, &incident, 20.0);
    assert_eq!(only(&plans).state, PlanState::Verifying, "it may be short");
    plans.pass(at(61.0));
    let plan = only(&plans);
    let outcome = plan.outcome.unwrap();
    assert!(outcome.worse && outcome.reward.unwrap() < 0.0, "{outcome:?}");
    assert_eq!(plans.orders()[0].wanted, Wanted::Undo);
}

#[test]
fn what_is_noticed_where_it_began_only_after_an_action_is_not_its_doing() {
    let mut plans = taught(Mode::Act);
    let mut incident = incident(0.0);
    // Who depends on it noticed first.
    incident.anomalies = vec![anomaly("service/shop/web", 0.0)];
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    incident.anomalies.push(anomaly(SERVICE, 15.0));
    hear(&mut plans, &incident, 20.0);
    plans.pass(at(61.0));
    assert_eq!(only(&plans).state, PlanState::Verifying);
}

#[test]
fn an_outcome_that_never_comes_is_given_up_and_nothing_is_done_twice() {
    let mut plans = taught(Mode::Act);
    diagnose(&mut plans, &incident(0.0), &["restart", "reroute"], 10.0);
    let order = plans.orders();
    for second in [60.0, 300.0, 600.0] {
        plans.pass(at(second));
        assert_eq!(plans.orders(), order);
    }
    for second in [680.0, 681.0] {
        plans.pass(at(second));
    }
    let first = plans.plans.values().find(|plan| plan.attempt == 1).unwrap();
    assert_eq!(first.done.as_ref().unwrap().effect, Some(Effect::Unsure));
    assert_eq!(first.outcome.as_ref().unwrap().reward, None, "nothing is learnt from it");
    let other: Vec<_> = plans.orders().into_iter().filter(|later| later.plan == order[0].plan).collect();
    assert_eq!(other, []);
}

#[test]
fn a_freeze_stops_everything_until_it_is_said_otherwise() {
    let mut plans = taught(Mode::Act);
    let want = |want| Request { id: "f".to_owned(), by: "ana".to_owned(), want };
    plans.request(&want(Want::Freeze), at(0.0)).unwrap();
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!((plan.state, plans.orders().len()), (PlanState::Proposed, 0));
    assert!(plans.request(&approve(plan.id, "ben"), at(11.0)).unwrap_err().contains("frozen"));
    plans.request(&want(Want::Thaw), at(12.0)).unwrap();
    plans.pass(at(13.0));
    assert_eq!(plans.orders().len(), 1);
}

#[test]
fn who_takes_over_goes_on_with_what_was_written_down() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let (kept, _) = plans.changes();
    let text = serde_json::to_string(&plans.knowledge).unwrap();
    let knowledge: Knowledge = serde_json::from_str(&text).unwrap();
    let mut next = Plans::new(vec![policy(Mode::Act)], knowledge, kept, at(15.0));
    assert_eq!(next.orders(), plans.orders());
    hear(&mut next, &incident, 20.0);
    // Diagnosed once more, as after each start: what was ordered stays ordered, once.
    diagnose(&mut next, &incident, &["restart"], 21.0);
    assert_eq!(next.orders(), plans.orders());
    next.reported(&report(&only(&next), Wanted::Do, Effect::Done, 11.0), "edge-1", at(22.0));
    hear(&mut next, &over(&incident, 20.0), 35.0);
    assert_eq!(only(&next).state, PlanState::Ended);
}

#[test]
fn what_was_done_is_taken_back_when_a_person_says_so_and_once() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), vec![offered("limit", true)], at(10.0));
    let plan = only(&plans);
    let undo = Request { id: "u".to_owned(), by: "ana".to_owned(), want: Want::Undo { plan: plan.id } };
    assert!(plans.request(&undo, at(10.0)).unwrap_err().contains("nothing was done"));
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    hear(&mut plans, &over(&incident, 20.0), 35.0);
    plans.request(&undo, at(40.0)).unwrap();
    assert_eq!(plans.orders()[0].wanted, Wanted::Undo);
    assert!(plans.request(&undo, at(41.0)).unwrap_err().contains("ana has had it taken back"));
    let gone = Report { effect: Effect::NotDone, ..report(&plan, Wanted::Undo, Effect::NotDone, 42.0) };
    plans.reported(&gone, "edge-1", at(42.0));
    let plan = only(&plans);
    assert_eq!((plan.state, plan.undone.unwrap().effect), (PlanState::Ended, Some(Effect::NotDone)));
}

#[test]
fn only_the_named_share_of_components_is_touched_at_once() {
    let mut plans = taught(Mode::Act);
    let first = incident(0.0);
    diagnose(&mut plans, &first, &["restart"], 10.0);
    let mut second = incident(1.0);
    second.anomalies = vec![anomaly("service/shop/pay", 1.0)];
    second.id = IncidentId::of(second.anomalies[0].id);
    if let Some(diagnosis) = &mut second.diagnosis {
        diagnosis.candidates[0].component = id("service/shop/pay");
    }
    diagnose(&mut plans, &second, &["restart"], 11.0);
    let plan = plans.latest(second.id).unwrap();
    assert_eq!(plan.state, PlanState::Proposed);
    assert!(plan.reasons[0].contains("1 of 2 components"), "{plan:?}");
    // It is done once the other one is over.
    let done = plans.latest(first.id).unwrap().clone();
    plans.reported(&report(&done, Wanted::Do, Effect::Done, 12.0), "edge-1", at(13.0));
    hear(&mut plans, &over(&first, 20.0), 35.0);
    assert_eq!(plans.latest(second.id).unwrap().state, PlanState::Acting);
}

#[test]
fn an_incident_that_waits_for_what_may_come_back_is_over_when_all_has_been_calm() {
    let mut plans = taught(Mode::Act);
    let mut incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart", "reroute"], 10.0);
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    incident.anomalies[0].closed = Some(at(40.0));
    incident.last_seen = at(25.0);
    hear(&mut plans, &incident, 41.0);
    assert_eq!(only(&plans).state, PlanState::Verifying);
    plans.pass(at(50.0));
    assert_eq!(only(&plans).outcome.unwrap().recovered_seconds, Some(14.0));
    plans.pass(at(100.0));
    assert_eq!(plans.plans.len(), 1, "nothing else is tried");
    // It comes back within the same incident.
    incident.anomalies[0].closed = None;
    hear(&mut plans, &incident, 110.0);
    assert_eq!(plans.latest(incident.id).unwrap().attempt, 2);
}

#[test]
fn what_a_person_was_right_about_is_learnt_though_the_cause_was_unknown() {
    let learnt = |approved: bool| {
        let mut plans = plans(Mode::Ask);
        let mut incident = incident(0.0);
        if let Some(diagnosis) = &mut incident.diagnosis {
            diagnosis.known = false;
        }
        diagnose(&mut plans, &incident, &["restart"], 10.0);
        let plan = only(&plans);
        if approved {
            plans.request(&approve(plan.id, "ana"), at(20.0)).unwrap();
            plans.reported(&report(&plan, Wanted::Do, Effect::Done, 21.0), "edge-1", at(22.0));
        }
        hear(&mut plans, &over(&incident, 30.0), 45.0);
        plans.knowledge.patterns.all().len()
    };
    assert_eq!([learnt(true), learnt(false)], [1, 0]);
}

#[test]
fn what_came_of_actions_is_forgotten_with_the_pattern() {
    let mut plans = plans(Mode::Ask);
    let first = plans.knowledge.patterns.begin(signature("cpu", 5.0));
    let remedy = Remedy { action: "limit", recommended: true, risk: Risk::Safe };
    let situation = Situation { confidence: 1.0, day: 0.0 };
    plans.knowledge.experience.learn(&first, &remedy, situation, 1.0, None);
    while plans.knowledge.patterns.all().len() < 101 {
        plans.knowledge.patterns.begin(signature("memory", 5.0));
    }
    plans.knowledge.forget();
    assert_eq!(plans.knowledge.patterns.all().len(), 100);
    assert!(plans.knowledge.experience.of(&first).is_empty());
}
