use std::sync::atomic::{AtomicBool, Ordering};

use larnax_core::{Appended, RawEvent, Timestamp};

use super::{Place, raw};

pub(crate) fn a_new_store_is_empty(place: &Place) {
    let store = place.open();
    assert_eq!(store.bounds().unwrap(), (0, 0));
    assert!(store.read_after(0, 10).unwrap().is_empty());
    assert_eq!(store.append(&[]).unwrap(), Appended { new: 0, last: 0 });
    assert!(store.components().unwrap().is_empty());
    assert!(store.incidents(&Default::default()).unwrap().is_empty());
    assert!(!store.epoch().unwrap().is_empty());
}

pub(crate) fn events_come_back_as_they_were_in_their_order(place: &Place) {
    let store = place.open();
    let odd = RawEvent {
        time: Timestamp::from_nanos(1_700_000_000_123_456_789),
        json: r#"{"id":"ü\u0000","n":1e400,"data":{"b":1,"a":1.0}}"#.to_owned(),
        ..raw("ü ☃ '; DROP TABLE log")
    };
    let events = [raw("c"), odd, raw("a"), raw("b")];
    assert_eq!(store.append(&events).unwrap(), Appended { new: 4, last: 4 });
    let read = store.read_after(0, 10).unwrap();
    assert_eq!(read.iter().map(|logged| logged.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(read.into_iter().map(|logged| logged.event).collect::<Vec<_>>(), events);
    let two = store.read_after(1, 2).unwrap();
    assert_eq!(two.iter().map(|logged| logged.sequence).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.bounds().unwrap(), (1, 4));
}

pub(crate) fn an_event_is_kept_once_however_often_it_is_sent(place: &Place) {
    let store = place.open();
    let twice = [raw("a"), raw("b"), raw("a")];
    assert_eq!(store.append(&twice).unwrap(), Appended { new: 2, last: 2 });
    assert_eq!(store.append(&twice).unwrap(), Appended { new: 0, last: 2 });
    assert_eq!(store.append(&[raw("b"), raw("c")]).unwrap(), Appended { new: 1, last: 3 });
    let ids: Vec<String> =
        store.read_after(0, 10).unwrap().into_iter().map(|logged| logged.event.id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

pub(crate) fn of_events_that_cannot_all_be_kept_none_is(place: &Place) {
    let store = place.open();
    let error = store.append(&[raw("a"), raw("b\0")]).unwrap_err();
    assert!(!error.temporary, "{error}");
    assert!(store.append(&[raw("a"), RawEvent { subject: String::new(), ..raw("b") }]).is_err());
    assert_eq!(store.bounds().unwrap(), (0, 0));
}

pub(crate) fn many_append_at_once_and_a_reader_misses_nothing(place: &Place) {
    let store = place.open();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut ids) = (0, Vec::new());
            loop {
                let finished = done.load(Ordering::SeqCst);
                let read = store.read_after(last, 7).unwrap();
                if read.is_empty() && finished {
                    return ids;
                }
                for logged in read {
                    assert!(logged.sequence > last);
                    last = logged.sequence;
                    ids.push(logged.event.id);
                }
            }
        });
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for batch in 0..20 {
                        let event = |i: u32| raw(&format!("{writer}-{batch:02}-{i}"));
                        let events: Vec<_> = (0..5).map(event).collect();
                        let appended = store.append(&events).unwrap();
                        assert_eq!(appended.new, 5);
                        let read = store.read_after(appended.last - 1, 1).unwrap();
                        assert_eq!(read.len(), 1, "what was acknowledged can be read");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        let ids = reader.join().unwrap();
        assert_eq!(ids.len(), 600);
        for writer in 0..6 {
            let of_one: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("{writer}-"))).collect();
            assert_eq!(of_one.len(), 100);
            assert!(of_one.is_sorted(), "what one writes stays in order");
        }
    });
    assert_eq!(store.bounds().unwrap(), (1, 600));
}

pub(crate) fn what_was_acknowledged_is_there_when_it_is_opened_again(place: &Place) {
    let store = place.open();
    store.append(&[raw("a"), raw("b")]).unwrap();
    store.advance_cursor("incidents", 1).unwrap();
    let epoch = store.epoch().unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.bounds().unwrap(), (1, 2));
    assert_eq!(store.cursor("incidents").unwrap(), Some(1));
    assert_eq!(store.epoch().unwrap(), epoch);
    assert_eq!(store.append(&[raw("b"), raw("c")]).unwrap(), Appended { new: 1, last: 3 });
}

pub(crate) fn a_cursor_never_moves_back(place: &Place) {
    let store = place.open();
    assert_eq!(store.cursor("incidents").unwrap(), None);
    store.advance_cursor("incidents", 5).unwrap();
    store.advance_cursor("incidents", 3).unwrap();
    store.advance_cursor("bridge", 9).unwrap();
    assert_eq!(store.cursor("incidents").unwrap(), Some(5));
    store.remove_cursor("incidents").unwrap();
    assert_eq!(store.cursor("incidents").unwrap(), None);
    assert_eq!(store.cursor("bridge").unwrap(), Some(9));
    assert!(store.advance_cursor("", 1).is_err());
}
