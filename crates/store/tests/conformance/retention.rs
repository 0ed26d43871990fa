use std::time::Duration;

use larnax_core::{Clock, SystemClock, TopologyDelta, TopologySource};
use larnax_store::{AuditEntry, Keep, Retention, Sighting, Store};

use super::{Place, anomaly, component, ended, event, incident, plan, raw, time};

const HOUR: Duration = Duration::from_secs(3600);

fn remaining(store: &dyn Store) -> Vec<u64> {
    store.read_after(0, 1000).unwrap().iter().map(|logged| logged.sequence).collect()
}

pub(crate) fn read_events_go_and_unread_ones_stay_until_the_hard_limit(place: &Place) {
    let store = place.open();
    let events: Vec<_> = (0..20).map(|i| raw(&format!("e{i}"))).collect();
    store.append(&events).unwrap();
    store.advance_cursor("incidents", 12).unwrap();
    store.advance_cursor("bridge", 7).unwrap();
    let keep = |hours: u32| Keep { age: hours * HOUR, count: 1_000_000 };
    let retention = Retention { log: keep(1), unread: keep(10), batch: 5, ..Retention::default() };
    // Events are as old as the store's clock says.
    let now = SystemClock.now();
    assert_eq!(store.sweep(&retention, now).unwrap().log, 0);
    let first = store.sweep(&retention, now.plus(2 * HOUR)).unwrap();
    assert_eq!((first.log, first.more), (5, true));
    let second = store.sweep(&retention, now.plus(2 * HOUR)).unwrap();
    assert_eq!((second.log, second.more), (2, false));
    assert_eq!(remaining(&*store), (8..=20).collect::<Vec<_>>());
    assert_eq!(store.bounds().unwrap(), (8, 20));
    store.remove_cursor("bridge").unwrap();
    while store.sweep(&retention, now.plus(2 * HOUR)).unwrap().more {}
    assert_eq!(remaining(&*store), (13..=20).collect::<Vec<_>>());
    while store.sweep(&retention, now.plus(11 * HOUR)).unwrap().more {}
    assert!(remaining(&*store).is_empty());
    assert_eq!(store.bounds().unwrap(), (21, 20), "the next one");
    assert_eq!(store.append(&[raw("new")]).unwrap().last, 21, "no number is given twice");
}

pub(crate) fn of_too_many_events_the_oldest_go(place: &Place) {
    let store = place.open();
    let events: Vec<_> = (0..20).map(|i| raw(&format!("e{i}"))).collect();
    store.append(&events).unwrap();
    let keep = |count| Keep { age: 1000 * HOUR, count };
    let retention = Retention { log: keep(6), unread: keep(15), ..Retention::default() };
    store.advance_cursor("incidents", 2).unwrap();
    let now = SystemClock.now();
    assert_eq!(store.sweep(&retention, now).unwrap().log, 5);
    assert_eq!(remaining(&*store), (6..=20).collect::<Vec<_>>());
    store.advance_cursor("incidents", 20).unwrap();
    assert_eq!(store.sweep(&retention, now).unwrap().log, 9);
    assert_eq!(remaining(&*store), (15..=20).collect::<Vec<_>>());
}

pub(crate) fn what_is_open_stays_and_what_closed_long_ago_goes(place: &Place) {
    let store = place.open();
    for i in 0..10 {
        let (mut anomaly, mut incident) =
            (anomaly(&format!("c{i}"), f64::from(i)), incident(&format!("c{i}"), f64::from(i), 0));
        let mut plan = plan(&format!("c{i}"), f64::from(i), 0);
        if i >= 2 {
            anomaly.closed = Some(time(100.0 + f64::from(i)));
            incident.closed = anomaly.closed;
            plan = ended(plan, 100.0 + f64::from(i), 1);
        }
        store.upsert_anomalies(&[event(&anomaly, 0)]).unwrap();
        store.upsert_incidents(&[incident], None).unwrap();
        store.upsert_plans(&[plan], &[], None).unwrap();
    }
    let seen = Sighting { component: component("old"), agent: "a".to_owned(), last_seen: time(0.0) };
    store.upsert_components(&[seen]).unwrap();
    let delta = TopologyDelta {
        source: TopologySource::Agent,
        by: "a".to_owned(),
        ttl_seconds: None,
        components: Vec::new(),
        edges: Vec::new(),
        removed_components: Vec::new(),
        removed_edges: Vec::new(),
    };
    store.upsert_topology(time(0.0), &delta).unwrap();
    for i in 0..4 {
        let entry = AuditEntry {
            time: time(f64::from(i)),
            who: "a".to_owned(),
            what: "b".to_owned(),
            subject: "c".to_owned(),
            data: serde_json::Value::Null,
        };
        store.append_audit(&entry, None).unwrap();
    }
    let keep = |count| Keep { age: HOUR, count };
    let retention = Retention { history: keep(5), audit: keep(3), seen: 2 * HOUR, ..Retention::default() };
    // Too many: of eight that closed, the three that closed first.
    let swept = store.sweep(&retention, time(110.0)).unwrap();
    assert_eq!((swept.anomalies, swept.incidents, swept.plans, swept.audit), (3, 3, 3, 1));
    assert_eq!((swept.components, swept.topology), (0, 0));
    // Too old: all that closed.
    let swept = store.sweep(&retention, time(100_000.0)).unwrap();
    assert_eq!((swept.anomalies, swept.incidents, swept.plans, swept.audit), (5, 5, 5, 3));
    assert_eq!((swept.components, swept.topology), (1, 1));
    assert_eq!(store.anomalies(&Default::default()).unwrap().len(), 2);
    let left = store.incidents(&Default::default()).unwrap();
    assert!(left.len() == 2 && left.iter().all(|incident| incident.closed.is_none()), "{left:?}");
    let left = store.plans(&Default::default()).unwrap();
    assert!(left.len() == 2 && left.iter().all(|plan| plan.ended.is_none()), "{left:?}");
}
