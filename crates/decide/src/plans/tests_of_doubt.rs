//! What must not be done, and not be learnt.

use larnax_core::{Mode, Request, Risk, Want};
use larnax_spec::Period;

use super::tests::*;
use super::*;
use crate::choose::{Remedy, Situation};

fn want(want: Want) -> Request {
    Request { id: "r".to_owned(), by: "ana".to_owned(), want }
}

#[test]
fn what_an_incident_has_taught_itself_is_not_what_was_seen_before() {
    let mut plans = plans(Mode::Act);
    plans.policies[0].cooldown = Period::seconds(60);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["limit", "restart"], 10.0);
    let first = only(&plans);
    plans.request(&approve(first.id, "ana"), at(20.0)).unwrap();
    plans.reported(&report(&first, Wanted::Do, Effect::Done, 21.0), "edge-1", at(22.0));
    plans.pass(at(330.0));
    assert_eq!(only(&plans).outcome.unwrap().recovered_seconds, None);
    plans.pass(at(400.0));
    let second = plans.latest(incident.id).unwrap().clone();
    assert_eq!((second.attempt, second.state), (2, PlanState::Proposed), "{second:?}");
    assert_eq!(plans.orders(), []);
    hear(&mut plans, &over(&incident, 500.0), 520.0);
    assert_eq!(plans.knowledge.patterns.all()[0].seen, 1, "an incident is learnt once");
}

#[test]
fn what_has_changed_since_it_was_seen_is_not_done() {
    let mut plans = taught(Mode::Ask);
    let mut incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let seen = only(&plans);
    if let Some(diagnosis) = &mut incident.diagnosis {
        diagnosis.candidates[0].component = id("service/shop/pay");
    }
    diagnose(&mut plans, &incident, &["restart"], 20.0);
    let as_seen = |sequence| want(Want::Approve { plan: seen.id, action: None, sequence: Some(sequence) });
    let refused = plans.request(&as_seen(seen.sequence), at(21.0)).unwrap_err();
    assert!(refused.contains("it has changed since you looked"), "{refused}");
    let now = only(&plans).sequence;
    assert!(plans.request(&as_seen(now), at(22.0)).unwrap().contains("service/shop/pay"));
}

#[test]
fn who_takes_over_judges_nothing_before_it_has_heard_what_happened_meanwhile() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), vec![offered("limit", true)], at(10.0));
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    let (kept, _) = plans.changes();
    let mut next = Plans::new(vec![policy(Mode::Act)], Knowledge::default(), kept, at(2_000.0));
    hear(&mut next, &incident, 2_000.0);
    next.pass(at(2_010.0));
    assert_eq!((only(&next).state, next.orders().len()), (PlanState::Verifying, 0));
    hear(&mut next, &over(&incident, 20.0), 2_011.0);
    assert_eq!(only(&next).outcome.unwrap().recovered_seconds, Some(9.0));
}

#[test]
fn a_freeze_holds_back_what_was_ordered_and_not_begun_and_nothing_is_taken_back_by_itself() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), vec![offered("limit", true)], at(10.0));
    let plan = only(&plans);
    plans.request(&want(Want::Freeze), at(11.0)).unwrap();
    assert!(plans.orders()[0].expires < at(11.0), "the edge refuses it, or says what came of it");
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 10.5), "edge-1", at(12.0));
    plans.pass(at(400.0));
    assert_eq!((only(&plans).state, plans.orders().len()), (PlanState::Ended, 0));
}

#[test]
fn what_was_well_before_it_was_begun_teaches_nothing_and_is_not_begun_by_approval() {
    let mut plans = taught(Mode::Ask);
    let mut incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    plans.request(&approve(plan.id, "ana"), at(11.0)).unwrap();
    incident.anomalies[0].closed = Some(at(11.5));
    hear(&mut plans, &incident, 12.0);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 30.0), "edge-1", at(31.0));
    plans.pass(at(40.0));
    let outcome = only(&plans).outcome.unwrap();
    assert_eq!((outcome.recovered_seconds, outcome.reward), (Some(0.0), None));
    assert!(plans.knowledge.experience.of("cpu").is_empty());

    let mut other = taught(Mode::Ask);
    incident.anomalies[0].closed = None;
    diagnose(&mut other, &incident, &["restart"], 10.0);
    incident.anomalies[0].closed = Some(at(20.0));
    hear(&mut other, &incident, 21.0);
    let refused = other.request(&approve(plan.id, "ana"), at(22.0)).unwrap_err();
    assert!(refused.contains("all is well again"), "{refused}");
}

#[test]
fn what_a_person_calls_normal_needs_nothing_and_teaches_nothing() {
    for done in [false, true] {
        let mut plans = plans(Mode::Ask);
        let incident = incident(0.0);
        diagnose(&mut plans, &incident, &["restart"], 10.0);
        let plan = only(&plans);
        if done {
            plans.request(&approve(plan.id, "ana"), at(11.0)).unwrap();
            plans.reported(&report(&plan, Wanted::Do, Effect::Done, 12.0), "edge-1", at(13.0));
        }
        plans.declared_normal(incident.id, "ana", at(20.0));
        hear(&mut plans, &over(&incident, 20.0), 40.0);
        assert_eq!(only(&plans).state, PlanState::Ended);
        assert!(plans.knowledge.patterns.all().is_empty());
    }
}

#[test]
fn another_agent_has_no_say_in_what_came_of_an_order() {
    let mut plans = taught(Mode::Act);
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-2", at(12.0));
    assert_eq!(only(&plans), plan);
}

#[test]
fn what_the_policy_no_longer_names_can_not_be_approved() {
    let mut plans = taught(Mode::Ask);
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    plans.policies[0].actions = vec!["reroute".parse().unwrap()];
    let refused = plans.request(&approve(only(&plans).id, "ana"), at(11.0)).unwrap_err();
    assert!(refused.contains("does not name `restart`"), "{refused}");
}

#[test]
fn what_a_policy_counts_is_kept_for_as_long_as_it_counts() {
    let mut plans = taught(Mode::Act);
    plans.policies[0].cooldown = Period::seconds(3 * 86_400);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    hear(&mut plans, &over(&incident, 20.0), 35.0);
    let day = 86_400.0;
    plans.pass(at(2.0 * day));
    assert!(plans.plans.contains_key(&plan.id));
    plans.pass(at(4.0 * day));
    assert!(!plans.plans.contains_key(&plan.id));
}

/// People work on it until 05:00; at second 10 it is 01:46:50.
fn under_maintenance(mode: Mode) -> Plans {
    let mut plans = taught(mode);
    let text = r#"[{"from": "01:00", "until": "05:00", "time_zone": "UTC"}]"#;
    plans.policies[0].maintenance = serde_json::from_str(text).unwrap();
    diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
    plans
}

/// The second at which maintenance ends.
const ITS_END: f64 = 11_600.0;

#[test]
fn what_waits_for_the_end_of_maintenance_is_done_then_however_long_that_takes() {
    let mut plans = under_maintenance(Mode::Act);
    plans.pass(at(ITS_END - 1.0));
    assert_eq!(only(&plans).state, PlanState::Proposed);
    plans.pass(at(ITS_END));
    assert_eq!(only(&plans).state, PlanState::Acting);
}

#[test]
fn after_maintenance_there_is_as_much_time_to_answer_as_ever() {
    let mut plans = under_maintenance(Mode::Ask);
    plans.pass(at(ITS_END + 3_599.0));
    assert_eq!(only(&plans).state, PlanState::Proposed);
    plans.pass(at(ITS_END + 3_601.0));
    let plan = only(&plans);
    assert_eq!(
        (plan.state, plan.outcome.unwrap().notes),
        (PlanState::Ended, vec!["nobody has answered".to_owned()])
    );
}

#[test]
fn an_action_is_given_as_long_to_help_as_it_says() {
    let mut plans = taught(Mode::Act);
    plans.policies[0].cooldown = Period::seconds(60);
    let offers = ["limit", "restart"].map(|action| {
        let mut offered = offered(action, false);
        offered.offer.helps_within_seconds = 60.0;
        offered
    });
    let incident = incident(0.0);
    plans.diagnosed(&incident, Some(look("cpu", 5.0)), offers.to_vec(), at(10.0));
    let first = only(&plans);
    plans.reported(&report(&first, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    plans.pass(at(70.0));
    assert_eq!(only(&plans).state, PlanState::Verifying);
    plans.pass(at(71.0));
    assert_eq!(only(&plans).outcome.unwrap().notes, ["nothing is better after 60 s"]);
    plans.pass(at(102.0));
    let second = plans.latest(incident.id).unwrap();
    assert_eq!((second.attempt, second.proposals[0].action.as_str()), (2, "restart"));
}

#[test]
fn what_was_taken_for_another_one_teaches_what_a_person_says_that_it_was() {
    let mut plans = taught(Mode::Act);
    let incident = incident(0.0);
    diagnose(&mut plans, &incident, &["restart"], 10.0);
    let plan = only(&plans);
    assert_eq!(plan.pattern.as_ref().unwrap().pattern, "cpu");
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 11.0), "edge-1", at(12.0));
    hear(&mut plans, &over(&incident, 20.0), 40.0);
    let name = Want::Name { plan: plan.id, name: "fork flood".to_owned() };
    plans.request(&want(name), at(50.0)).unwrap();
    assert_eq!(only(&plans).pattern.unwrap().pattern, "fork flood");
    assert_eq!(plans.knowledge.experience.of("fork flood")["restart"], 1);
}

#[test]
fn what_did_not_help_with_what_is_most_like_it_is_not_what_is_proposed_first() {
    let mut plans = plans(Mode::Act);
    let offers = || vec![offered("limit", false), offered("restart", false)];
    let first = incident(0.0);
    plans.diagnosed(&first, Some(look("cpu", 5.0)), offers(), at(10.0));
    let plan = only(&plans);
    assert_eq!(plan.proposals[0].action, "limit");
    plans.request(&approve(plan.id, "ana"), at(11.0)).unwrap();
    plans.reported(&report(&plan, Wanted::Do, Effect::Done, 12.0), "edge-1", at(13.0));
    plans.pass(at(312.0));
    // Another one that is like it, and not the same.
    let again = incident(2_000.0);
    plans.diagnosed(&again, Some(look("cpu", 2.5)), offers(), at(2_010.0));
    let plan = plans.latest(again.id).unwrap();
    let seen = plan.pattern.as_ref().unwrap();
    assert!(!seen.known && seen.similarity > 0.6, "{seen:?}");
    assert_eq!((plan.state, plan.proposals[0].action.as_str()), (PlanState::Proposed, "restart"));
    let why = &plan.proposals[1].why;
    assert!(
        why.iter().any(|why| why.contains("once for what is most like this, and did not help")),
        "{why:?}"
    );
}

/// Issue 5: a restart that an expert recommended and that never helped was done again and again.
#[test]
fn what_was_in_vain_twice_is_asked_about_before_it_is_done_a_third_time() {
    let in_vain = |times: usize| {
        let mut plans = taught(Mode::Act);
        let restart = Remedy { action: "restart", recommended: true, risk: Risk::Safe };
        let situation = Situation { confidence: 0.9, day: 0.3 };
        for _ in 0..times {
            plans.knowledge.experience.learn("cpu", &restart, situation, -0.007, None);
        }
        diagnose(&mut plans, &incident(0.0), &["restart"], 10.0);
        only(&plans)
    };
    assert_eq!(in_vain(1).state, PlanState::Acting);
    let plan = in_vain(2);
    assert_eq!((plan.state, plan.reasons.len()), (PlanState::Proposed, 1));
    assert!(plan.reasons[0].contains("was done 2 times for this, and did not help"), "{:?}", plan.reasons);
}
