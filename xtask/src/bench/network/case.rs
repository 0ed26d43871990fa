//! Who watches the application in a cluster of its own, from its start to its end.

use std::fmt;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};
use larnax_test_kubernetes::Cluster;
use serde_json::Value;

use super::alerts::Rate;
use super::larnax::{self, Tier};
use super::window::Window;
use super::wire::Wire;
use super::{Given, Options, prometheus, shop, throughput};

/// How long agents learn before something is broken: nothing is judged before 60 rows, and a minute later the hub takes what was learnt, for
/// others that begin.
const LEARN: Duration = Duration::from_secs(420);
/// Throughput is measured so often, so long.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(10);

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Nobody.
    None,
    /// A Prometheus for all.
    Central,
    /// A Prometheus on each node, and one that asks these.
    Federated,
    /// Larnax.
    Larnax(Tier),
}

impl Case {
    pub(super) const ALL: [Case; 6] = [
        Case::None,
        Case::Central,
        Case::Federated,
        Case::Larnax(Tier::Sidecar),
        Case::Larnax(Tier::Node),
        Case::Larnax(Tier::Federation),
    ];

    const fn name(self) -> &'static str {
        match self {
            Case::None => "none",
            Case::Central => "central",
            Case::Federated => "federated",
            Case::Larnax(Tier::Sidecar) => "sidecar",
            Case::Larnax(Tier::Node) => "node",
            Case::Larnax(Tier::Federation) => "federation",
        }
    }

    /// A row for each rate of alerts; the first one also has the throughput.
    pub(super) fn measure(self, given: &Given, options: &Options) -> Result<Vec<Value>> {
        eprintln!("{self}: a cluster with three nodes");
        let cluster = Cluster::with_nodes(3).context("there are no nodes: see above")?;
        // The application's, too.
        cluster.import(&given.images.join("larnax.tar"));
        if let Case::Larnax(tier) = self {
            larnax::install(&cluster, tier, &given.images, &options.interval);
        }
        let begun = Instant::now();
        shop::open(&cluster, self == Case::Larnax(Tier::Sidecar))?;
        match self {
            Case::None => {}
            Case::Central | Case::Federated => {
                cluster.import(&given.prometheus);
                prometheus::install(&cluster, self == Case::Federated, &options.interval)?;
            }
            Case::Larnax(tier) => {
                if tier == Tier::Federation {
                    larnax::federate(&cluster);
                }
                larnax::connected(&cluster, tier)?;
            }
        }
        let wire = Wire::start()?;
        sleep(options.settle);
        let mut rows = Vec::new();
        for rate in self.rates(options) {
            if *rate != Rate::Zero {
                sleep(LEARN.saturating_sub(begun.elapsed()));
            }
            eprintln!("{self}, alerts: {rate}");
            let incidents = self.incidents(&cluster);
            let window = Window::begin(&cluster, &wire)?;
            rate.run(&cluster, options.window)?;
            let mut row = window.end(&cluster, &wire)?;
            row["case"] = self.name().into();
            row["alerts"] = rate.name().into();
            row["incidents"] = (self.incidents(&cluster) - incidents).into();
            let watching = row["bytes_per_second"]["watching"].as_f64().unwrap_or_default();
            eprintln!("{watching:.0} B/s for watching");
            rows.push(row);
        }
        if options.load {
            eprintln!("{self}: as many requests as are answered");
            let rounds = throughput::measure(shop::web(&cluster)?, ROUND, ROUNDS)?;
            if let Some(row) = rows.first_mut() {
                row["requests_per_second"] = rounds.into();
            }
        }
        Ok(rows)
    }

    /// Opened until now.
    fn incidents(self, cluster: &Cluster) -> usize {
        if let Case::Larnax(_) = self { larnax::incidents(cluster) } else { 0 }
    }

    /// What a Prometheus sends doesn't depend on it.
    fn rates(self, options: &Options) -> &'static [Rate] {
        match self {
            Case::Larnax(_) if options.alerts => &Rate::ALL,
            _ => &[Rate::Zero],
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Case {
    type Err = Error;

    fn from_str(text: &str) -> Result<Case> {
        let Some(case) = Case::ALL.into_iter().find(|case| case.name() == text) else {
            bail!("no case `{text}`: expected {}", Case::ALL.map(Case::name).join(", "));
        };
        Ok(case)
    }
}
