//! What Larnax is allowed to do.

use jiff::civil::{Date, Weekday};
use larnax_core::{ComponentId, Mode, Risk, Timestamp};
use serde::{Deserialize, Serialize};

use crate::value::{Period, Scope, TimeOfDay, TimeZone};

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

impl Policy {
    /// Whether it is about a component.
    pub fn means(&self, component: &ComponentId) -> bool {
        self.on.iter().any(|scope| scope.0.matches(component.as_str()))
    }
}

/// A time in which people work on something. The default is every whole day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// On which days it begins; empty means every day.
    pub days: Vec<Day>,
    /// When it begins. Example: `"22:00"`.
    pub from: TimeOfDay,
    /// When it ends; on the next day where that is not after `from`. Example: `"06:00"`.
    pub until: TimeOfDay,
    /// By whose clocks: a name, or a rule as in the variable `TZ`. Example: `Europe/Brussels`.
    pub time_zone: TimeZone,
}

impl Maintenance {
    /// Whether it is such a time. Where clocks are changed, it is never shorter than it is written: of a time that comes twice, it
    /// begins with the first one and ends with the second.
    pub fn holds(&self, now: Timestamp) -> bool {
        let Ok(now) = jiff::Timestamp::from_nanosecond(i128::from(now.nanos())) else { return false };
        let today = self.time_zone.zone().to_datetime(now).date();
        // It may have begun yesterday.
        [Some(today), today.yesterday().ok()].into_iter().flatten().any(|day| {
            self.begins_on(day) && self.span(day).is_some_and(|(begin, end)| begin <= now && now < end)
        })
    }

    /// Whether it is always such a time.
    pub(crate) fn is_always(&self) -> bool {
        let all = Day::ALL.iter().all(|day| self.days.contains(day));
        (self.days.is_empty() || all) && self.from == self.until
    }

    fn begins_on(&self, day: Date) -> bool {
        self.days.is_empty() || self.days.contains(&Day::of(day))
    }

    /// When it begins and ends, where it begins on this day; none at the end of all times.
    fn span(&self, day: Date) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
        let zone = self.time_zone.zone();
        let last = if self.until > self.from { day } else { day.tomorrow().ok()? };
        let begin = zone.to_ambiguous_timestamp(self.from.on(day)).earlier().ok()?;
        let end = zone.to_ambiguous_timestamp(self.until.on(last)).later().ok()?;
        Some((begin, end))
    }
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

impl Day {
    const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    fn of(date: Date) -> Self {
        match date.weekday() {
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
