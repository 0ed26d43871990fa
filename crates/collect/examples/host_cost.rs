//! What watching this machine costs: collects every 100 ms for 10 s and prints the number of metrics and the CPU time.
//! Other durations may be given: seconds, and milliseconds between collections.
//!
//! `cargo run --release -p larnax-collect --example host_cost -- 10 100`

use std::rc::Rc;
use std::time::{Duration, Instant};

use larnax_collect::Source;
use larnax_collect::host::{HostOptions, HostSource};
use larnax_core::{Batch, SystemClock};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |at, default| std::env::args().nth(at).map_or(Ok(default), |text| text.parse::<u32>());
    let (seconds, interval) = (number(1, 10)?, Duration::from_millis(number(2, 100)?.max(1).into()));
    let mut host = HostSource::new(HostOptions::default(), Rc::new(SystemClock))?;
    let mut batch = Batch::new(host.schema().clone());
    let start = Instant::now();
    // Two collections to be warm.
    host.collect_at(start.elapsed(), &mut batch)?;
    std::thread::sleep(interval);
    host.collect_at(start.elapsed(), &mut batch)?;

    let (begin, before) = (Instant::now(), cpu());
    let collections = (seconds * 1000 / interval.as_millis() as u32).max(1);
    for i in 1..=collections {
        std::thread::sleep((begin + interval * i).saturating_duration_since(Instant::now()));
        host.collect_at(start.elapsed(), &mut batch)?;
    }
    let (spent, took) = (cpu() - before, begin.elapsed());
    let present =
        batch.rows().next().map_or(0, |row| row.values.iter().filter(|value| value.is_finite()).count());
    println!(
        "{} metrics ({present} with a value), {collections} collections in {:.1} s: {:.3} ms CPU per second, {:.1} µs per collection",
        host.schema().len(),
        took.as_secs_f64(),
        spent.as_secs_f64() * 1e3 / took.as_secs_f64(),
        spent.as_secs_f64() * 1e6 / f64::from(collections),
    );
    println!("{:?}", host.cost());
    Ok(())
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
