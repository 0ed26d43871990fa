//! What looks odd and is nothing: whoever alerts on it has cried wolf.

use std::fmt;
use std::str::FromStr;

use crate::{Service, ShopError};

/// How long a spike of cpu lasts, in seconds.
pub(crate) const SPIKE_SECONDS: f64 = 1.0;
/// So many times the usual traffic, in a step.
pub(crate) const STEP: f64 = 1.3;

/// A harmless change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decoy {
    /// A third more customers for a time.
    TrafficStep,
    /// A healthy service is started again, as by a deploy.
    Restart,
    /// A second of busy cpu.
    CpuSpike,
}

impl Decoy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TrafficStep, Self::Restart, Self::CpuSpike];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrafficStep => "traffic-step",
            Self::Restart => "restart",
            Self::CpuSpike => "cpu-spike",
        }
    }

    /// What it does, in a line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::TrafficStep => "1.3 times the usual customers, for the time of --for",
            Self::Restart => "starts a healthy service again, as a deploy does",
            Self::CpuSpike => "one second of busy cpu",
        }
    }

    /// The service that has it if nothing is said; none for what is about all.
    pub const fn usual_place(self) -> Option<Service> {
        match self {
            Self::TrafficStep => None,
            Self::Restart => Some(Service::Pay),
            Self::CpuSpike => Some(Service::Web),
        }
    }
}

impl fmt::Display for Decoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Decoy {
    type Err = ShopError;

    fn from_str(text: &str) -> Result<Self, ShopError> {
        Self::ALL.into_iter().find(|decoy| decoy.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            ShopError::Order(format!("there is no decoy `{text}`: expected one of {names}"))
        })
    }
}
