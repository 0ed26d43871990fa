//! How much there is to tell.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use larnax_shop::{Fault, Service};
use larnax_test_kubernetes::Cluster;

use super::shop;

/// How often something breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// Never.
    Zero,
    /// Once, for a minute.
    Realistic,
    /// All the time, and in every service.
    Storm,
}

const ONCE: (Service, Fault) = (Service::Stock, Fault::Latency);
const STORM: [(Service, Fault); 4] = [
    (Service::Pay, Fault::ErrorRate),
    (Service::Stock, Fault::Latency),
    (Service::Orders, Fault::MemoryLeak),
    (Service::Web, Fault::LinkDelay),
];
/// The storm's next fault comes after so long, and stays three times as long.
const NEXT: Duration = Duration::from_secs(15);

impl Rate {
    pub(super) const ALL: [Rate; 3] = [Rate::Zero, Rate::Realistic, Rate::Storm];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Rate::Zero => "zero",
            Rate::Realistic => "realistic",
            Rate::Storm => "storm",
        }
    }

    /// Breaks what is to break in this time, and returns when it is over.
    pub(super) fn run(self, cluster: &Cluster, time: Duration) -> Result<()> {
        let began = Instant::now();
        match self {
            Rate::Zero => {}
            Rate::Realistic => {
                shop::inject(cluster, ONCE.0, ONCE.1, (time / 3).min(Duration::from_secs(60)))?
            }
            Rate::Storm => {
                for (service, fault) in STORM.into_iter().cycle() {
                    let left = time.saturating_sub(began.elapsed());
                    if left < NEXT {
                        break;
                    }
                    shop::inject(cluster, service, fault, (3 * NEXT).min(left))?;
                    sleep(NEXT);
                }
            }
        }
        sleep(time.saturating_sub(began.elapsed()));
        Ok(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
