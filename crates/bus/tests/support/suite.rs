//! What every bus must do, as one suite. A new bus is a new [`Bed`], not a new suite.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larnax_bus::{Bus, Cursor, Seen, Subscription};
use larnax_core::RawEvent;
use tokio::time::timeout;

use super::events::{event, events, number};

/// How long a reader may wait in vain. Only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(240);

/// A bus under test with what is around it: events go in on one side and come out on the other.
pub trait Bed {
    /// Where events go in.
    fn publishing(&self) -> Arc<dyn Bus>;
    /// Where they come out.
    fn consuming(&self) -> Arc<dyn Bus>;
    /// Ends the side where events go in, suddenly, and starts it anew with what it had on disk.
    async fn restart_publishing(&mut self);
    /// The same with the side where they come out.
    async fn restart_consuming(&mut self);
    /// Ends what is between them (a server, a broker), suddenly.
    async fn break_middle(&mut self);
    /// Starts it again.
    async fn mend_middle(&mut self);
}

/// A reader that never acts twice on one event, and keeps its cursor outside.
struct Reader {
    subscription: Subscription,
    seen: Seen,
    got: Vec<RawEvent>,
}

impl Reader {
    fn new(bed: &impl Bed, from: Cursor) -> Reader {
        Reader {
            subscription: Subscription::new(bed.consuming(), from),
            seen: Seen::new(100_000),
            got: Vec::new(),
        }
    }

    /// Reads until it has so many different events.
    async fn until(&mut self, count: usize) {
        while self.got.len() < count {
            let batch = timeout(PATIENCE, self.subscription.next_batch()).await;
            let batch = batch.unwrap_or_else(|_| panic!("only {} of {count} events arrived", self.got.len()));
            for logged in batch.unwrap() {
                if self.seen.insert(&logged.event.id) {
                    self.got.push(logged.event);
                }
            }
            self.subscription.acknowledge();
        }
    }

    /// Panics unless each component's events are there from the first on, in order.
    fn assert_in_order(&self, total: usize) {
        assert_eq!(self.got.len(), total);
        let mut next: BTreeMap<String, usize> = BTreeMap::new();
        for event in &self.got {
            let (component, number) = number(event);
            let expected = next.entry(component.clone()).or_default();
            assert_eq!(number, *expected, "{component}");
            *expected += 1;
        }
    }
}

/// Publishes as an outbox does: until it is taken.
async fn publish(bus: &Arc<dyn Bus>, events: &[RawEvent]) {
    timeout(PATIENCE, async {
        while let Err(error) = bus.publish(events).await {
            assert!(error.is_temporary(), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

pub async fn events_of_a_component_arrive_in_order(bed: impl Bed) {
    let mut reader = Reader::new(&bed, Cursor::default());
    let all = events(7, 500);
    // Readers are there before and while events come.
    let (bus, published) = (bed.publishing(), all.clone());
    let publishing = tokio::spawn(async move {
        for part in published.chunks(9) {
            publish(&bus, part).await;
        }
    });
    reader.until(all.len()).await;
    publishing.await.unwrap();
    reader.assert_in_order(all.len());
    assert_eq!(reader.got.iter().find(|got| got.id == all[3].id), Some(&all[3]), "unchanged");
}

pub async fn what_was_not_acknowledged_comes_again(bed: impl Bed) {
    publish(&bed.publishing(), &events(2, 4)).await;
    let mut events = Subscription::new(bed.consuming(), Cursor::default()).with_limit(1);
    let first = timeout(PATIENCE, events.next_batch()).await.unwrap().unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(timeout(PATIENCE, events.next_batch()).await.unwrap().unwrap(), first);
    let kept = events.acknowledge().clone();
    let second = timeout(PATIENCE, events.next_batch()).await.unwrap().unwrap();
    assert_ne!(second, first);
    let mut another = Subscription::new(bed.consuming(), kept).with_limit(1);
    assert_eq!(timeout(PATIENCE, another.next_batch()).await.unwrap().unwrap(), second);
}

pub async fn a_restart_of_either_side_loses_nothing(mut bed: impl Bed) {
    let all = events(5, 300);
    publish(&bed.publishing(), &all[..100]).await;
    let mut reader = Reader::new(&bed, Cursor::default());
    reader.until(60).await;

    bed.restart_consuming().await;
    publish(&bed.publishing(), &all[100..200]).await;
    reader.subscription = Subscription::new(bed.consuming(), reader.subscription.cursor().clone());
    reader.until(150).await;

    bed.restart_publishing().await;
    publish(&bed.publishing(), &all[200..]).await;
    reader.subscription = Subscription::new(bed.consuming(), reader.subscription.cursor().clone());
    reader.until(300).await;
    reader.assert_in_order(300);
}

pub async fn an_event_published_again_is_kept_once(bed: impl Bed) {
    let all = events(3, 30);
    let bus = bed.publishing();
    assert_eq!(bus.publish(&all).await.unwrap().new, 30);
    assert_eq!(bus.publish(&all).await.unwrap().new, 0);
    let last = event("last", 0);
    assert_eq!(bus.publish(&[all[7].clone(), last.clone(), last.clone()]).await.unwrap().new, 1);
    let mut arrived = Vec::new();
    let mut subscription = Subscription::new(bed.consuming(), Cursor::default());
    while arrived.last() != Some(&last.id) {
        let batch = timeout(PATIENCE, subscription.next_batch()).await.unwrap().unwrap();
        arrived.extend(batch.into_iter().map(|logged| logged.event.id));
        subscription.acknowledge();
    }
    let expected: Vec<_> = all.iter().chain([&last]).map(|event| event.id.clone()).collect();
    // Components may overtake each other.
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(arrived), sorted(expected));
}

pub async fn an_outage_between_the_sides_loses_nothing_and_keeps_order(mut bed: impl Bed) {
    let all = events(10, 1000);
    let mut reader = Reader::new(&bed, Cursor::default());
    let (bus, published) = (bed.publishing(), all.clone());
    let publishing = tokio::spawn(async move {
        for part in published.chunks(20) {
            publish(&bus, part).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    reader.until(200).await;
    for _ in 0..2 {
        bed.break_middle().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        bed.mend_middle().await;
        let more = reader.got.len() + 100;
        reader.until(more).await;
    }
    reader.until(all.len()).await;
    publishing.await.unwrap();
    reader.assert_in_order(all.len());
}

pub async fn a_slow_reader_holds_up_nobody(bed: impl Bed) {
    let all = events(10, 1000);
    let bus = bed.publishing();
    publish(&bus, &all[..10]).await;
    let mut slow = Subscription::new(bed.consuming(), Cursor::default()).with_limit(1);
    let first = timeout(PATIENCE, slow.next_batch()).await.unwrap().unwrap();
    for part in all[10..].chunks(30) {
        publish(&bus, part).await;
    }
    let mut quick = Reader::new(&bed, Cursor::default());
    quick.until(all.len()).await;
    quick.assert_in_order(all.len());
    assert_eq!(timeout(PATIENCE, slow.next_batch()).await.unwrap().unwrap(), first);
}

pub async fn of_ten_thousand_events_none_is_lost(bed: impl Bed) {
    let all = events(50, 10_000);
    let mut reader = Reader::new(&bed, Cursor::default());
    let (bus, published) = (bed.publishing(), all.clone());
    let publishing = tokio::spawn(async move {
        for part in published.chunks(100) {
            publish(&bus, part).await;
        }
    });
    reader.until(all.len()).await;
    publishing.await.unwrap();
    reader.assert_in_order(all.len());
}

/// All of the above, one after the other, each on a bed of its own.
pub async fn every_case<B: Bed>(start: impl AsyncFn() -> B) {
    macro_rules! run {
        ($($case:ident)*) => {$(
            eprintln!("{}", stringify!($case));
            $case(start().await).await;
        )*};
    }
    run! {
        events_of_a_component_arrive_in_order
        what_was_not_acknowledged_comes_again
        a_restart_of_either_side_loses_nothing
        an_event_published_again_is_kept_once
        an_outage_between_the_sides_loses_nothing_and_keeps_order
        a_slow_reader_holds_up_nobody
        of_ten_thousand_events_none_is_lost
    }
}
