use std::time::Duration;

use larnax_store::{AuditEntry, AuditQuery, Error, Fence};

use super::{Place, incident, time};

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn the_audit_is_listed_newest_first_and_by_subject(place: &Place) {
    let store = place.open();
    let entry = |i: u64| AuditEntry {
        time: time(i as f64),
        who: "ann".to_owned(),
        what: "incident.note".to_owned(),
        subject: format!("incident-{}", i % 2),
        data: serde_json::json!({"text": "ü \u{0} ☃", "i": i}),
    };
    let numbers: Vec<u64> = (0..6).map(|i| store.append_audit(&entry(i), None).unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let expected: Vec<_> = (0..6).rev().map(|i| (numbers[i], entry(i as u64))).collect();
    assert_eq!(store.audit(&AuditQuery::default()).unwrap(), expected);
    let page = AuditQuery { before: Some(numbers[4]), limit: 2, subject: None };
    assert_eq!(store.audit(&page).unwrap(), expected[2..4]);
    let about = AuditQuery { subject: Some("incident-1".to_owned()), ..AuditQuery::default() };
    let found = store.audit(&about).unwrap();
    assert_eq!(
        found.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [numbers[5], numbers[3], numbers[1]]
    );
}

pub(crate) fn a_lease_has_one_holder_and_its_number_rises(place: &Place) {
    let store = place.open();
    let now = time(0.0);
    let first = store.acquire("act", "hub-1", LONG, now).unwrap().unwrap();
    assert_eq!(first, Fence { lease: "act".to_owned(), number: 1 });
    assert_eq!(store.acquire("act", "hub-2", LONG, now).unwrap(), None);
    assert_eq!(store.acquire("sweep", "hub-2", LONG, now).unwrap().map(|fence| fence.number), Some(1));
    assert!(store.renew(&first, LONG, now).unwrap());
    // The same hub, started again: what it did before counts as another's.
    let again = store.acquire("act", "hub-1", LONG, now).unwrap().unwrap();
    assert_eq!(again.number, 2);
    assert!(!store.renew(&first, LONG, now).unwrap());
    assert!(!store.release(&first).unwrap());
    assert!(store.release(&again).unwrap());
    assert_eq!(store.acquire("act", "hub-2", LONG, now).unwrap().map(|fence| fence.number), Some(3));
}

pub(crate) fn a_lease_whose_time_is_over_can_be_taken_and_its_former_holder_writes_nothing(place: &Place) {
    let store = place.open();
    let short = Duration::from_millis(100);
    let old = store.acquire("act", "hub-1", short, time(0.0)).unwrap().unwrap();
    std::thread::sleep(short * 2);
    // Late, but nobody else has come: nothing is lost.
    assert!(store.renew(&old, short, time(0.2)).unwrap());
    assert_eq!(store.upsert_incidents(&[incident("orders", 1.0, 0)], Some(&old)).unwrap(), 1);
    std::thread::sleep(short * 2);
    let new = store.acquire("act", "hub-2", LONG, time(0.4)).unwrap().unwrap();
    assert!(new.number > old.number);
    assert!(!store.renew(&old, LONG, time(0.4)).unwrap());
    let fenced = store.upsert_incidents(&[incident("orders", 1.0, 1)], Some(&old)).unwrap_err();
    assert_eq!(fenced, Error::Fenced { lease: "act".to_owned(), number: old.number });
    assert_eq!(store.incident(incident("orders", 1.0, 0).id).unwrap().unwrap().sequence, 0);
    let entry = AuditEntry {
        time: time(0.0),
        who: "hub-1".to_owned(),
        what: "incident.closed".to_owned(),
        subject: "x".to_owned(),
        data: serde_json::Value::Null,
    };
    assert!(matches!(store.append_audit(&entry, Some(&old)), Err(Error::Fenced { .. })));
    assert!(store.append_audit(&entry, Some(&new)).is_ok());
    assert_eq!(store.upsert_incidents(&[incident("orders", 1.0, 1)], Some(&new)).unwrap(), 1);
}

pub(crate) fn a_lease_that_was_released_protects_nobody_any_more(place: &Place) {
    let store = place.open();
    let fence = store.acquire("act", "hub-1", LONG, time(0.0)).unwrap().unwrap();
    assert!(store.release(&fence).unwrap());
    assert!(!store.release(&fence).unwrap());
    assert!(!store.renew(&fence, LONG, time(0.0)).unwrap());
    assert!(store.upsert_incidents(&[incident("orders", 1.0, 1)], Some(&fence)).is_err());
    let unknown = Fence { lease: "nobody's".to_owned(), number: 1 };
    assert!(store.upsert_incidents(&[incident("orders", 1.0, 1)], Some(&unknown)).is_err());
}
