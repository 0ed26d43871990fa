//! How many events a second go through each bus, on a log in a temporary file that is synced before each append returns.
//!
//! `cargo run --release --package larnax-bus --features with-peers --example throughput`

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larnax_bus::rabbitmq::{Inward, Outward, RabbitOptions};
use larnax_bus::{Bus, LocalBus};
use larnax_core::RawEvent;
use larnax_http::Secret;
use larnax_test_peers::{Peer, Peers, RabbitMq};
use support::events::events;
use support::file_log::{FileCursors, FileLog};
use support::http::{Server, client};
use tempfile::TempDir;

fn bus(folder: &TempDir, name: &str) -> Arc<dyn Bus> {
    Arc::new(LocalBus::new(Arc::new(FileLog::open(&folder.path().join(name)))))
}

fn show(what: &str, events: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what:<60} {:>9.0} events/s", events as f64 / seconds);
}

async fn publish(what: &str, bus: &dyn Bus, events: &[RawEvent], batch: usize) {
    let started = Instant::now();
    for part in events.chunks(batch) {
        bus.publish(part).await.expect("a bus that takes events");
    }
    show(&format!("{what}, batches of {batch}"), events.len(), started);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (batch, total) in [(1, 2_000), (10, 20_000), (100, 100_000), (1000, 200_000)] {
        let bus = bus(&folder, &format!("local-{batch}"));
        publish("in the process", bus.as_ref(), &events(50, total), batch).await;
    }
    for (batch, total) in [(1, 2_000), (10, 20_000), (100, 100_000), (1000, 200_000)] {
        let server =
            Server::start(bus(&folder, &format!("http-{batch}")), (Ipv4Addr::LOCALHOST, 0).into()).await;
        publish("over HTTP", &client(server.address), &events(50, total), batch).await;
    }
    let Some(peers) = Peers::for_test(&[Peer::RabbitMq]) else { return };
    let broker = RabbitMq::start(&peers);
    for (components, total) in [(1, 2_000), (50, 20_000), (1000, 50_000)] {
        let outward = bus(&folder, &format!("outward-{components}"));
        for part in events(components, total).chunks(1000) {
            outward.publish(part).await.expect("a log that takes events");
        }
        let name = format!("throughput.{components}");
        let queue = Some(name.clone());
        let options =
            RabbitOptions { exchange: name.clone(), queue, ..RabbitOptions::new(Secret::new(broker.url())) };
        let cursors = Arc::new(FileCursors(folder.path().to_owned()));
        let bridge = Outward::new(options.clone(), outward, cursors, &name).expect("options that can be");
        let status = bridge.status();
        let started = Instant::now();
        let running = tokio::spawn(bridge.run());
        while status.health().events < total as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        show(&format!("to RabbitMQ, confirmed, {components} components"), total, started);
        running.abort();

        let bridge =
            Inward::new(options, bus(&folder, &format!("inward-{components}"))).expect("options that can be");
        let status = bridge.status();
        let started = Instant::now();
        let running = tokio::spawn(bridge.run());
        while status.health().events < total as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        show(&format!("from RabbitMQ, acknowledged, {components} components"), total, started);
        running.abort();
    }
}
