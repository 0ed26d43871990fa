//! Times as they stand in files.

use larnax_core::Timestamp;

/// A number below this is in seconds: the year 5138; a thousand times more of each next unit. So milliseconds start in
/// March 1973, and no time between then and the year 5138 is taken for another.
const SECONDS_BELOW: u64 = 100_000_000_000;

/// Reads a time: RFC 3339 (`2006-01-02T15:04:05.1+01:00`); a date with or without a time of day
/// (`2006-01-02 15:04:05.1`, `2006-01-02T15:04`, `2006-01-02`), which is taken as UTC; or the time since the epoch in
/// seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude, with or without a fraction.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if is_calendar(text) { calendar(text) } else { epoch(text) }
}

/// Whether a text, unlike a number, can be nothing but a time.
pub(super) fn is_calendar_time(text: &str) -> bool {
    let text = text.trim();
    is_calendar(text) && calendar(text).is_some()
}

fn is_calendar(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[7] == b'-'
}

fn calendar(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let has_offset = text.as_bytes().iter().skip(10).any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let instant = if has_offset {
        text.parse::<jiff::Timestamp>().ok()?
    } else {
        jiff::tz::TimeZone::UTC.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok()?
    };
    i64::try_from(instant.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

fn epoch(text: &str) -> Option<Timestamp> {
    exact_epoch(text).or_else(|| {
        // Written with an exponent.
        let number: f64 = text.parse().ok()?;
        let nanos = number * nanos_per_unit(number.abs() as u64) as f64;
        (nanos.abs() < i64::MAX as f64).then_some(Timestamp::from_nanos(nanos as i64))
    })
}

/// Digits with at most one point, without going through a float: it has too few digits for nanoseconds.
fn exact_epoch(text: &str) -> Option<Timestamp> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let unit = i128::from(nanos_per_unit(whole));
    let mut nanos = i128::from(whole) * unit;
    let mut digit_worth = unit;
    for digit in fraction.bytes().take(9) {
        digit_worth /= 10;
        nanos += i128::from(digit - b'0') * digit_worth;
    }
    i64::try_from(if negative { -nanos } else { nanos }).ok().map(Timestamp::from_nanos)
}

fn nanos_per_unit(magnitude: u64) -> u64 {
    match magnitude {
        m if m < SECONDS_BELOW => 1_000_000_000,
        m if m < SECONDS_BELOW * 1_000 => 1_000_000,
        m if m < SECONDS_BELOW * 1_000_000 => 1_000,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_an_instant_is_read_as_that_instant() {
        let instant = Timestamp::from_millis(1_136_214_245_500);
        for text in [
            "2006-01-02T15:04:05.5Z",
            "2006-01-02t15:04:05.5z",
            "2006-01-02T16:04:05.500+01:00",
            "2006-01-02T10:04:05.5-0500",
            "2006-01-02 15:04:05.5Z",
            "2006-01-02 15:04:05.5",
            "2006-01-02 15:04:05.500000000",
            "2006-01-02 15:04:05.5 UTC",
            "2006-01-02T15:04:05.5",
            " 1136214245.5 ",
            "1136214245.500000000000",
            "1136214245500",
            "1136214245500.0",
            "1136214245500000",
            "1136214245500000000",
            "1.1362142455e9",
            "1.1362142455e12",
        ] {
            assert_eq!(parse(text), Some(instant), "{text}");
        }
        let minute = Timestamp::from_seconds(1_136_214_240.0);
        assert_eq!(parse("2006-01-02T15:04"), Some(minute));
        assert_eq!(parse("2006-01-02 15:04"), Some(minute));
        assert_eq!(parse("2006-01-02"), Some(Timestamp::from_seconds(1_136_160_000.0)));
        assert_eq!(parse("0"), Some(Timestamp::default()));
        assert_eq!(parse("-1.5"), Some(Timestamp::from_seconds(-1.5)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-",
            ".",
            "nan",
            "inf",
            "-inf",
            "1e300",
            "yesterday",
            "2006-13-02",
            "2006-01-02 25:00:00",
            "12:30:00",
            "02/01/2006",
            "1-2",
            "99999999999999999999",
            "9999-01-01",
            "2006-01-02é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_instant_is_read_back_from_its_nanoseconds_and_from_rfc_3339(
            nanos in 100_000_000_000_000_000i64..4_000_000_000_000_000_000,
        ) {
            let instant = Timestamp::from_nanos(nanos);
            prop_assert_eq!(parse(&nanos.to_string()), Some(instant));
            let seconds = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            prop_assert_eq!(parse(&seconds), Some(instant));
            let written = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string();
            prop_assert_eq!(parse(&written), Some(instant));
            prop_assert!(is_calendar_time(&written));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", digits in "[-+0-9.:eTZ ]{0,30}") {
            parse(&text);
            parse(&digits);
        }
    }
}
