//! What every [`Source`] must do, whatever it reads.
//!
//! **To add a row:** implement [`World`] for what your source lives in (a server, a folder, a fake `/proc`), and write one
//! test that calls `suite(|| async { YourWorld::new() }).await`. A world is made anew for each check, so that checks
//! don't depend on each other. What a world can't do (this host's CPU can't be broken) keeps its default, and the checks
//! that need it are left out for that row.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod host_tree;

use std::collections::HashSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use larnax_collect::files::{FileOptions, FileSource};
use larnax_collect::host::HostSource;
use larnax_collect::scrape::ScrapeSource;
use larnax_collect::{Collected, Cost, Source};
use larnax_core::{Batch, Metric, MetricKind, MetricName, Schema, SystemClock, Timestamp};
use tokio::io::AsyncWriteExt;

/// What a source lives in, held by the test.
trait World {
    /// A source that has not read anything yet.
    fn source(&self) -> Box<dyn Source>;

    /// Breaks what the source reads, so that the next collection fails. False where that can't be.
    fn break_it(&self) -> bool {
        false
    }

    /// Repairs it.
    fn mend(&self) {}
}

/// Checks the contract of [`Source`].
async fn suite<W: World, F: Future<Output = W>>(make: impl Fn() -> F) {
    the_schema_stays_the_same_one_while_the_metrics_do(&make().await).await;
    nothing_is_left_of_the_batch_that_came_in(&make().await).await;
    no_row_comes_twice_and_rows_come_in_order(&make().await).await;
    an_error_does_not_end_the_source(&make().await).await;
    costs_only_grow(&make().await).await;
    a_collection_that_is_given_up_does_no_harm(&make().await).await;
}

async fn the_schema_stays_the_same_one_while_the_metrics_do(world: &dyn World) {
    let (mut source, mut batch) = (world.source(), common::empty_batch());
    assert!(!source.name().is_empty());
    let first = source.collect(&mut batch).await.unwrap();
    let schema = Arc::clone(batch.schema());
    assert!(!schema.is_empty() && (first == Collected::End || !batch.is_empty()));
    for _ in 0..3 {
        source.collect(&mut batch).await.unwrap();
        assert!(Arc::ptr_eq(&schema, batch.schema()), "the metrics are the same, the schema is another");
    }
}

async fn nothing_is_left_of_the_batch_that_came_in(world: &dyn World) {
    let foreign = Metric::new(MetricName::new("foreign").unwrap(), MetricKind::Gauge);
    let foreign = Schema::new(vec![foreign]).unwrap();
    let mut dirty = Batch::new(Arc::clone(&foreign));
    for _ in 0..100 {
        dirty.push_row(Timestamp::from_nanos(7))[0] = 123.456;
    }
    world.source().collect(&mut dirty).await.unwrap();
    assert!(!Arc::ptr_eq(&foreign, dirty.schema()));
    assert!(dirty.rows().all(|row| row.time != Timestamp::from_nanos(7)));
    assert!(dirty.rows().all(|row| row.values.len() == dirty.schema().len()));
}

async fn no_row_comes_twice_and_rows_come_in_order(world: &dyn World) {
    let (mut source, mut batch) = (world.source(), common::empty_batch());
    let (mut seen, mut last) = (HashSet::new(), None);
    for _ in 0..5 {
        let collected = source.collect(&mut batch).await.unwrap();
        for row in batch.rows() {
            assert!(seen.insert(row.time), "a row of {} came twice: something was kept", row.time);
            assert!(last <= Some(row.time), "rows go back in time");
            last = Some(row.time);
        }
        if collected == Collected::End {
            return;
        }
    }
}

async fn an_error_does_not_end_the_source(world: &dyn World) {
    let (mut source, mut batch) = (world.source(), common::empty_batch());
    if !world.break_it() {
        return;
    }
    for _ in 0..2 {
        let error = source.collect(&mut batch).await.expect_err("the world is broken");
        assert!(!error.message.is_empty() && error.to_string() == error.message);
    }
    world.mend();
    source.collect(&mut batch).await.unwrap();
    world.break_it();
    source.collect(&mut batch).await.expect_err("the world is broken again");
    world.mend();
    source.collect(&mut batch).await.unwrap();
    let cost = source.cost();
    assert_eq!((cost.failures, cost.collections), (3, 2));
}

async fn costs_only_grow(world: &dyn World) {
    let (mut source, mut batch) = (world.source(), common::empty_batch());
    assert_eq!(source.cost(), Cost::default(), "a new source has cost nothing");
    let totals = |c: Cost| {
        [
            c.collections,
            c.failures,
            c.bytes_read,
            c.bytes_sent,
            c.refused_samples,
            c.bad_samples,
            c.connections,
        ]
    };
    let mut before = totals(source.cost());
    for round in 0..6 {
        let broken = round % 3 == 2 && world.break_it();
        let result = source.collect(&mut batch).await;
        assert_eq!(result.is_err(), broken);
        world.mend();
        let after = totals(source.cost());
        assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "{before:?} > {after:?}");
        assert!(after[0] + after[1] > before[0] + before[1] || result == Ok(Collected::End));
        before = after;
    }
    assert!(source.cost().bytes_read > 0);
}

async fn a_collection_that_is_given_up_does_no_harm(world: &dyn World) {
    let (mut source, mut batch) = (world.source(), common::empty_batch());
    for _ in 0..3 {
        // Polls it once, then drops it, as a role does that is told to stop.
        tokio::select! {
            biased;
            _ = source.collect(&mut batch) => {}
            () = std::future::ready(()) => {}
        }
        source.collect(&mut batch).await.unwrap();
        assert!(!batch.schema().is_empty());
    }
}

/// A server whose answers the test holds.
struct Target {
    address: std::net::SocketAddr,
    status: Arc<AtomicU64>,
}

impl Target {
    async fn new() -> Self {
        let status = Arc::new(AtomicU64::new(200));
        let current = Arc::clone(&status);
        let address = common::serve(move |_, mut stream| {
            let current = Arc::clone(&current);
            async move {
                // Each connection on its own, for a collection that is given up leaves one behind.
                tokio::spawn(async move {
                    while !common::read_request(&mut stream).await.is_empty() {
                        let status = format!("{} Whatever", current.load(SeqCst));
                        let reply = common::answer(&status, "", b"# TYPE a gauge\na 1\nb{x=\"y\"} 2\n");
                        let _ = stream.write_all(&reply).await;
                    }
                });
            }
        })
        .await;
        Self { address, status }
    }
}

impl World for Target {
    fn source(&self) -> Box<dyn Source> {
        Box::new(ScrapeSource::new(common::options(self.address), Rc::new(SystemClock)).unwrap())
    }

    fn break_it(&self) -> bool {
        self.status.store(500, SeqCst);
        true
    }

    fn mend(&self) {
        self.status.store(200, SeqCst);
    }
}

#[tokio::test]
async fn scrape() {
    suite(Target::new).await;
}

/// A file with one row that is no use.
struct File;

impl World for File {
    fn source(&self) -> Box<dyn Source> {
        let rows: String = (0..5000).map(|i| format!("{},{i},{}\n", 1_700_000_000 + i, i % 7)).collect();
        let text = format!("timestamp,a,b\nnoon,1,2\n{rows}");
        let reader = std::io::Cursor::new(text.into_bytes());
        Box::new(FileSource::from_reader("rows.csv", reader, &FileOptions::default()).unwrap())
    }
}

#[tokio::test]
async fn files() {
    suite(|| async { File }).await;
}

/// A recorded procfs that can be emptied.
struct Procfs(host_tree::Tree);

const PROC_FILES: [&str; 5] = ["stat", "loadavg", "meminfo", "diskstats", "net/dev"];

impl World for Procfs {
    fn source(&self) -> Box<dyn Source> {
        Box::new(HostSource::new(self.0.options(), Rc::new(SystemClock)).unwrap())
    }

    fn break_it(&self) -> bool {
        PROC_FILES.iter().for_each(|file| self.0.write(&format!("proc/{file}"), ""));
        true
    }

    fn mend(&self) {
        PROC_FILES.iter().for_each(|file| self.0.restore(&format!("proc/{file}")));
    }
}

#[tokio::test]
async fn host() {
    suite(|| async { Procfs(host_tree::Tree::of("container")) }).await;
}
