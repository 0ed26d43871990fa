//! What Larnax is allowed to do.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use larnax_core::{ComponentId, Mode, Risk, Timestamp};
use serde::{Deserialize, Serialize};

use crate::value::{Period, Scope};

/// What is allowed on some components. Of several that a component is meant by, the first holds. Where none is, Larnax observes: it
/// says what it would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Which components; `*` stands for anything. Example: `["service/shop/*"]`.
    pub on: Vec<Scope>,
    /// Who decides: `observe` says what would be done, `ask` does what a person approves, `act` does what it is sure of and asks
    /// for the rest.
    pub mode: Mode,
    /// Only these actions; empty means all that are offered. Example: `["restart-*"]`.
    pub actions: Vec<Scope>,
    /// What is riskier is never done. What is `destructive` is never done without approval.
    pub most_risk: Risk,
    /// Whoever is less sure of the cause than this, from 0 to 1, asks.
    pub sure: f64,
    /// At most so many actions
    pub most: u32,
    /// in so long, on all these components together.
    pub within: Period,
    /// At most this share of these components at once, from 0 to 1, but one at least.
    pub share: f64,
    /// For so long after an action nothing else is done to its component.
    pub cooldown: Period,
    /// A proposal that nobody has answered after so long is off.
    pub answer_within: Period,
    /// When people work on these components: then nothing is done. Example:
    /// `[{days: [sat, sun], from: "22:00", until: "06:00", time_zone: Europe/Brussels}]`.
    pub maintenance: Vec<Maintenance>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on: Vec::new(),
            mode: Mode::Observe,
            actions: Vec::new(),
            most_risk: Risk::Disruptive,
            sure: 0.6,
            most: 6,
            within: Period::seconds(3_600),
            share: 0.1,
            cooldown: Period::seconds(600),
            answer_within: Period::seconds(3_600),
            maintenance: Vec::new(),
        }
    }
}

/// A time in which people work on something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// On which days it begins; empty means every day.
    pub days: Vec<Day>,
    /// When it begins, as `22:00`.
    pub from: String,
    /// When it ends, as `06:00`; on the next day where that is not after `from`.
    pub until: String,
    /// The time zone, as `Europe/Brussels`; without it, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Policy {
    /// Whether it is about a component.
    pub fn means(&self, component: &ComponentId) -> bool {
        self.on.iter().any(|scope| scope.0.matches(component.as_str()))
    }
}

impl Maintenance {
    /// Whether it is such a time. One that can't be read is none; the check of the config refuses it.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.holds_at(now).unwrap_or(false)
    }

    fn holds_at(&self, now: Timestamp) -> Option<bool> {
        let zone = match &self.time_zone {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::UTC,
        };
        let (from, until): (Time, Time) = (self.from.parse().ok()?, self.until.parse().ok()?);
        let now = jiff::Timestamp::from_millisecond(now.millis()).ok()?.to_zoned(zone);
        let on = |date: Date| self.days.is_empty() || self.days.contains(&Day::of(date.weekday()));
        let (today, time) = (now.date(), now.time());
        Some(match until > from {
            true => on(today) && (from..until).contains(&time),
            // Over midnight: it began today, or yesterday and is not over.
            false => (on(today) && time >= from) || (on(today.yesterday().ok()?) && time < until),
        })
    }
}

impl Day {
    fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}
