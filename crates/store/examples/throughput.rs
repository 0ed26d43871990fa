//! How many events a store takes, durably: `throughput PATH-OR-URL [SECONDS]`. Run it on the disk that counts.

use std::time::{Duration, Instant};

use larnax_core::{RawEvent, Timestamp};
use larnax_store::{Location, OnDamage, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let location: Location = arguments.next().ok_or("throughput PATH-OR-URL [SECONDS]")?.parse()?;
    let time = Duration::from_secs_f64(arguments.next().map_or(Ok(5.0), |text| text.parse())?);
    let store = larnax_store::open(&location, OnDamage::Refuse)?;
    // What an anomaly's event with evidence is like.
    for (threads, batch, bytes) in
        [(1, 100, 2000), (1, 100, 500), (4, 100, 2000), (1, 1, 2000), (32, 1, 2000)]
    {
        let (events, seconds) = append(&*store, threads, batch, bytes, time)?;
        println!(
            "{threads:>3} at once, {batch:>3} events of {bytes} bytes each time: {:>7.0} events/s, {:>6.2} ms a call",
            events as f64 / seconds,
            seconds * 1e3 * (threads * batch) as f64 / events as f64
        );
    }
    Ok(())
}

fn append(
    store: &dyn Store,
    threads: usize,
    batch: usize,
    bytes: usize,
    time: Duration,
) -> Result<(usize, f64), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let run = |thread: usize| {
        let mut sent = 0;
        while started.elapsed() < time {
            let event = |i: usize| RawEvent {
                id: format!("{:x}-{thread}-{}", started.elapsed().as_nanos(), sent + i),
                r#type: "io.larnax.anomaly.opened.v1".to_owned(),
                subject: format!("service/shop/c{}", i % 50),
                time: Timestamp::default(),
                json: "x".repeat(bytes),
            };
            store.append(&(0..batch).map(event).collect::<Vec<_>>())?;
            sent += batch;
        }
        Ok::<usize, larnax_core::LogError>(sent)
    };
    let mut events = 0;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        for thread in threads {
            events += thread.join().map_err(|_| "a thread failed")??;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    Ok((events, started.elapsed().as_secs_f64()))
}
