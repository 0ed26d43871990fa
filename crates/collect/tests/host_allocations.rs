//! Once warm, a collection allocates nothing.

#![allow(clippy::unwrap_used, clippy::panic)]

mod host_tree;

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use host_tree::Tree;
use larnax_collect::Source;
use larnax_collect::host::{HostOptions, HostSource, ProcessGroup};
use larnax_core::{Batch, SystemClock};
use regex_lite::Regex;

fn all() -> Vec<ProcessGroup> {
    vec![ProcessGroup { name: "all".to_owned(), pattern: Regex::new(".").unwrap() }]
}

#[test]
fn a_warm_collection_allocates_nothing() {
    let tree = Tree::of("raspberry-pi");
    tree.process(100, "nginx", "nginx\0", 200);
    let mut host = tree.host_with(|options| options.processes = all());
    for tick in 0..40 {
        host.collect(f64::from(tick) * 0.5);
    }
    // Long enough for all that is read seldom and for looking round.
    let counted = allocation_counter::measure(|| {
        for tick in 40..80 {
            host.collect(f64::from(tick) * 0.5);
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_warm_collection_of_this_machine_allocates_only_the_future_that_the_trait_asks_for() {
    let mut host = HostSource::new(HostOptions::default(), Rc::new(SystemClock)).unwrap();
    let mut batch = Batch::new(host.schema().clone());
    for tick in 0..3 {
        host.collect_at(Duration::from_millis(tick * 10), &mut batch).unwrap();
    }
    let counted = allocation_counter::measure(|| {
        for tick in 3..13 {
            host.collect_at(Duration::from_millis(tick * 10), &mut batch).unwrap();
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");

    let mut context = Context::from_waker(Waker::noop());
    let counted = allocation_counter::measure(|| {
        let mut collecting = host.collect(&mut batch);
        assert!(matches!(collecting.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    });
    assert!(counted.count_total <= 1, "{counted:?}");
    assert!(batch.rows().next().unwrap().values.iter().any(|value| value.is_finite()));
}
