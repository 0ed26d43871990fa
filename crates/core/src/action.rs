//! Actions: changes to the world that are on offer, and the orders to make them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plan::PlanId;
use crate::{ComponentId, Timestamp};

/// What an action may do to those who use its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Risk {
    /// Nobody notices it.
    Safe,
    /// Somebody may: a restart.
    Disruptive,
    /// It can't be taken back: something is lost.
    Destructive,
}

impl Risk {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Disruptive => "disruptive",
            Self::Destructive => "destructive",
        }
    }
}

/// What Larnax does about incidents of some components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Mode {
    /// It says what it would do.
    #[default]
    Observe,
    /// It asks, and does what a person approves.
    Ask,
    /// It does what it is sure of, and asks for the rest.
    Act,
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Ask => "ask",
            Self::Act => "act",
        }
    }
}

/// A text in which `*` stands for any number of characters, as in `service/shop/*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

/// Why a text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "found `{found}`, expected 1 to {MAX_GLOB} characters without control characters; `*` stands for any number of them"
)]
pub struct GlobError {
    found: String,
}

/// The longest glob, in characters.
const MAX_GLOB: usize = 512;

impl Glob {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for everything.
    pub fn is_everything(&self) -> bool {
        self.0.chars().all(|c| c == '*' || c == '/')
    }

    /// Whether the whole text is what it stands for.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        for part in parts {
            // The first place is as good as any: what comes after it is only longer.
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let length = text.chars().count();
        if (1..=MAX_GLOB).contains(&length) && !text.chars().any(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(GlobError { found: text.chars().take(40).filter(|c| !c.is_control()).collect() })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An action that can be done where it is offered. How it is done is known there and nowhere else: a hub that somebody has taken over
/// can order what is offered, and nothing more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// Its name in the catalogue.
    pub action: String,
    /// What it does, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The components that it can be done to, as `service/shop/*`.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub on: Vec<Glob>,
    /// It is recommended for incidents of these patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub patterns: Vec<Glob>,
    /// It is recommended where one of these metrics of the cause is among the most unusual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub metrics: Vec<Glob>,
    /// How risky it is.
    pub risk: Risk,
    /// How long it disturbs those who use the component, in seconds.
    #[serde(default)]
    pub cost_seconds: f64,
    /// How long it may take, in seconds.
    pub timeout_seconds: f64,
    /// Where nothing is better so many seconds after it was begun, it has not helped.
    #[serde(default = "helps_within")]
    pub helps_within_seconds: f64,
    /// For so long afterwards it isn't done to the same component again, in seconds, where the policy's own cooldown is shorter.
    #[serde(default)]
    pub cooldown_seconds: f64,
    /// Whether it can be taken back.
    #[serde(default)]
    pub can_undo: bool,
}

/// What an action is given that does not say: as long as it takes for an outcome to count for nothing (ALGORITHMS 7.5 of the design).
pub(crate) const fn helps_within() -> f64 {
    300.0
}

impl Offer {
    /// Whether it can be done to a component.
    pub fn is_for(&self, component: &ComponentId) -> bool {
        self.on.iter().any(|glob| glob.matches(component.as_str()))
    }
}

/// What is wanted of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// To hear whether it could be done, and what it would do. Changes nothing.
    DryRun,
    /// That it is done.
    Do,
    /// That it is taken back.
    Undo,
}

impl Wanted {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

/// The right under which a command was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The epoch of the history that the hub acts on.
    pub epoch: String,
    /// Of two hubs with the same history, the one with the larger number has the say.
    pub number: u64,
}

/// An order to do something to a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Names the change: whoever hears it a second time does nothing, and says what came of it the first time.
    pub key: String,
    /// The plan that it is of.
    pub plan: PlanId,
    /// What is wanted.
    pub wanted: Wanted,
    /// An action that was offered.
    pub action: String,
    /// To what.
    pub component: ComponentId,
    /// After this nothing is begun, by the clock of whoever gets it.
    pub expires: Timestamp,
    /// By what right.
    pub authority: Authority,
}

impl Command {
    /// The key of what is wanted of a plan.
    pub fn key(plan: PlanId, wanted: Wanted) -> String {
        format!("{plan}-{}", wanted.as_str())
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Effect {
    /// It was done.
    Done,
    /// Nothing was changed.
    NotDone,
    /// It was begun, and nobody knows whether it was done. It isn't tried again.
    Unsure,
}

/// What came of a command, in words too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`Command::key`].
    pub key: String,
    /// What came of it.
    pub effect: Effect,
    /// A sentence: what was done, or why not.
    pub message: String,
    /// When it was begun; none where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When that was known.
    pub ended: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_the_whole_text_with_stars_for_anything() {
        let matches = |glob: &str, text: &str| glob.parse::<Glob>().unwrap().matches(text);
        for (glob, text) in [
            ("service/shop/*", "service/shop/web"),
            ("*", ""),
            ("*", "node/local/a"),
            ("*/web", "service/shop/web"),
            ("s*o*b", "service/shop/web"),
            ("service/shop/web", "service/shop/web"),
            ("a*ab", "aab"),
            ("**", "x"),
        ] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [
            ("service/shop/*", "service/other/web"),
            ("web", "service/shop/web"),
            ("service/shop/web", "service/shop/web2"),
            ("ab*ba", "aba"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
    }

    #[test]
    fn a_glob_that_is_none_says_why() {
        for bad in ["", "a\nb", &"x".repeat(600)] {
            assert!(bad.parse::<Glob>().unwrap_err().to_string().contains("expected 1 to 512"));
        }
        assert!("*/*".parse::<Glob>().unwrap().is_everything());
        assert!(!"service/*".parse::<Glob>().unwrap().is_everything());
    }
}
