//! What can be broken, how much and for how long.

mod effects;
mod keeper;
mod run;

pub(crate) use effects::{Effects, Presence, Switch};
pub(crate) use keeper::{Keeper, Kept};

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Remedy, Service, ShopError};

/// The shortest fault, in seconds.
const LEAST_SECONDS: f64 = 0.1;
/// The longest fault, in seconds: long enough to be found, short enough to be forgotten.
const MOST_SECONDS: f64 = 600.0;

/// Something that goes wrong in one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Burns cpu.
    CpuHog,
    /// Burns more and more cpu.
    CpuLeak,
    /// Takes more and more memory.
    MemoryLeak,
    /// Starts many short-lived processes.
    ForkFlood,
    /// Writes a growing file into the service's temporary folder.
    DiskFill,
    /// Opens more and more files.
    FileLeak,
    /// Answers late.
    Latency,
    /// Answers with status 500.
    ErrorRate,
    /// Every message from and to the service comes late.
    LinkDelay,
    /// Messages from and to the service are lost and sent again.
    LinkLoss,
    /// Refuses connections, as a service that was stopped.
    Stop,
    /// Takes connections and answers nothing, as a service that got SIGSTOP.
    Freeze,
    /// Its calls to one other service take long.
    SlowDependency,
}

/// How strong a fault can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// What the number means.
    pub unit: &'static str,
    /// If nothing is said.
    pub default: f64,
    /// The bound.
    pub most: f64,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::CpuHog,
        Self::CpuLeak,
        Self::MemoryLeak,
        Self::ForkFlood,
        Self::DiskFill,
        Self::FileLeak,
        Self::Latency,
        Self::ErrorRate,
        Self::LinkDelay,
        Self::LinkLoss,
        Self::Stop,
        Self::Freeze,
        Self::SlowDependency,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuHog => "cpu-hog",
            Self::CpuLeak => "cpu-leak",
            Self::MemoryLeak => "memory-leak",
            Self::ForkFlood => "fork-flood",
            Self::DiskFill => "disk-fill",
            Self::FileLeak => "file-leak",
            Self::Latency => "latency",
            Self::ErrorRate => "error-rate",
            Self::LinkDelay => "link-delay",
            Self::LinkLoss => "link-loss",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::SlowDependency => "slow-dependency",
        }
    }

    /// What it does, in a line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::CpuHog => "burns cpu",
            Self::CpuLeak => "burns more and more cpu",
            Self::MemoryLeak => "takes more and more memory",
            Self::ForkFlood => "starts many short-lived processes",
            Self::DiskFill => "writes a growing file into its temporary folder",
            Self::FileLeak => "opens more and more files",
            Self::Latency => "answers late",
            Self::ErrorRate => "answers with status 500",
            Self::LinkDelay => "its messages come late (delayed by the service itself, not by the kernel)",
            Self::LinkLoss => "its messages are lost and sent again (likewise)",
            Self::Stop => "refuses connections, as when it was stopped",
            Self::Freeze => "takes connections and answers nothing, as after SIGSTOP",
            Self::SlowDependency => "its calls to one service (--to) take long",
        }
    }

    /// How strong it can be; none where there is nothing to choose.
    pub const fn strength(self) -> Option<Strength> {
        let (unit, default, most) = match self {
            Self::CpuHog => ("of a core", 0.9, 1.0),
            Self::CpuLeak => ("of a core in the end", 0.9, 1.0),
            Self::MemoryLeak => ("MiB in the end", 64.0, 512.0),
            Self::ForkFlood => ("processes a second", 20.0, 50.0),
            Self::DiskFill => ("MiB in the end", 64.0, 1024.0),
            Self::FileLeak => ("files in the end", 200.0, 800.0),
            Self::Latency => ("ms", 150.0, 10_000.0),
            Self::ErrorRate => ("of the requests", 0.3, 1.0),
            Self::LinkDelay => ("ms each way", 60.0, 2_000.0),
            Self::LinkLoss => ("of the messages", 0.1, 0.9),
            Self::SlowDependency => ("ms", 200.0, 10_000.0),
            Self::Stop | Self::Freeze => return None,
        };
        Some(Strength { unit, default, most })
    }

    /// What is meant to end it.
    pub const fn remedy(self) -> Remedy {
        match self {
            // What lives in the process.
            Self::CpuHog
            | Self::CpuLeak
            | Self::MemoryLeak
            | Self::ForkFlood
            | Self::FileLeak
            | Self::Stop
            | Self::Freeze => Remedy::Restart,
            Self::DiskFill => Remedy::CleanUp,
            // A slow dependency is a slow way to one callee.
            Self::LinkDelay | Self::LinkLoss | Self::SlowDependency => Remedy::Reroute,
            // A bad release: the same one is as bad when it is started again.
            Self::Latency | Self::ErrorRate => Remedy::RollBack,
        }
    }

    /// The service that has it if nothing is said.
    pub const fn usual_place(self) -> Service {
        match self {
            Self::CpuHog | Self::LinkDelay | Self::LinkLoss | Self::SlowDependency => Service::Orders,
            Self::CpuLeak | Self::ForkFlood | Self::ErrorRate => Service::Pay,
            _ => Service::Stock,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = ShopError;

    fn from_str(text: &str) -> Result<Self, ShopError> {
        Self::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            ShopError::Order(format!("there is no fault `{text}`: expected one of {names}"))
        })
    }
}

/// A fault that somebody wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Which.
    pub fault: Fault,
    /// For how long, in seconds: 0.1 to 600.
    pub seconds: f64,
    /// How strong, in the fault's unit; none for its default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// For [`Fault::SlowDependency`]: calls to whom; none where there is only one, or for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Service>,
}

/// A fault as it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Active {
    /// Which.
    pub fault: Fault,
    /// How strong, in the fault's unit; 0 where there is nothing to choose.
    pub strength: f64,
    /// Whose answers come late, for [`Fault::SlowDependency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Service>,
    /// When it ends, in seconds from now.
    pub ends_in: f64,
}

/// An order that was checked for a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) fault: Fault,
    pub(crate) time: Duration,
    pub(crate) strength: f64,
    pub(crate) to: Option<Service>,
}

impl Order {
    /// One of its default strength.
    pub fn new(fault: Fault, seconds: f64) -> Self {
        Self { fault, seconds, strength: None, to: None }
    }

    /// Whether `service` can have it.
    ///
    /// # Errors
    /// [`ShopError::Order`] with what was found and what was expected.
    pub(crate) fn check(&self, service: Service) -> Result<Checked, ShopError> {
        let (fault, seconds) = (self.fault, self.seconds);
        if !(LEAST_SECONDS..=MOST_SECONDS).contains(&seconds) {
            return Err(ShopError::Order(format!(
                "{fault}: found a time of {seconds} s, expected {LEAST_SECONDS} s to {MOST_SECONDS} s"
            )));
        }
        let strength = match (fault.strength(), self.strength) {
            (None, None) => 0.0,
            (None, Some(_)) => {
                return Err(ShopError::Order(format!("{fault} has no strength: leave it out")));
            }
            (Some(known), given) => {
                let strength = given.unwrap_or(known.default);
                if !(strength > 0.0 && strength <= known.most) {
                    return Err(ShopError::Order(format!(
                        "{fault}: found a strength of {strength}, expected above 0 and at most {} {}",
                        known.most, known.unit
                    )));
                }
                strength
            }
        };
        let to = match (fault, self.to) {
            (Fault::SlowDependency, to) => {
                let calls = service.calls();
                let callee = to.or_else(|| calls.last().copied()).filter(|callee| calls.contains(callee));
                Some(callee.ok_or_else(|| nothing_called(service, to, &calls))?)
            }
            (_, Some(_)) => return Err(ShopError::Order(format!("{fault} has no --to: leave it out"))),
            (_, None) => None,
        };
        Ok(Checked { fault, time: Duration::from_secs_f64(seconds), strength, to })
    }
}

fn nothing_called(service: Service, to: Option<Service>, calls: &[Service]) -> ShopError {
    let names: Vec<&str> = calls.iter().map(|callee| callee.name()).collect();
    ShopError::Order(match to {
        _ if calls.is_empty() => {
            format!("slow-dependency: {service} calls nobody; try --on web or --on orders")
        }
        Some(to) => format!("slow-dependency: {service} does not call {to}: expected {}", names.join(" or ")),
        None => format!("slow-dependency: expected --to {}", names.join(" or ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_it_is_written_and_its_usual_place_can_have_it() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
            assert_eq!(serde_json::to_string(&fault).unwrap(), format!("\"{fault}\""));
            Order::new(fault, 60.0).check(fault.usual_place()).unwrap();
        }
        assert!("rust".parse::<Fault>().unwrap_err().to_string().contains("cpu-hog, cpu-leak"));
    }

    #[test]
    fn an_order_beyond_its_bounds_says_what_was_expected() {
        let order = |fault, seconds, strength, to| Order { fault, seconds, strength, to };
        let cases = [
            (order(Fault::Latency, 0.0, None, None), "a time of 0 s"),
            (order(Fault::Latency, 601.0, None, None), "0.1 s to 600 s"),
            (order(Fault::Latency, f64::NAN, None, None), "a time of NaN"),
            (order(Fault::CpuHog, 1.0, Some(2.0), None), "at most 1 of a core"),
            (order(Fault::CpuHog, 1.0, Some(-1.0), None), "above 0"),
            (order(Fault::DiskFill, 1.0, Some(f64::NAN), None), "a strength of NaN"),
            (order(Fault::Stop, 1.0, Some(1.0), None), "no strength"),
            (order(Fault::Latency, 1.0, None, Some(Service::Pay)), "no --to"),
            (order(Fault::SlowDependency, 1.0, None, Some(Service::Web)), "does not call web"),
        ];
        for (order, says) in cases {
            let error = order.check(Service::Orders).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let error = Order::new(Fault::SlowDependency, 1.0).check(Service::Pay).unwrap_err().to_string();
        assert!(error.contains("calls nobody"), "{error}");
    }
}
