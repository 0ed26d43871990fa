//! Runs a watch over a CSV file (first column: seconds) and prints what happens to anomalies, and how often single
//! samples were flagged. `cargo run --release -p larnax-detect --example replay -- FILE [warm-up seconds]`

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::time::Duration;

use larnax_core::{Component, Metric, MetricKind, MetricName, Row, Schema, Status, Timestamp};
use larnax_detect::{AlertBudget, Settings, Watch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: replay FILE [warm-up seconds]")?;
    let mut settings = Settings::default();
    if let Some(seconds) = args.next() {
        settings.warm_up = Duration::from_secs_f64(seconds.parse()?);
    }
    let mut lines = std::io::BufReader::new(std::fs::File::open(&path)?).lines();
    let header = lines.next().ok_or("an empty file")??;
    let mut names = BTreeSet::new();
    let metrics = header
        .split(',')
        .skip(1)
        .filter(|name| names.insert(name.to_string()))
        .map(|name| Ok(Metric { name: MetricName::new(name)?, kind: MetricKind::Gauge }))
        .collect::<Result<Vec<_>, larnax_core::schema::SchemaError>>()?;
    let schema = Schema::new(metrics)?;
    let component =
        Component { id: "file/local/replay".parse()?, group: "replay".into(), labels: BTreeMap::new() };
    let (mut watch, mut budget) = (Watch::new(component, settings), AlertBudget::default());
    watch.resize(&schema);
    let (mut changes, mut values) = (Vec::new(), vec![f64::NAN; schema.len()]);
    let (mut rows, mut ready, mut flagged, mut first) = (0u64, 0u64, 0u64, None);
    let mut culprits: BTreeMap<String, u32> = BTreeMap::new();
    let mut cpu = Duration::ZERO;
    for line in lines {
        let line = line?;
        let mut fields = line.split(',');
        let time = Timestamp::from_seconds(fields.next().unwrap_or_default().parse()?);
        let start = *first.get_or_insert(time);
        for (value, field) in values.iter_mut().zip(fields) {
            *value = field.parse().unwrap_or(f64::NAN);
        }
        let began = std::time::Instant::now();
        watch.observe(Row { time, values: &values, learnable: true }, &mut budget, &mut changes);
        cpu += began.elapsed();
        rows += 1;
        let verdict = watch.verdict();
        ready += u64::from(verdict.status == Status::Ready);
        if verdict.status == Status::Ready && verdict.score.is_anomalous() {
            flagged += 1;
            let why = watch.explain(&budget).set_by.unwrap_or_else(|| "(joint)".into());
            *culprits.entry(why).or_default() += 1;
        }
        for change in changes.drain(..) {
            let a = &change.anomaly;
            let metrics: Vec<String> =
                a.metrics.iter().take(6).map(|c| format!("{}:{:+.1}", c.metric, c.deviation)).collect();
            println!(
                "{:>9.0}s {:?} {:?} onset {:.0}s peak {:.2} alerted {} {}",
                time.since(start),
                change.transition,
                a.kind,
                a.onset.since(start),
                a.peak.get(),
                a.alerted,
                metrics.join(" ")
            );
        }
    }
    println!(
        "{rows} rows, {ready} ready, {flagged} flagged, {:.1} us/row, {} bytes, state {}",
        cpu.as_secs_f64() * 1e6 / rows.max(1) as f64,
        watch.state_bytes(),
        watch.save().len()
    );
    let mut culprits: Vec<_> = culprits.into_iter().collect();
    culprits.sort_by_key(|c| std::cmp::Reverse(c.1));
    for (name, count) in culprits.iter().take(12) {
        println!("  {count:>6} {name}");
    }
    Ok(())
}
