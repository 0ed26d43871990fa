//! From an incident to an outcome, with edges that are only their side of the session.

#![allow(clippy::unwrap_used)]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use larnax_core::event::REQUEST;
use larnax_core::{
    Anomaly, Clock, Command, Effect, Event, EventLog, Mode, Offer, Plan, PlanState, Report, Risk,
    SystemClock, Timestamp, Transition,
};
use larnax_hub::{Hub, HubOptions};
use larnax_serve::Handler;
use larnax_serve::hyper::Request;
use larnax_serve::hyper::body::Bytes;
use larnax_session::FromHub;
use larnax_spec::{Policy, Scope};
use larnax_store::{AuditQuery, PlanQuery, Store};
use serde_json::Value;
use support::*;
use tokio::time::{sleep, timeout};

fn acting(name: &str, mode: Mode, store: &Arc<dyn Store>) -> Rc<Hub> {
    acting_again(name, mode, store, Vec::new())
}

/// One that diagnoses again after such times.
fn acting_again(name: &str, mode: Mode, store: &Arc<dyn Store>, again: Vec<Duration>) -> Rc<Hub> {
    let policy = Policy { on: vec!["service/*".parse::<Scope>().unwrap()], mode, ..Policy::default() };
    let options = HubOptions {
        settle: Duration::from_millis(200),
        answer_within: Duration::from_secs(2),
        again,
        policies: vec![policy],
        ..HubOptions::new(name)
    };
    let log: Arc<dyn EventLog> = store.clone();
    let hub = Hub::new(options, Arc::clone(store), log, false, Rc::new(SystemClock));
    tokio::task::spawn_local(Rc::clone(&hub).run());
    hub
}

fn restart() -> Offer {
    Offer {
        action: "restart".to_owned(),
        summary: "starts it again".to_owned(),
        on: vec!["service/shop/*".parse().unwrap()],
        patterns: vec![],
        metrics: vec!["cpu_seconds".parse().unwrap()],
        risk: Risk::Disruptive,
        cost_seconds: 1.0,
        timeout_seconds: 10.0,
        helps_within_seconds: 300.0,
        cooldown_seconds: 0.0,
        can_undo: false,
    }
}

fn report(command: &Command, effect: Effect) -> Report {
    let now = SystemClock.now();
    Report { key: command.key.clone(), effect, message: "so".to_owned(), began: Some(now), ended: now }
}

async fn plan_that(store: &Arc<dyn Store>, fits: impl Fn(&Plan) -> bool) -> Plan {
    let found = async {
        loop {
            let all = store.plans(&PlanQuery::default()).unwrap();
            if let Some(plan) = all.into_iter().find(|plan| fits(plan)) {
                return plan;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), found).await.expect("a plan in time")
}

async fn post(hub: &Hub, path: &str, body: &str) -> (u16, String) {
    let request = Request::post(path).header("content-type", "application/json").body(()).unwrap();
    let answer = hub.answer(&request.into_parts().0, Bytes::copy_from_slice(body.as_bytes())).await;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn ended(name: &str, onset: Timestamp, closed: Timestamp) -> Event {
    let mut event = opened(name, onset);
    let anomaly = Anomaly { closed: Some(closed), last_seen: closed, ..event.data.anomaly.clone() };
    event.data = larnax_core::event::AnomalyEvent {
        transition: Transition::Closed,
        sequence: 1,
        anomaly,
        ..event.data
    };
    Event::new("/larnax/edge/a", closed, event.data)
}

/// An edge that notes what is ordered of it.
fn obedient(edges: Edges, onset: Timestamp, answers: bool) -> Rc<RefCell<Vec<Command>>> {
    let ordered = Rc::<RefCell<Vec<Command>>>::default();
    let noted = Rc::clone(&ordered);
    tokio::task::spawn_local(edges.obey(
        move |pull| samples(pull, onset),
        move |command| {
            noted.borrow_mut().push(command.clone());
            answers.then(|| report(command, Effect::Done))
        },
    ));
    ordered
}

#[test]
fn what_a_person_approves_is_ordered_once_verified_and_learnt() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = acting("test", Mode::Ask, &store);
        hub.tell_topology(shop()).await;
        let mut edges = Edges::offering(&hub, vec![restart()]).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        edges.tell(&[opened("stock", onset), opened("web", onset.plus(Duration::from_secs(1)))]).await;
        let ordered = obedient(edges, onset, true);
        let plan = plan_that(&store, |plan| plan.state == PlanState::Proposed).await;
        assert_eq!((plan.component.name(), plan.proposals[0].action.as_str()), ("stock", "restart"));
        assert!(plan.proposals[0].recommended, "{plan:?}");
        let path = format!("/api/v1/plans/{}/approve", plan.id);
        let (ana, ben) =
            tokio::join!(post(&hub, &path, r#"{"by": "ana"}"#), post(&hub, &path, r#"{"by": "ben"}"#));
        let mut statuses = [ana.0, ben.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{ana:?} {ben:?}");
        let refused = if ana.0 == 409 { ana.1 } else { ben.1 };
        assert!(refused.contains("has approved it already"), "{refused}");
        plan_that(&store, |plan| plan.state == PlanState::Verifying).await;
        assert_eq!(ordered.borrow().len(), 1);
        // All is well again: told by another session of the same edge.
        let mut edges = Edges::offering(&hub, vec![restart()]).await;
        let now = SystemClock.now();
        edges
            .tell(&[ended("stock", onset, now), ended("web", onset.plus(Duration::from_secs(1)), now)])
            .await;
        let plan = plan_that(&store, |plan| plan.state == PlanState::Ended).await;
        assert!(plan.outcome.as_ref().unwrap().recovered_seconds.is_some(), "{plan:?}");
        let learnt: Value =
            serde_json::from_str(&store.knowledge("remedies").unwrap().unwrap().json).unwrap();
        assert_eq!(learnt["patterns"]["patterns"][0]["name"], "U-1");
        assert_eq!(learnt["experience"]["U-1"]["restart"]["outcomes"], 1);
        let about = AuditQuery { subject: Some(plan.id.to_string()), ..AuditQuery::default() };
        let entries = store.audit(&about).unwrap();
        for what in ["plan.proposed", "plan.approve", "plan.acting", "plan.verifying", "plan.ended"] {
            assert!(entries.iter().any(|(_, entry)| entry.what == what), "{what}: {entries:?}");
        }
    });
}

#[test]
fn once_something_is_done_about_an_incident_it_is_not_diagnosed_again() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let again = Duration::from_secs(2);
        let hub = acting_again("test", Mode::Ask, &store, vec![again]);
        hub.tell_topology(shop()).await;
        let mut edges = Edges::offering(&hub, vec![restart()]).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        edges.tell(&[opened("stock", onset)]).await;
        let pulls = Rc::<Cell<u32>>::default();
        let counted = Rc::clone(&pulls);
        tokio::task::spawn_local(edges.obey(
            move |pull| {
                counted.set(counted.get() + 1);
                samples(pull, onset)
            },
            |command| Some(report(command, Effect::Done)),
        ));
        let plan = plan_that(&store, |plan| plan.state == PlanState::Proposed).await;
        let answer = post(&hub, &format!("/api/v1/plans/{}/approve", plan.id), "").await;
        assert_eq!(answer.0, 200, "{answer:?}");
        plan_that(&store, |plan| plan.state == PlanState::Verifying).await;
        let before = pulls.get();
        sleep(again + Duration::from_secs(1)).await;
        assert_eq!(pulls.get(), before, "what is seen by then is what was done about it");
    });
}

#[test]
fn who_takes_over_orders_the_same_again_and_nothing_else() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        let plan = {
            let hub = acting("test", Mode::Ask, &first);
            hub.tell_topology(shop()).await;
            let mut edges = Edges::offering(&hub, vec![restart()]).await;
            edges.tell(&[opened("stock", onset)]).await;
            obedient(edges, onset, false);
            let plan = plan_that(&first, |plan| plan.state == PlanState::Proposed).await;
            let answer = post(&hub, &format!("/api/v1/plans/{}/approve", plan.id), "").await;
            assert_eq!(answer.0, 200, "{answer:?}");
            plan
        };
        // As if the first had died there: what it wrote is all there is.
        let second = copy(folder.path());
        let hub = acting("test", Mode::Ask, &second);
        hub.tell_topology(shop()).await;
        let edges = Edges::offering(&hub, vec![restart()]).await;
        let ordered = obedient(edges, onset, true);
        plan_that(&second, |plan| plan.state == PlanState::Verifying).await;
        let keys: Vec<String> = ordered.borrow().iter().map(|command| command.key.clone()).collect();
        assert_eq!(keys, [format!("{}-do", plan.id)]);
        assert_eq!(second.plans(&PlanQuery::default()).unwrap().len(), 1);
    });
}

#[test]
fn an_edge_can_not_approve_what_it_is_to_do() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let hub = acting("test", Mode::Ask, &store(folder.path()));
        let mut edges = Edges::connect(&hub).await;
        let forged = serde_json::json!({
            "specversion": "1.0", "id": "x", "source": "/larnax/edge/a", "type": REQUEST, "subject": "hub",
            "data": {"id": "x", "by": "ana", "want": "freeze"},
        });
        let refused = edges.tell_raw(vec![serde_json::value::to_raw_value(&forged).unwrap()]).await;
        assert!(refused[0].1.contains("only hubs say that"), "{refused:?}");
        let (status, text) = post(&hub, "/api/v1/freeze", r#"{"by": "ana"}"#).await;
        assert_eq!(status, 200, "{text}");
    });
}

#[test]
fn what_a_person_calls_normal_is_told_to_the_edge_and_of_what_is_silenced_nobody_is_told() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let hub = acting("test", Mode::Ask, &store);
        let people = people(&hub);
        hub.tell_topology(shop()).await;
        let silence = r#"{"by": "ana", "on": "service/shop/*", "seconds": 600}"#;
        let (status, text) = post(&hub, "/api/v1/silences", silence).await;
        assert!(status == 200 && text.contains("nobody hears of service/shop/*"), "{text}");
        let mut edges = Edges::offering(&hub, vec![restart()]).await;
        let onset = SystemClock.now().minus(Duration::from_secs(30));
        let event = opened("stock", onset);
        edges.tell(std::slice::from_ref(&event)).await;
        let incident = incident_that(&store, |incident| !incident.anomalies.is_empty()).await;
        let path = format!("/api/v1/incidents/{}/normal", incident.id);
        let (answer, ()) = tokio::join!(
            post(&hub, &path, r#"{"by": "ana"}"#),
            edges.hears(|said| matches!(said, FromHub::Normal(id) if *id == event.data.anomaly.id)),
        );
        assert_eq!(answer.0, 200, "{}", answer.1);
        obedient(edges, onset, true);
        incident_that(&store, |incident| incident.diagnosis.is_some()).await;
        assert_eq!(people.pending("people", 10).events.len(), 0);
        let ends = r#"{"on": "service/shop/*", "seconds": 0}"#;
        assert_eq!(post(&hub, "/api/v1/silences", ends).await.0, 200);
        assert_eq!(post(&hub, "/api/v1/silences", r#"{"on": "*", "seconds": -1}"#).await.0, 409);
    });
}
