//! From anomalies to incidents.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use larnax_core::{Contribution, Diagnosis, Event, Incident, IncidentId, MetricName, TopologySource};
use larnax_diagnose::incidents::{Change, Heard, Options, What};
use larnax_diagnose::{Incidents, Topology};
use support::{Seen, at, calls, delta, id, runs_on, seen};

/// The shop: `web` calls `api`, `api` calls `orders` and `users`, `orders` calls `db`; `cron` is known to call `mail`.
fn shop() -> Topology {
    let mut topology = Topology::default();
    let edges = [
        calls("web", "api"),
        calls("api", "orders"),
        calls("api", "users"),
        calls("orders", "db"),
        calls("cron", "mail"),
        runs_on("db", "node/local/n1"),
        runs_on("mail", "node/local/n1"),
    ];
    topology.apply(&delta(TopologySource::Config, "shop", &edges), at(0.0));
    topology
}

fn hear(incidents: &mut Incidents, seen: &Seen, topology: &Topology, now: f64) {
    incidents.hear(Heard::of(&seen.event()), topology, at(now));
}

fn grouped(all: &[Seen], topology: &Topology) -> Vec<Vec<String>> {
    let mut incidents = Incidents::default();
    for seen in all {
        hear(&mut incidents, seen, topology, 2_000.0);
    }
    groups(&incidents)
}

/// The names of the components of each incident, sorted.
fn groups(incidents: &Incidents) -> Vec<Vec<String>> {
    let names = |incident: &Incident| {
        incident.anomalies.iter().map(|anomaly| anomaly.component.name().to_owned()).collect()
    };
    let mut groups: Vec<Vec<String>> = incidents.all().map(names).collect();
    groups.sort();
    groups
}

fn told(changes: &[Change]) -> Vec<(What, usize, u32)> {
    changes.iter().map(|c| (c.what, c.incident.anomalies.len(), c.incident.sequence)).collect()
}

#[test]
fn an_incident_says_after_which_metrics_its_anomalies_are_named_now() {
    let mut incidents = Incidents::default();
    let mut names = |metrics: &[&str]| {
        let mut event = seen("db", 0.0).event();
        let named = |metric: &&str| Contribution {
            metric: MetricName::new(metric).unwrap(),
            deviation: 3.0,
            since: None,
        };
        event.data.anomaly.metrics = metrics.iter().map(named).collect();
        incidents.hear(Heard::of(&event), &shop(), at(10.0));
        let incident = incidents.all().next().unwrap();
        incident.anomalies[0].metrics.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&["cpu/user", "cpu/idle"]), ["cpu/user", "cpu/idle"]);
    assert_eq!(names(&["disk/busy"]), ["disk/busy"]);
    assert_eq!(names(&["a"; 40]).len(), 10);
}

#[test]
fn what_begins_near_in_time_and_near_in_the_topology_is_one_incident() {
    let all = [seen("db", 0.0), seen("web", 100.0), seen("orders", 20.0), seen("cron", 30.0)];
    assert_eq!(grouped(&all, &shop()), [vec!["cron"], vec!["db", "orders", "web"]]);
}

#[test]
fn what_begins_later_than_the_window_is_another_incident_unless_something_lies_between() {
    let (first, last) = (seen("orders", 0.0), seen("api", 121.0));
    assert_eq!(grouped(&[first.clone(), last.clone()], &shop()), [["api"], ["orders"]]);
    let all = [first, last, seen("users", 60.0)];
    assert_eq!(grouped(&all, &shop()), [["orders", "users", "api"]]);
}

#[test]
fn a_healthy_host_joins_nothing_but_a_sick_one_joins_its_tenants() {
    let tenants = [seen("db", 0.0), seen("mail", 5.0)];
    assert_eq!(grouped(&tenants, &shop()), [["db"], ["mail"]]);
    let [db, mail] = tenants;
    let all = [db, mail, seen("node/local/n1", 2.0)];
    assert_eq!(grouped(&all, &shop()), [["db", "n1", "mail"]]);
}

#[test]
fn where_nothing_is_known_of_calls_the_same_agent_and_the_same_moment_must_do() {
    let nothing = Topology::default();
    let (a, near, late) = (seen("a", 0.0), seen("b", 15.0), seen("b", 16.0));
    assert_eq!(grouped(&[a.clone(), near.clone()], &nothing), [["a", "b"]]);
    assert_eq!(grouped(&[a.clone(), late], &nothing), [["a"], ["b"]]);
    assert_eq!(grouped(&[a, near.by("/larnax/edge/elsewhere")], &nothing), [["a"], ["b"]]);
    // One of two of which nothing is known is enough; where calls are known, they decide.
    assert_eq!(grouped(&[seen("web", 0.0), seen("new", 1.0)], &shop()), [["web", "new"]]);
    assert_eq!(grouped(&[seen("web", 0.0), seen("cron", 1.0)], &shop()), [["cron"], ["web"]]);
}

#[test]
fn all_components_at_once_are_one_incident_with_a_bounded_list() {
    let options = Options { max_anomalies: 50, ..Options::default() };
    let mut incidents = Incidents::new(options);
    let nothing = Topology::default();
    for i in 0..200 {
        let one = seen(&format!("c{i}"), f64::from(i) / 20.0).by(&format!("/larnax/edge/{i}"));
        hear(&mut incidents, &one, &nothing, 20.0);
    }
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Opened, 50, 0)]);
    let incident = &changes[0].incident;
    assert_eq!(incident.left_out, 150);
    let latest = incident.anomalies.iter().map(|anomaly| anomaly.onset).max();
    assert_eq!(latest, Some(at(49.0 / 20.0)), "those with the earliest onsets are listed");
    // One that is not listed gets worse: nothing more is counted.
    let mut worse = seen("c199", 199.0 / 20.0).by("/larnax/edge/199").event();
    worse.data.transition = larnax_core::Transition::Updated;
    incidents.hear(Heard::of(&worse), &nothing, at(21.0));
    assert_eq!(incidents.all().map(|one| one.left_out).collect::<Vec<_>>(), [150]);
}

#[test]
fn a_few_at_once_are_chance_in_a_large_fleet() {
    let mut fleet = Topology::default();
    let mut known = delta(TopologySource::Platform, "k8s", &[]);
    known.components = (0..1_000).map(|i| support::component(&format!("c{i}"), &[])).collect();
    fleet.apply(&known, at(0.0));
    let some = |n: u32| -> Vec<Seen> {
        (0..n).map(|i| seen(&format!("c{i}"), 0.0).by(&format!("/larnax/edge/{i}"))).collect()
    };
    assert_eq!(grouped(&some(19), &fleet).len(), 19);
    assert_eq!(grouped(&some(20), &fleet).len(), 1);
    assert_eq!(grouped(&some(10), &Topology::default()).len(), 1);
    assert_eq!(grouped(&some(9), &Topology::default()).len(), 9);
}

#[test]
fn it_is_told_when_it_opens_grows_and_closes_once_for_each_asking() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0).quiet(), &topology, 5.0);
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Opened, 1, 0)]);
    let first = changes[0].incident.clone();
    assert_eq!(first.id, IncidentId::of(seen("db", 0.0).anomaly()));
    assert!(!first.alerted);
    assert_eq!(incidents.changes(), []);

    hear(&mut incidents, &seen("orders", 3.0), &topology, 8.0);
    hear(&mut incidents, &seen("api", -3.0), &topology, 8.0);
    hear(&mut incidents, &seen("api", -3.0), &topology, 9.0);
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Grown, 3, 1)]);
    let grown = &changes[0].incident;
    assert_eq!((grown.id, grown.onset, grown.alerted), (first.id, at(-3.0), true));
    assert!(grown.anomalies.is_sorted_by_key(|anomaly| anomaly.onset));

    for (one, end) in [(seen("db", 0.0), 50.0), (seen("orders", 3.0), 60.0)] {
        hear(&mut incidents, &one.until(end), &topology, 60.0);
    }
    incidents.pass(at(1_000.0));
    assert_eq!(told(&incidents.changes()), [(What::Updated, 3, 2)], "one is still open");
    hear(&mut incidents, &seen("api", -3.0).until(55.0), &topology, 1_000.0);
    incidents.pass(at(1_119.0));
    assert_eq!(told(&incidents.changes()), [(What::Updated, 3, 3)], "held open");
    incidents.pass(at(1_120.0));
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Closed, 3, 4)]);
    assert_eq!(changes[0].incident.closed, Some(at(60.0)));
    incidents.pass(at(1_120.0 + 3_600.0));
    assert_eq!(incidents.all().count(), 0);
    assert_eq!(incidents.changes(), []);
}

#[test]
fn what_comes_back_within_the_hold_is_the_same_incident() {
    let first = seen("db", 0.0).until(500.0);
    assert_eq!(grouped(&[first.clone(), seen("db", 620.0)], &shop()), [["db", "db"]]);
    assert_eq!(grouped(&[first.clone(), seen("db", 621.0)], &shop()), [["db"], ["db"]]);
    assert_eq!(grouped(&[seen("db", 620.0), first], &shop()), [["db", "db"]]);
}

#[test]
fn an_anomaly_that_goes_on_after_its_end_reopens_its_incident_and_old_news_of_it_do_not() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    let told = |incidents: &mut Incidents, mut event: Event, last_seen: f64| {
        event.data.anomaly.last_seen = at(last_seen);
        incidents.hear(Heard::of(&event), &topology, at(last_seen.max(100.0)));
        incidents.pass(at(last_seen.max(100.0)));
        let open = incidents.all().next().unwrap().anomalies[0].closed.is_none();
        (open, incidents.changes().first().map(|change| change.what))
    };
    let (open, ended) = (seen("db", 0.0), seen("db", 0.0).until(50.0));
    assert_eq!(told(&mut incidents, open.event(), 5.0), (true, Some(What::Opened)));
    assert_eq!(told(&mut incidents, ended.event(), 50.0), (false, Some(What::Updated)));
    assert_eq!(told(&mut incidents, open.event(), 40.0), (false, None), "seen before it ended, heard after");
    assert_eq!(told(&mut incidents, open.event(), 110.0), (true, Some(What::Updated)), "within the hold");
    assert_eq!(
        told(&mut incidents, seen("db", 0.0).until(150.0).event(), 150.0),
        (false, Some(What::Updated))
    );
    incidents.pass(at(300.0));
    assert_eq!(incidents.changes()[0].what, What::Closed);
    assert_eq!(told(&mut incidents, open.event(), 310.0), (true, Some(What::Reopened)));
    incidents.pass(at(500.0));
    assert!(incidents.all().next().unwrap().closed.is_none(), "it is open again");
}

#[test]
fn two_that_turn_out_to_be_one_go_on_as_the_older_and_the_other_points_to_it() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0), &topology, 5.0);
    hear(&mut incidents, &seen("cron", 50.0), &topology, 100.0);
    hear(&mut incidents, &seen("db", 200.0), &topology, 205.0);
    let ids: Vec<IncidentId> = incidents.changes().iter().map(|change| change.incident.id).collect();
    assert_eq!(ids.len(), 3);
    hear(&mut incidents, &seen("api", 100.0).quiet(), &topology, 206.0);
    let changes = incidents.changes();
    let of = |anomaly: Seen| IncidentId::of(anomaly.anomaly());
    let (old, young) = (of(seen("db", 0.0)), of(seen("db", 200.0)));
    let find = |id| changes.iter().find(|change| change.incident.id == id).unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!((find(old).what, find(old).incident.anomalies.len()), (What::Grown, 3));
    let merged = find(young);
    assert_eq!(
        (merged.what, merged.incident.merged_into, merged.incident.sequence),
        (What::Merged, Some(old), 1)
    );
    assert_eq!(merged.incident.closed, Some(at(206.0)));
    assert!(incidents.get(young).is_none());
}

#[test]
fn one_that_was_alerted_goes_on_rather_than_an_older_quiet_one() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0).quiet(), &topology, 5.0);
    hear(&mut incidents, &seen("db", 200.0), &topology, 205.0);
    incidents.changes();
    hear(&mut incidents, &seen("api", 100.0), &topology, 206.0);
    let left: Vec<IncidentId> = incidents.all().map(|incident| incident.id).collect();
    assert_eq!(left, [IncidentId::of(seen("db", 200.0).anomaly())]);
}

#[test]
fn what_becomes_near_by_a_topology_that_comes_late_is_merged() {
    let (mut incidents, mut topology) = (Incidents::default(), Topology::default());
    hear(&mut incidents, &seen("a", 0.0).by("x"), &topology, 5.0);
    hear(&mut incidents, &seen("b", 1.0).by("y"), &topology, 6.0);
    assert_eq!(groups(&incidents), [["a"], ["b"]]);
    topology.apply(&delta(TopologySource::Agent, "x", &[calls("a", "b")]), at(7.0));
    incidents.regroup(&topology, at(7.0));
    assert_eq!(groups(&incidents), [["a", "b"]]);
    assert_eq!(told(&incidents.changes()), [(What::Opened, 2, 0)]);
}

#[test]
fn an_event_from_the_future_is_moved_to_now_with_all_its_times() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    // Told 5 s after its onset by a clock that is 300 s ahead.
    hear(&mut incidents, &seen("db", 300.0), &topology, 5.0);
    hear(&mut incidents, &seen("orders", 2.0), &topology, 7.0);
    assert_eq!(incidents.from_the_future(), 1);
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Opened, 2, 0)]);
    let anomaly = changes[0].incident.anomalies.iter().find(|one| one.component == id("db")).unwrap();
    assert_eq!((anomaly.onset, anomaly.skew_seconds), (at(0.0), Some(300.0)));
    hear(&mut incidents, &seen("db", 300.0).until(360.0), &topology, 65.0);
    let incident = &incidents.changes()[0].incident;
    let ends: Vec<_> = incident.anomalies.iter().filter_map(|anomaly| anomaly.closed).collect();
    assert_eq!(ends, [at(60.0)]);
}

#[test]
fn a_clock_that_is_known_to_be_off_is_put_right() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    let behind = seen("db", -600.0).event();
    incidents.hear(Heard { event: &behind, clock_ahead: -600.0 }, &topology, at(5.0));
    hear(&mut incidents, &seen("orders", 2.0), &topology, 7.0);
    assert_eq!(groups(&incidents), [["db", "orders"]]);
    for odd in [f64::NAN, f64::INFINITY, -1e12] {
        let event = seen("api", 3.0).event();
        incidents.hear(Heard { event: &event, clock_ahead: odd }, &topology, at(8.0));
    }
    assert_eq!(groups(&incidents), [["db", "orders", "api"]]);
}

#[test]
fn news_that_come_late_reopen_what_was_closed() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0).until(30.0), &topology, 30.0);
    incidents.pass(at(150.0));
    assert_eq!(told(&incidents.changes()), [(What::Opened, 1, 0)]);
    // Its agent was cut off for ten minutes.
    hear(&mut incidents, &seen("users", 20.0).until(40.0).by("late"), &topology, 700.0);
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Grown, 2, 1)]);
    assert_eq!(changes[0].incident.closed, Some(at(40.0)));
    hear(&mut incidents, &seen("orders", 10.0).by("late"), &topology, 701.0);
    assert_eq!(told(&incidents.changes()), [(What::Reopened, 3, 2)]);
}

#[test]
fn what_is_never_heard_of_again_is_closed_in_the_end() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0), &topology, 5.0);
    incidents.pass(at(3.0));
    incidents.pass(at(47.9 * 3600.0));
    assert!(incidents.changes()[0].incident.closed.is_none());
    incidents.pass(at(48.1 * 3600.0));
    let changes = incidents.changes();
    assert_eq!(told(&changes), [(What::Closed, 1, 1)]);
    assert_eq!(changes[0].incident.closed, Some(at(5.0)));
}

#[test]
fn after_a_restart_events_that_are_told_again_change_nothing_and_new_ones_go_on() {
    let (mut before, topology) = (Incidents::default(), shop());
    let heard = [seen("db", 0.0), seen("orders", 10.0), seen("cron", 0.0).until(20.0)];
    for one in &heard {
        hear(&mut before, one, &topology, 25.0);
    }
    before.pass(at(200.0));
    let stored: Vec<Incident> = before.changes().into_iter().map(|change| change.incident).collect();
    let json = serde_json::to_string(&stored).unwrap();
    let stored: Vec<Incident> = serde_json::from_str(&json).unwrap();

    let mut after = Incidents::restore(Options::default(), stored.clone(), at(210.0));
    assert_eq!(after.all().cloned().collect::<Vec<_>>(), stored);
    for one in &heard {
        hear(&mut after, one, &topology, 211.0);
    }
    assert_eq!(after.changes(), []);
    hear(&mut after, &seen("api", 100.0), &topology, 212.0);
    let changes = after.changes();
    assert_eq!(told(&changes), [(What::Grown, 3, 1)]);
    assert_eq!(changes[0].incident.id, IncidentId::of(seen("db", 0.0).anomaly()));
    // What closed long ago is not needed, nor what was merged.
    let late = Incidents::restore(Options::default(), stored.clone(), at(10_000.0));
    assert_eq!(groups(&late), [["db", "orders"]]);
    let twice = Incidents::restore(Options::default(), [stored.clone(), stored].concat(), at(210.0));
    assert_eq!(twice.all().count(), 2);
}

#[test]
fn a_diagnosis_is_kept_while_the_incident_grows() {
    let (mut incidents, topology) = (Incidents::default(), shop());
    hear(&mut incidents, &seen("db", 0.0), &topology, 5.0);
    let found = incidents.changes()[0].incident.id;
    let diagnosis = Diagnosis { known: true, confidence: 0.8, ..Diagnosis::default() };
    assert!(incidents.diagnosed(found, diagnosis.clone()));
    assert_eq!(told(&incidents.changes()), [(What::Updated, 1, 1)]);
    hear(&mut incidents, &seen("orders", 1.0), &topology, 6.0);
    assert_eq!(incidents.changes()[0].incident.diagnosis, Some(diagnosis.clone()));
    assert!(!incidents.diagnosed(IncidentId::of(seen("nobody", 0.0).anomaly()), diagnosis));
}

#[test]
fn when_all_that_is_remembered_is_open_new_anomalies_are_refused_and_counted() {
    let options = Options { max_incidents: 3, everywhere: 100, hold: Duration::ZERO, ..Options::default() };
    let mut incidents = Incidents::new(options);
    let nothing = Topology::default();
    for i in 0..3 {
        hear(&mut incidents, &seen(&format!("c{i}"), 0.0).by(&format!("{i}")), &nothing, 5.0);
    }
    hear(&mut incidents, &seen("more", 0.0).by("more"), &nothing, 5.0);
    assert_eq!((incidents.refused(), incidents.all().count()), (1, 3));
    hear(&mut incidents, &seen("c0", 0.0).by("0").until(6.0), &nothing, 6.0);
    incidents.pass(at(7.0));
    incidents.changes();
    hear(&mut incidents, &seen("more", 0.0).by("more"), &nothing, 8.0);
    assert_eq!(groups(&incidents), [["c1"], ["c2"], ["more"]]);
}
