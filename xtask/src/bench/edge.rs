//! `cargo xtask bench edge`: what `larnax-edge` costs, beside the scrapers that a user would pick instead.
//!
//! Phase by phase (one per interval, then the host) all subjects run at the same time, each against a
//! node_exporter of its own, so that the exporter's cost can be told apart and a noisy neighbour is felt by
//! all alike.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use larnax_test_peers::{NodeExporter, Peer, Peers, fetch};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::meter::{Cost, Meter};
use super::subject::{Subject, series};
use super::{machine, report};
use crate::cargo::{self, cargo};
use crate::{peers, size};

/// The interval of the host phase: the finest that the host source promises.
const HOST_INTERVAL: &str = "100ms";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// How long is measured.
    window: Duration,
    /// How long everything runs before: start-up and the first scrapes, which build the schema, are not what
    /// an agent costs day by day.
    settle: Duration,
    /// Scrape intervals, such as `5s`.
    intervals: Vec<String>,
    host: bool,
    cold_build: bool,
}

impl Options {
    /// Reads the arguments after `bench edge`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options {
            window: Duration::from_secs(120),
            settle: Duration::from_secs(45),
            intervals: Vec::new(),
            host: true,
            cold_build: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("seconds") => options.window = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("settle") => options.settle = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("interval") => options.intervals.push(arguments.value()?.string()?),
                Arg::Long("no-host") => options.host = false,
                Arg::Long("cold-build") => options.cold_build = true,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.window.is_zero() {
            bail!("--seconds 0 measures nothing; give at least 1");
        }
        if options.intervals.is_empty() {
            options.intervals = ["5s", "1s", "15s"].map(str::to_owned).to_vec();
        }
        Ok(options)
    }
}

/// Measures, prints the table and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    for (package, fetched) in fetch(&Peer::OF_BENCH, &peers::folder())? {
        fetched.map_err(|error| error.context(format!("the bench compares with {package}")))?;
    }
    let peers = Peers::under(&peers::folder());
    let machine = machine::describe()?;
    let mut sizes = serde_json::Map::new();
    for program in size::PROGRAMS {
        sizes.insert(program.to_owned(), size::stripped(program)?.into());
    }
    let mut rows = Vec::new();
    for interval in &options.intervals {
        let runs = vec![
            Run::scraping(&peers, interval, |exporter| Subject::edge(Some(exporter), interval))?,
            Run::scraping(&peers, interval, |exporter| Ok(Subject::prometheus(&peers, exporter, interval)))?,
            Run::scraping(&peers, interval, |exporter| Subject::vmagent(&peers, exporter, interval))?,
        ];
        rows.extend(measure(runs, options)?);
    }
    if options.host {
        let host = Run {
            subject: Subject::edge(None, HOST_INTERVAL)?,
            exporter: None,
            interval: HOST_INTERVAL.to_owned(),
        };
        rows.extend(measure(vec![host], options)?);
    }
    let mut result = json!({
        "date": machine::today()?,
        "machine": machine,
        "settle_seconds": options.settle.as_secs(),
        "window_seconds": options.window.as_secs(),
        "stripped_bytes": sizes,
        "rows": rows,
    });
    if options.cold_build {
        result["cold_build_seconds"] = cold_build()?.into();
    }
    report::keep(&report::folder(), &result, "edge")?;
    print!("{}", report::table(&result));
    Ok(())
}

/// One subject at work.
struct Run {
    subject: Subject,
    exporter: Option<NodeExporter>,
    interval: String,
}

impl Run {
    fn scraping(
        peers: &Peers,
        interval: &str,
        subject: impl FnOnce(&NodeExporter) -> Result<Subject>,
    ) -> Result<Run> {
        let exporter = NodeExporter::start(peers);
        Ok(Run { subject: subject(&exporter)?, exporter: Some(exporter), interval: interval.to_owned() })
    }
}

/// What is known of a run when its window begins.
struct Begun {
    subject: Meter,
    exporter: Option<Meter>,
    sent: u64,
    judged: Option<(u64, u64)>,
}

/// Lets the runs settle, measures them over one window and returns a row for each.
fn measure(runs: Vec<Run>, options: &Options) -> Result<Vec<Value>> {
    let interval = runs.first().map_or("", |run| run.interval.as_str());
    eprintln!("{interval}: settling for {:?}, then measuring for {:?}", options.settle, options.window);
    sleep(options.settle);
    let begun = runs.iter().map(|run| {
        let judged = run.subject.judged()?;
        let exporter = run.exporter.as_ref().map(|exporter| Meter::begin(exporter.pid())).transpose()?;
        Ok(Begun {
            subject: Meter::begin(run.subject.pid())?,
            exporter,
            sent: run.subject.sent_bytes(),
            judged,
        })
    });
    let begun: Vec<Begun> = begun.collect::<Result<_>>()?;
    sleep(options.window);
    // All meters first: what is asked of a subject afterwards costs it CPU that is not its job's.
    let ends = begun
        .iter()
        .map(|begun| Ok((begun.subject.end()?, begun.exporter.as_ref().map(Meter::end).transpose()?)));
    let costs: Vec<(Cost, Option<Cost>)> = ends.collect::<Result<_>>()?;
    let rows = runs.iter().zip(begun).zip(costs).map(|((run, begun), (cost, exporter))| {
        let window = options.window.as_secs_f64();
        let sent = (run.subject.sent_bytes() - begun.sent) as f64;
        let mut row = json!({
            "program": run.subject.name()?,
            "source": if run.exporter.is_some() { "node_exporter" } else { "host" },
            "interval": run.interval,
            "cpu_ms_per_second": cost.cpu_ms_per_second,
            "resident_kib": cost.resident_kib,
            "proportional_kib": cost.proportional_kib,
            "sent_bytes_per_second": sent / window,
        });
        if let Some(exporter) = &run.exporter {
            row["series"] = series(exporter)?.into();
        }
        if let Some(exporter) = exporter {
            row["exporter_cpu_ms_per_second"] = exporter.cpu_ms_per_second.into();
        }
        if let (Some((metrics, samples)), Some((_, before))) = (run.subject.judged()?, begun.judged) {
            if samples == before {
                bail!("larnax-edge judged nothing in the window, so its cost says nothing");
            }
            row["metrics"] = metrics.into();
            row["samples_judged"] = (samples - before).into();
        }
        Ok(row)
    });
    rows.collect()
}

/// How long `cargo build --release` takes a new user, in seconds, downloads left out.
fn cold_build() -> Result<f64> {
    let folder = tempfile::tempdir_in(cargo::target())?;
    cargo::run(&mut cargo(&["fetch"]))?;
    let started = Instant::now();
    cargo::run(cargo(&["build", "--release"]).env("CARGO_TARGET_DIR", folder.path()))?;
    Ok(started.elapsed().as_secs_f64())
}
