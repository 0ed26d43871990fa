//! Records this machine as CSV on standard output, in the form that `larnax detect` reads: how the recording of a quiet
//! machine was made that the tests replay (`crates/larnax/tests/fixtures/README.md`).
//!
//! `cargo run --release -p larnax-collect --example host_record -- 2100 1000 >quiet.csv` (seconds, milliseconds apart)

use std::io::{BufWriter, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use larnax_collect::host::{HostOptions, HostSource};
use larnax_core::{Batch, SystemClock};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |n, default| std::env::args().nth(n).map_or(Ok(default), |text| text.parse::<u32>());
    let (seconds, apart) = (argument(1, 60)?, Duration::from_millis(u64::from(argument(2, 1000)?)));
    let mut host = HostSource::new(HostOptions::default(), Rc::new(SystemClock))?;
    let schema = host.schema().clone();
    let mut batch = Batch::new(schema.clone());
    let mut out = BufWriter::new(std::io::stdout().lock());
    let names: Vec<&str> = schema.metrics().iter().map(|metric| metric.name.as_str()).collect();
    writeln!(out, "timestamp,{}", names.join(","))?;
    let begin = Instant::now();
    let rows = u32::try_from(u128::from(seconds) * 1000 / apart.as_millis().max(1))?;
    for i in 1..=rows {
        std::thread::sleep((begin + apart * i).saturating_duration_since(Instant::now()));
        host.collect_at(begin.elapsed(), &mut batch)?;
        // A device that comes or goes changes the columns; a recording keeps those that it began with.
        for row in batch.rows() {
            write!(out, "{}", row.time)?;
            for metric in schema.metrics() {
                let value = batch.schema().position(metric.name.as_str()).and_then(|at| row.values.get(at));
                match value.filter(|value| value.is_finite()) {
                    Some(value) => write!(out, ",{value}")?,
                    None => write!(out, ",")?,
                }
            }
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}
