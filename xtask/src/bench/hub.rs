//! `cargo xtask bench hub`: how many anomaly events a second a hub on SQLite takes from its edges, durably, and whether it keeps
//! up with them.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use larnax_test_peers::Agent;
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, meter, report};
use crate::cargo;

/// How long the hub may take to have built its incidents after the last event.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Edges, and how many events a second they have to tell; 0 is as many as they get rid of.
const FLEETS: [(u32, u32); 4] = [(100, 1_000), (100, 5_000), (1_000, 5_000), (100, 0)];
/// Components of each edge.
const COMPONENTS: u32 = 10;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    seconds: u32,
}

impl Options {
    /// Reads the arguments after `bench hub`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options { seconds: 30 };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("seconds") => options.seconds = arguments.value()?.parse()?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// Measures, prints the table and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = machine::describe()?;
    // What lies there from before may be of another time.
    cargo::build_release("larnax")?;
    let edges = cargo::example("larnax-hub", "edges")?;
    let mut rows = Vec::new();
    for fleet in FLEETS {
        let row = measure(&edges, fleet, options.seconds)?;
        eprintln!("{row}");
        rows.push(row);
    }
    let result = json!({ "date": machine::today()?, "machine": machine, "rows": rows });
    report::keep(&report::folder(), &result, "hub")?;
    print!("{}", table(&result));
    Ok(())
}

fn measure(program: &Path, (edges, rate): (u32, u32), seconds: u32) -> Result<Value> {
    let hub = Agent::start("larnax", &["hub"]);
    let meter = meter::Meter::begin(hub.pid())?;
    let began = Instant::now();
    let mut telling = Command::new(program);
    telling.arg(format!("http://{}", hub.address()));
    telling.args([seconds, edges, COMPONENTS, rate].map(|number| number.to_string()));
    let told = telling.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    if !told.status.success() {
        bail!("the edges failed; the hub said:\n{}", hub.output());
    }
    let (cost, metered) = (meter.end()?, began.elapsed().as_secs_f64());
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let acknowledged =
        told["acknowledged"].as_u64().context("the edges say nothing of what was acknowledged")?;
    // Reading the log also loads the hub, so first wait for what it has to do.
    let caught_up = caught_up(&hub)?;
    let kept = kept(&hub)?;
    let rate = acknowledged as f64 / told["seconds"].as_f64().unwrap_or(f64::NAN);
    Ok(json!({
        "told": told,
        "events_per_second": rate,
        "lost": acknowledged.saturating_sub(kept),
        "hub_cpu_ms_per_second": cost.cpu_ms_per_second,
        "hub_cpu_us_of_an_event": cost.cpu_ms_per_second * metered * 1e3 / acknowledged as f64,
        "hub_resident_kib": cost.resident_kib,
        "incidents_built_seconds_after_the_last_event": caught_up,
    }))
}

/// How long it takes until an anomaly that is told now is in an incident: all that was told before is, too.
fn caught_up(hub: &Agent) -> Result<f64> {
    let began = Instant::now();
    // Long before the others: an incident of its own. In theirs, the latest of too many anomalies are not listed.
    let then = cargo::output(Command::new("date").args(["-u", "-d", "30 minutes ago", "+%FT%T.%3NZ"]))?;
    let (then, component) = (then.trim(), "service/bench/last");
    let anomaly = json!({
        "id": "00000000000000ff", "component": component, "kind": "deviation", "onset": then, "opened": then,
        "last_seen": then, "score": 3.0, "peak": 3.0, "alerted": true, "metrics": [],
    });
    let event = json!({
        "specversion": "1.0", "id": "last", "source": "/larnax/edge/last", "type": "io.larnax.anomaly.opened.v1",
        "subject": component, "time": then, "datacontenttype": "application/json",
        "data": {
            "transition": "opened", "sequence": 0, "anomaly": anomaly,
            "component": {"id": component, "group": "", "labels": {}},
        },
    });
    let answer = larnax_test_peers::post_event(hub.address(), "/api/v1/events", &event.to_string())?;
    if answer.status != 200 {
        bail!("the last event was answered {}: {}", answer.status, answer.body);
    }
    while began.elapsed() < CATCH_UP {
        let incidents = hub.json("/api/v1/incidents?state=open&limit=1000");
        let incidents = incidents.as_array().map_or(&[][..], Vec::as_slice);
        let mut anomalies =
            incidents.iter().flat_map(|one| one["anomalies"].as_array().into_iter().flatten());
        if anomalies.any(|anomaly| anomaly["component"] == component) {
            return Ok(began.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the last anomaly was in no incident {} s after it was told", CATCH_UP.as_secs())
}

/// How many different anomaly events the log has.
fn kept(hub: &Agent) -> Result<u64> {
    let (mut ids, mut after) = (HashSet::new(), 0);
    loop {
        let batch = hub.json(&format!("/api/v1/events?after={after}&limit=1000"));
        let events = batch["events"].as_array().context("the log's answer has no events")?;
        if events.is_empty() {
            return Ok(ids.len() as u64);
        }
        let told = events.iter().map(|logged| &logged["event"]);
        let anomalies = told.filter(|event| event["data"]["component"]["group"] == "bench");
        ids.extend(anomalies.map(|event| event["id"].to_string()));
        after = batch["next"].as_u64().context("the log's answer has no `next`")?;
    }
}

/// The results as Markdown.
fn table(result: &Value) -> String {
    let mut text = String::from(
        "\n| edges | events/s told | taken | lost | ms until acknowledged, median / 99 % | CPU µs an event | CPU ms/s \
         | resident MiB | incidents after s |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in result["rows"].as_array().into_iter().flatten() {
        let told = &row["told"];
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} / {} | {} | {} | {} | {} |",
            told["edges"],
            told["rate"]
                .as_u64()
                .filter(|rate| *rate > 0)
                .map_or("all it takes".to_owned(), |rate| rate.to_string()),
            report::number(&row["events_per_second"], 1.0, 0),
            row["lost"],
            report::number(&told["wait_ms_median"], 1.0, 0),
            report::number(&told["wait_ms_99"], 1.0, 0),
            report::number(&row["hub_cpu_us_of_an_event"], 1.0, 0),
            report::number(&row["hub_cpu_ms_per_second"], 1.0, 0),
            report::number(&row["hub_resident_kib"], 1024.0, 0),
            report::number(&row["incidents_built_seconds_after_the_last_event"], 1.0, 1),
        );
    }
    text
}
