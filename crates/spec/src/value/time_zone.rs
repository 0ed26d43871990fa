//! Time zones.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, written_as_text};
use crate::suggest;

/// A time zone by its name, `Europe/Brussels`, or by a rule as in the variable `TZ`, `CET-1CEST,M3.5.0,M10.5.0/3`. The default is
/// UTC.
///
/// Names are looked up when the config is read: what is unknown is to be said then. They are looked up in the machine's database,
/// which knows of later changes and makes no program larger; with the feature `zones`, a machine without one is no worse off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    written: String,
    zone: jiff::tz::TimeZone,
}

impl TimeZone {
    /// What it says of times.
    pub(crate) fn zone(&self) -> &jiff::tz::TimeZone {
        &self.zone
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self { written: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    }
}

impl FromStr for TimeZone {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // A rule without a comma has one offset, with the sign that nobody expects: `UTC+2` is west of Greenwich.
        let is_rule = text.contains(',');
        let zone = if is_rule { jiff::tz::TimeZone::posix(text) } else { jiff::tz::TimeZone::get(text) };
        zone.map(|zone| Self { written: text.to_owned(), zone }).map_err(|_| {
            let names = jiff::tz::db();
            let hint = if is_rule {
                String::new()
            } else if names.is_definitively_empty() {
                "; this machine knows none by name: install `tzdata`".to_owned()
            } else {
                let names: Vec<String> = names.available().map(|name| name.to_string()).collect();
                suggest::hint(text, names.iter().map(String::as_str))
            };
            let expected = "a time zone such as `Europe/Brussels` or `UTC`, or a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`";
            ValueError::new(text, &format!("{expected}{hint}"))
        })
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

written_as_text!(TimeZone, "time zone", "string", None, "Europe/Brussels");
