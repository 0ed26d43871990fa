//! Times of a day.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, written_as_text};

/// A time of a day on a clock, `22:00`. The default is midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

impl TimeOfDay {
    /// On a calendar day.
    pub(crate) fn on(self, day: jiff::civil::Date) -> jiff::civil::DateTime {
        day.at(self.hour, self.minute, 0, 0)
    }
}

impl FromStr for TimeOfDay {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let two = |digits: &str, most: i8| {
            let number = digits.parse().ok().filter(|_| digits.len() == 2 && !digits.starts_with(['+', '-']));
            number.filter(|number| *number <= most)
        };
        let time = text
            .split_once(':')
            .and_then(|(hour, minute)| Some(Self { hour: two(hour, 23)?, minute: two(minute, 59)? }));
        time.ok_or_else(|| ValueError::new(text, "a time from `00:00` to `23:59`, such as `06:30`"))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

written_as_text!(TimeOfDay, "time of day", "string", Some("^([01][0-9]|2[0-3]):[0-5][0-9]$"), "22:00");
