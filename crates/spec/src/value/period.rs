//! Durations as Prometheus writes them.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use super::{ValueError, written_as_text};

/// A duration as Prometheus writes it: `100ms`, `5s`, `1h30m`, `2d`; units `y w d h m s ms us`, largest first, whole numbers.
/// Only `us`, microseconds, is not Prometheus' own.
///
/// A year has 365 days. Dereferences to [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(pub Duration);

/// Largest first, in microseconds.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * 86_400_000_000),
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

const EXPECTED: &str =
    "a duration such as `5s`, `100ms` or `1h30m` (whole numbers; units y, w, d, h, m, s, ms, us)";

/// A century; nothing that waits longer is meant.
const MAX_MICROS: u64 = 100 * 365 * 86_400_000_000;

impl Period {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, EXPECTED);
        if text == "0" {
            return Ok(Self::default());
        }
        let (mut rest, mut micros, mut next_unit) = (text, 0u64, 0);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(error)?;
            if index < next_unit {
                return Err(error());
            }
            let number: u64 = number.parse().map_err(|_| error())?;
            let (_, size) = UNITS[index];
            micros = number.checked_mul(size).and_then(|part| micros.checked_add(part)).ok_or_else(error)?;
            next_unit = index + 1;
            rest = tail;
        }
        if text.is_empty() || micros > MAX_MICROS {
            return Err(error());
        }
        Ok(Self(Duration::from_micros(micros)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            // As Prometheus prints it: years and weeks only where they come out even, so that `90d` stays `90d`.
            let whole = if matches!(unit, "y" | "w") && micros % size != 0 { 0 } else { micros / size };
            if whole > 0 {
                write!(f, "{whole}{unit}")?;
                micros -= whole * size;
            }
        }
        Ok(())
    }
}

written_as_text!(Period, "duration", "string", Some("^(0|([0-9]+(y|w|d|h|m|s|ms|us))+)$"), "5s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, millis) in [
            ("5s", 5_000),
            ("100ms", 100),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("0", 0),
            ("1m0s", 60_000),
        ] {
            assert_eq!(text.parse(), Ok(Period::millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "1.5s", "-5s", "5 s", "30m1h", "5s5s", "5sec", "99999999999999999999y", "101y"]
        {
            let message = text.parse::<Period>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("1h30m"), "{message}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["5s", "100ms", "1h30m", "2w", "90d", "1y", "1d1ms", "50us", "1ms500us", "0s"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }
}
