use std::collections::HashMap;
use std::fs;
use std::path::Path;

use larnax_core::Transition::{Closed, Opened, Updated};
use larnax_core::{Event, Timestamp, Transition};
use proptest::prelude::*;

use super::*;
use crate::testing::{assert_passed, at, event, run_with_small_disk, small_disk};

fn open(folder: &Path, sinks: &[&str]) -> (Outbox, Recovered) {
    let sinks = sinks.iter().map(|&sink| sink.to_owned()).collect();
    Outbox::open(Some(folder), OutboxOptions { sinks, ..OutboxOptions::default() }).unwrap()
}

fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.id.clone()).collect()
}

#[test]
fn what_was_accepted_is_there_after_a_restart_and_what_was_delivered_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let events = [event("a", 0.0, Opened, 0), event("b", 1.0, Opened, 0), event("a", 0.0, Closed, 1)];
    {
        let (outbox, _) = open(folder.path(), &["x", "y"]);
        for event in &events {
            assert_eq!(outbox.accept(event).unwrap(), Accepted::Durable);
        }
        let batch = outbox.pending("x", 10);
        assert_eq!(batch.events, events);
        outbox.ack("x", batch.sequences[1]);
    }
    let (outbox, recovered) = open(folder.path(), &["x", "y"]);
    assert_eq!((recovered.damaged.len(), recovered.torn_bytes, recovered.pending), (0, 0, 3));
    assert_eq!(recovered.open, events[1..2]);
    assert_eq!(outbox.pending("x", 10).events, events[2..]);
    assert_eq!(outbox.pending("y", 10).events, events);
    assert_eq!(outbox.pending("y", 1).events, events[..1]);
}

#[test]
fn a_sequence_is_never_used_twice_even_when_everything_was_delivered() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (outbox, recovered) = open(folder.path(), &["x"]);
        assert_eq!(recovered.pending, 0);
        let event = event("a", f64::from(round), Closed, 0);
        assert_eq!(outbox.accept(&event).unwrap(), Accepted::Durable);
        let batch = outbox.pending("x", 10);
        assert_eq!(batch.events, [event]);
        outbox.ack("x", batch.sequences[0]);
        outbox.state.borrow_mut().rewrite().unwrap();
    }
}

#[test]
fn a_new_sink_gets_what_is_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let opened = event("a", 0.0, Opened, 0);
    {
        let (outbox, _) = open(folder.path(), &["x"]);
        let _ = outbox.accept(&opened).unwrap();
        outbox.ack("x", outbox.pending("x", 1).sequences[0]);
        assert!(outbox.is_delivered("x") && outbox.has_open());
        assert_eq!(outbox.open_events("x"), std::slice::from_ref(&opened));
    }
    let (outbox, _) = open(folder.path(), &["x", "new"]);
    assert!(outbox.is_delivered("x"));
    assert_eq!(outbox.pending("new", 10).events, [opened]);
    assert!(outbox.open_events("new").is_empty());
}

#[test]
fn a_sink_that_was_removed_holds_nothing_back_and_one_that_was_added_gets_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, _) = open(folder.path(), &["kept", "removed"]);
    let (closed, opened) = (event("a", 0.0, Closed, 0), event("b", 0.0, Opened, 0));
    for event in [&closed, &opened] {
        assert_eq!(outbox.accept(event).unwrap(), Accepted::Durable);
    }
    outbox.ack("kept", outbox.pending("kept", 9).sequences[0]);
    outbox.set_sinks(&["kept".to_owned(), "added".to_owned()]);
    assert_eq!(outbox.pending("kept", 9).events, std::slice::from_ref(&opened));
    assert_eq!(ids(&outbox.pending("added", 9).events), [closed.id.clone(), opened.id.clone()]);
    outbox.set_sinks(&["kept".to_owned()]);
    assert_eq!(outbox.stats().pending, 1);
}

#[test]
fn a_file_cut_anywhere_opens_with_every_whole_event() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<Event> = (0..3).map(|i| event("a", f64::from(i), Opened, 0)).collect();
    let mut ends = Vec::new();
    {
        let (outbox, _) = open(folder.path(), &["x"]);
        for event in &events {
            let _ = outbox.accept(event).unwrap();
            ends.push(outbox.stats().file_bytes as usize);
        }
    }
    let file = folder.path().join("outbox.log");
    let whole = fs::read(&file).unwrap();
    for cut in (0..=whole.len()).rev().step_by(97) {
        fs::write(&file, &whole[..cut]).unwrap();
        let kept = ends.iter().filter(|&&end| end <= cut).count();
        let (outbox, recovered) = open(folder.path(), &["x"]);
        assert_eq!(recovered.damaged, Vec::<String>::new());
        assert_eq!(outbox.pending("x", 10).events, events[..kept]);
        assert_eq!(outbox.accept(&events[0]).unwrap(), Accepted::Durable);
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_the_events_around_the_damage_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<Event> = (0..3).map(|i| event("a", f64::from(i), Opened, 0)).collect();
    let mut middle = 0;
    {
        let (outbox, _) = open(folder.path(), &["x"]);
        for (i, event) in events.iter().enumerate() {
            let _ = outbox.accept(event).unwrap();
            if i == 0 {
                middle = outbox.stats().file_bytes as usize + 200;
            }
        }
    }
    let file = folder.path().join("outbox.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes[middle] ^= 0xff;
    fs::write(&file, &bytes).unwrap();
    let (outbox, recovered) = open(folder.path(), &["x"]);
    let said = recovered.damaged.join("\n");
    assert!(said.contains("outbox.log") && said.contains("checksum") && said.contains(".damaged"), "{said}");
    assert_eq!(ids(&outbox.pending("x", 10).events), ids(&[events[0].clone(), events[2].clone()]));
    assert_eq!(fs::read(folder.path().join("outbox.log.damaged")).unwrap(), bytes);
    drop(outbox);
    assert_eq!(open(folder.path(), &["x"]).1.damaged, Vec::<String>::new());
}

#[test]
fn a_second_agent_on_the_same_folder_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path(), &[]);
    let error = Outbox::<AnomalyEvent>::open(Some(folder.path()), OutboxOptions::default()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn what_overflows_is_the_oldest_closed_anomaly_and_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let options = OutboxOptions { max_bytes: 64 << 10, sinks: vec!["x".to_owned()] };
    let (outbox, _) = Outbox::open(Some(folder.path()), options).unwrap();
    let open_one = event("first", 0.0, Opened, 0);
    let _ = outbox.accept(&open_one).unwrap();
    for i in 1..100 {
        for (transition, sequence) in [(Opened, 0), (Closed, 1)] {
            assert_eq!(
                outbox.accept(&event("a", f64::from(i), transition, sequence)).unwrap(),
                Accepted::Durable
            );
            assert!(fs::metadata(folder.path().join("outbox.log")).unwrap().len() <= 64 << 10);
        }
    }
    let events = outbox.pending("x", 1000).events;
    let stats = outbox.stats();
    assert_eq!(events[0], open_one);
    assert_eq!(events.last().unwrap().data.anomaly.onset, at(99.0));
    assert!(stats.dropped_subjects > 0);
    assert_eq!(events.len() as u64 + stats.dropped_events, 199);
    let closed: Vec<Timestamp> = events[1..].iter().map(|event| event.data.anomaly.onset).collect();
    assert!(closed.is_sorted() && closed[0] > at(10.0), "the oldest went first");
}

#[test]
fn a_folder_that_can_not_be_used_holds_events_in_memory_until_it_can() {
    let parent = tempfile::tempdir().unwrap();
    let blocker = parent.path().join("state");
    fs::write(&blocker, "a file where the folder should be").unwrap();
    let folder = blocker.join("outbox");
    let (outbox, recovered) = open(&folder, &["x"]);
    assert!(!recovered.damaged.is_empty());
    let first = event("a", 0.0, Opened, 0);
    let Accepted::Held { reason } = outbox.accept(&first).unwrap() else { panic!("it can't be durable") };
    assert!(reason.contains("outbox.log"), "{reason}");
    assert_eq!((outbox.stats().held, outbox.pending("x", 9).events.len()), (1, 1));

    fs::remove_file(&blocker).unwrap();
    outbox.tick();
    assert_eq!((outbox.stats().held, outbox.stats().problem), (0, None));
    drop(outbox);
    assert_eq!(open(&folder, &["x"]).0.pending("x", 9).events, [first]);
}

#[test]
fn a_full_disk_holds_events_in_memory_and_keeps_what_it_has() {
    let Some(folder) = small_disk() else {
        return assert_passed(&run_with_small_disk(
            "outbox::tests::a_full_disk_holds_events_in_memory_and_keeps_what_it_has",
        ));
    };
    let (outbox, _) = open(&folder, &["x"]);
    let outcomes: Vec<Accepted> =
        (0..60).map(|i| outbox.accept(&event("a", f64::from(i), Opened, 0)).unwrap()).collect();
    let durable = outcomes.iter().filter(|outcome| **outcome == Accepted::Durable).count();
    assert!(durable > 10 && durable < 60, "{durable} of 60 fitted");
    let Accepted::Held { reason } = &outcomes[59] else { panic!("the disk is full") };
    assert!(reason.contains("outbox.log"), "{reason}");
    let batch = outbox.pending("x", 100);
    assert_eq!((batch.events.len(), outbox.stats().held), (60, 60 - durable));
    // Anomalies end and are delivered: there is room again.
    for i in 0..60 {
        let _ = outbox.accept(&event("a", f64::from(i), Closed, 1)).unwrap();
    }
    let sequences = outbox.pending("x", 1000).sequences;
    assert_eq!(sequences.len(), 120);
    outbox.ack("x", sequences[119]);
    assert_eq!(outbox.accept(&event("b", 0.0, Opened, 0)).unwrap(), Accepted::Durable);
}

#[test]
fn without_a_folder_events_live_in_memory_within_the_same_bound() {
    let options = OutboxOptions { max_bytes: 64 << 10, sinks: vec!["x".to_owned()] };
    let (outbox, _) = Outbox::open(None, options).unwrap();
    for i in 0..200 {
        let Accepted::Held { reason } = outbox.accept(&event("a", f64::from(i), Closed, 0)).unwrap() else {
            panic!("there is no disk")
        };
        assert!(reason.contains("no state directory"), "{reason}");
    }
    let left = outbox.pending("x", 1000).events.len();
    assert!(left > 10 && left < 200, "{left}");
    assert_eq!(outbox.stats().dropped_events as usize + left, 200);
}

#[test]
fn an_event_is_made_to_fit_and_one_that_can_not_is_refused_with_its_size() {
    let (outbox, _) =
        Outbox::open(None, OutboxOptions { sinks: vec!["x".to_owned()], ..Default::default() }).unwrap();
    let mut large = event("a", 0.0, Opened, 0);
    large.data.anomaly.metrics[0].deviation = f64::NAN;
    if let Some(evidence) = &mut large.data.evidence {
        evidence.window.rows = vec![vec![Some(1.0); 1000]; 1000];
    }
    let _ = outbox.accept(&large).unwrap();
    let kept = &outbox.pending("x", 1).events[0];
    assert!(kept.data.evidence.is_none() && kept.data.anomaly.metrics.is_empty());

    large.data.component.labels.insert("label".to_owned(), "x".repeat(300_000));
    let error = outbox.accept(&large).unwrap_err();
    assert!(error.to_string().contains("262144"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Accept { component: u8, transition: Transition },
    Ack { sink: usize, events: usize },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let transition = prop_oneof![Just(Opened), Just(Updated), Just(Closed)];
    prop_oneof![
        4 => (0..4u8, transition).prop_map(|(component, transition)| Step::Accept { component, transition }),
        2 => (0..2usize, 1..5usize).prop_map(|(sink, events)| Step::Ack { sink, events }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_each_sink_gets_every_event_in_order(steps in prop::collection::vec(step(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let sinks = ["x", "y"];
        let (mut outbox, _) = open(folder.path(), &sinks);
        let mut waiting: [Vec<Event>; 2] = Default::default();
        let mut latest: HashMap<u8, Event> = HashMap::new();
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Accept { component, transition } => {
                    let event = event(&component.to_string(), 0.0, transition, i as u32);
                    prop_assert_eq!(outbox.accept(&event).unwrap(), Accepted::Durable);
                    waiting.iter_mut().for_each(|waiting| waiting.push(event.clone()));
                    latest.insert(component, event);
                }
                Step::Ack { sink, events } => {
                    let batch = outbox.pending(sinks[sink], events);
                    prop_assert_eq!(&batch.events[..], &waiting[sink][..batch.events.len()]);
                    if let Some(last) = batch.sequences.last() {
                        outbox.ack(sinks[sink], *last);
                    }
                    waiting[sink].drain(..batch.events.len());
                }
                Step::Restart => {
                    drop(outbox);
                    let (again, recovered) = open(folder.path(), &sinks);
                    outbox = again;
                    let mut open = ids(&recovered.open);
                    let expected = latest.values().filter(|event| event.data.transition != Closed).cloned();
                    let mut expected = ids(&expected.collect::<Vec<_>>());
                    open.sort();
                    expected.sort();
                    prop_assert_eq!(open, expected);
                }
            }
            for (sink, waiting) in sinks.iter().zip(&waiting) {
                prop_assert_eq!(&outbox.pending(sink, 1000).events, waiting);
            }
        }
    }

    #[test]
    fn no_bytes_make_salvaging_or_opening_fail(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(salvage::<AnomalyEvent>(&bytes).0.is_empty());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("outbox.log"), &bytes).unwrap();
        let (outbox, _) = open(folder.path(), &["x"]);
        prop_assert_eq!(outbox.accept(&event("a", 0.0, Opened, 0)).unwrap(), Accepted::Durable);
    }
}

#[test]
fn a_folder_is_free_at_once_after_an_outbox_closes_even_while_others_start_processes() {
    // Issue 2: a child between fork and exec held the lock of an outbox that was long closed.
    let folder = tempfile::tempdir().unwrap();
    let starting = std::thread::spawn(|| {
        for _ in 0..300 {
            assert!(std::process::Command::new("true").status().unwrap().success());
        }
    });
    while !starting.is_finished() {
        drop(open(folder.path(), &["x"]));
    }
    starting.join().unwrap();
}
