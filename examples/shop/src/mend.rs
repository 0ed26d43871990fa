//! What mends the shop: each remedy ends the faults that it would end in the real world, and costs what it costs there.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Fault, Service, ShopError};

/// How long a service is away that a remedy starts again: what runs in production seldom starts sooner. The decoy `restart` is a
/// deploy that takes care, and is away for some milliseconds only.
pub(crate) const AWAY: Duration = Duration::from_secs(1);
/// How long a change of routes is felt.
pub(crate) const ROUTES_CHANGE: Duration = Duration::from_millis(500);

/// Something that may mend a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// The service is started again: ends what lives in its process.
    Restart,
    /// The service's temporary folder is emptied.
    CleanUp,
    /// The service's messages take another way.
    Reroute,
    /// The service's release before the present one is started.
    RollBack,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Restart, Self::CleanUp, Self::Reroute, Self::RollBack];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::CleanUp => "clean-up",
            Self::Reroute => "reroute",
            Self::RollBack => "roll-back",
        }
    }

    /// What it does, in a line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Restart => "starts the service again",
            Self::CleanUp => "empties the temporary folder of the service",
            Self::Reroute => "sends the messages of the service another way",
            Self::RollBack => "starts the release before the present one",
        }
    }

    /// Whether a fault is over after it. Going back to another release starts a process too, and so also ends what lives in one.
    pub fn ends(self, fault: Fault) -> bool {
        let meant = fault.remedy();
        meant == self || (self == Self::RollBack && meant == Self::Restart)
    }

    /// Whether the service is away for a moment.
    pub(crate) const fn starts_again(self) -> bool {
        matches!(self, Self::Restart | Self::RollBack)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Remedy {
    type Err = ShopError;

    fn from_str(text: &str) -> Result<Self, ShopError> {
        Self::ALL.into_iter().find(|remedy| remedy.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            ShopError::Order(format!("there is no remedy `{text}`: expected one of {names}"))
        })
    }
}

/// A remedy that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mended {
    /// What was mended.
    pub service: Service,
    /// How.
    pub remedy: Remedy,
    /// What it ended; empty where there was nothing that it ends.
    pub ended: Vec<Fault>,
}

impl fmt::Display for Mended {
    /// A sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.remedy {
            Remedy::Restart => "was started again",
            Remedy::CleanUp => "has an empty temporary folder",
            Remedy::Reroute => "has its messages sent another way",
            Remedy::RollBack => "runs the release before",
        };
        let ended: Vec<&str> = self.ended.iter().map(|fault| fault.name()).collect();
        let ended = if ended.is_empty() { "nothing".to_owned() } else { ended.join(", ") };
        write!(f, "{} {done}; this ended {ended}.", self.service)
    }
}

/// An order to a service.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mend {
    pub(crate) remedy: Remedy,
}

/// What a service says of [`Mend`], before it is started again where that is a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) ended: Vec<Fault>,
    /// How often it had been started again by then.
    pub(crate) restarts: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_one_remedy_and_a_roll_back_restarts_too() {
        for fault in Fault::ALL {
            let ends: Vec<Remedy> = Remedy::ALL.into_iter().filter(|remedy| remedy.ends(fault)).collect();
            match fault.remedy() {
                Remedy::Restart => assert_eq!(ends, [Remedy::Restart, Remedy::RollBack], "{fault}"),
                remedy => assert_eq!(ends, [remedy], "{fault}"),
            }
        }
        for remedy in Remedy::ALL {
            assert!(Fault::ALL.into_iter().any(|fault| fault.remedy() == remedy), "{remedy}");
        }
    }

    #[test]
    fn a_remedy_is_read_as_it_is_written() {
        for remedy in Remedy::ALL {
            assert_eq!(remedy.name().parse::<Remedy>().unwrap(), remedy);
            assert_eq!(serde_json::to_string(&remedy).unwrap(), format!("\"{remedy}\""));
        }
        let wrong = "prayer".parse::<Remedy>().unwrap_err().to_string();
        assert!(
            wrong.contains("`prayer`") && wrong.contains("restart, clean-up, reroute, roll-back"),
            "{wrong}"
        );
    }

    #[test]
    fn what_was_mended_is_said_in_a_sentence() {
        let mended = |remedy, ended| Mended { service: Service::Pay, remedy, ended }.to_string();
        assert_eq!(
            mended(Remedy::Restart, vec![Fault::CpuHog, Fault::Stop]),
            "pay was started again; this ended cpu-hog, stop."
        );
        assert_eq!(
            mended(Remedy::CleanUp, Vec::new()),
            "pay has an empty temporary folder; this ended nothing."
        );
    }
}
