//! `cargo xtask bench network`: what watching an application costs the network between the nodes of a real cluster, and what it costs
//! the nodes: the evaluation of the Deucalion paper (figures 4 to 6), with the tiers of Larnax.

mod alerts;
mod case;
mod larnax;
mod picture;
mod pods;
mod prometheus;
mod shop;
mod table;
mod throughput;
mod window;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use larnax_test_kubernetes::{Programs, build};
use larnax_test_peers::{Peer, Peers, fetch};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};

use super::{machine, report};
use crate::{cargo, images, peers};
use case::Case;

/// The node where nothing of the application is: what is there once for all, is there.
const OPERATIONS: &str = "node-0";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    cases: Vec<Case>,
    /// How long the application and who watches it run before anything is measured.
    settle: Duration,
    /// How long is measured, at each rate of alerts.
    window: Duration,
    /// How often metrics are collected, by whoever does it.
    interval: String,
    /// Whether something is broken, too.
    alerts: bool,
    /// Whether it is measured how many requests are answered at most.
    load: bool,
    /// Only to see that it works.
    quick: bool,
}

impl Options {
    /// Reads the arguments after `bench network`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options {
            cases: Case::ALL.to_vec(),
            settle: Duration::from_secs(60),
            window: Duration::from_secs(180),
            interval: "5s".to_owned(),
            alerts: true,
            load: true,
            quick: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("cases") => {
                    let names = arguments.value()?.string()?;
                    options.cases = names.split(',').map(str::parse).collect::<Result<_>>()?;
                }
                Arg::Long("minutes") => {
                    let minutes: f64 = arguments.value()?.parse()?;
                    options.window = Duration::try_from_secs_f64(60.0 * minutes)?;
                }
                Arg::Long("settle") => options.settle = Duration::from_secs(arguments.value()?.parse()?),
                Arg::Long("interval") => options.interval = arguments.value()?.string()?,
                Arg::Long("no-alerts") => options.alerts = false,
                Arg::Long("no-load") => options.load = false,
                Arg::Long("quick") => options.quick = true,
                other => return Err(other.unexpected().into()),
            }
        }
        if options.quick {
            (options.settle, options.window) = (Duration::from_secs(20), Duration::from_secs(30));
        }
        if options.window < Duration::from_secs(10) {
            bail!("--minutes: found less than ten seconds, in which nothing is measured");
        }
        Ok(options)
    }

    /// Whether all of it is measured, and worth to be kept.
    fn is_whole(&self) -> bool {
        self.cases == Case::ALL && self.alerts && self.load && !self.quick
    }
}

/// What a cluster is given.
struct Given {
    /// The folder of Larnax's images.
    images: PathBuf,
    /// The archive of that of Prometheus.
    prometheus: PathBuf,
}

/// Measures, prints the tables, and keeps the raw results.
pub(crate) fn run(options: &Options) -> Result<()> {
    let given = prepare()?;
    let mut result = json!({
        "date": machine::today()?,
        "machine": machine::describe()?,
        "settle_seconds": options.settle.as_secs(),
        "window_seconds": options.window.as_secs(),
        "interval": options.interval,
        "rows": [],
    });
    let folder = if options.is_whole() { report::folder() } else { cargo::target().join("bench") };
    let mut failed = Vec::new();
    for case in &options.cases {
        // What a cluster's test support can't go on with is a panic. The figures of the other cases are worth something all the same.
        match catch_unwind(AssertUnwindSafe(|| case.measure(&given, options))) {
            Ok(Ok(rows)) => {
                if let Some(all) = result["rows"].as_array_mut() {
                    all.extend(rows);
                }
                report::keep(&folder, &result, "network")?;
            }
            Ok(Err(error)) => failed.push(format!("{case}: {error:#}")),
            Err(_) => failed.push(format!("{case}: the cluster failed, see above")),
        }
    }
    if let Some(svg) = picture::draw(&result) {
        let folder = if options.is_whole() { report::pictures() } else { folder };
        report::picture(&folder, "network", &svg)?;
    }
    print!("{}", table::tables(&result));
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// Makes what the clusters need: minutes, the first time.
fn prepare() -> Result<Given> {
    if let Some(lack) = larnax_test_kubernetes::lacks() {
        bail!("no cluster can be built: {lack}");
    }
    let needed: Vec<Peer> = Programs::PEERS.into_iter().chain([Peer::Prometheus]).collect();
    for (package, fetched) in fetch(&needed, &peers::folder())? {
        fetched.with_context(|| format!("{package} can't be had"))?;
    }
    build().context("Kubernetes can't be built")?;
    let own = cargo::target().join("images");
    std::fs::create_dir_all(&own)?;
    let images = match std::env::var_os("LARNAX_IMAGES") {
        Some(folder) => PathBuf::from(folder),
        None => {
            images::make(&own, images::Form::Native).context("the images can't be made")?;
            own.clone()
        }
    };
    let prometheus = prometheus::archive(&own);
    prometheus::image(&Peers::under(&peers::folder()), &prometheus)?;
    Ok(Given { images, prometheus })
}

/// A list in a result.
fn list<'a>(result: &'a Value, name: &str) -> &'a [Value] {
    result[name].as_array().map_or(&[], Vec::as_slice)
}
