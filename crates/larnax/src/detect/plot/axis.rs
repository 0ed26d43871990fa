//! Round times.

use larnax_core::Timestamp;

/// Distances between times on an axis, in seconds: what people count in.
const STEPS: [f64; 25] = [
    0.001,
    0.01,
    0.1,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_419_200.0,
];
/// The most times on an axis: each takes about a hundred pixels.
const MOST_TIMES: f64 = 11.0;
const DAY: f64 = 86_400.0;

/// Times to write below an axis. Those of a calendar are in UTC; others are counted from the first row of the file.
pub(super) fn time_ticks(first: Timestamp, last: Timestamp, calendar: bool) -> Vec<(Timestamp, String)> {
    let span = last.since(first);
    if span <= 0.0 {
        return vec![(first, label(first, 1.0, calendar, true))];
    }
    let step = STEPS.into_iter().find(|step| span / step <= MOST_TIMES).unwrap_or_else(|| span / MOST_TIMES);
    let nanos = ((step * 1e9) as i64).max(1);
    let (first, last) = (first.nanos(), last.nanos());
    let mut ticks = Vec::new();
    let mut at = first.div_euclid(nanos).saturating_mul(nanos);
    let mut day = None;
    while at <= last {
        if at >= first {
            let time = Timestamp::from_nanos(at);
            let today = time.nanos().div_euclid((DAY * 1e9) as i64);
            ticks.push((time, label(time, step, calendar, day != Some(today))));
            day = Some(today);
        }
        let Some(next) = at.checked_add(nanos) else { break };
        at = next;
    }
    ticks
}

/// A time as finely as the step asks. `new_day`: the first one of its day.
fn label(time: Timestamp, step: f64, calendar: bool, new_day: bool) -> String {
    // `2026-11-21T18:21:12.000Z`
    let text = time.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let clock = match step {
        _ if step >= 60.0 => part(11, 16),
        _ if step >= 1.0 => part(11, 19),
        _ => part(11, 23),
    };
    let days = time.seconds().div_euclid(DAY);
    match (calendar, step >= DAY) {
        (true, true) => part(0, 10).to_owned(),
        (true, false) if new_day => format!("{} {clock}", part(5, 10)),
        (false, true) => format!("day {days}"),
        (false, false) if days > 0.0 && new_day => format!("day {days} {clock}"),
        _ => clock.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(first: f64, seconds: f64, calendar: bool) -> Vec<String> {
        let (first, last) = (Timestamp::from_seconds(first), Timestamp::from_seconds(first + seconds));
        time_ticks(first, last, calendar).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn times_are_round_and_say_the_day_once() {
        assert_eq!(labels(1_700_000_000.0, 10.0, true)[..2], ["11-14 22:13:20", "22:13:21"]);
        let hours = labels(1_700_000_000.0, 8.0 * 3600.0, true);
        assert_eq!(hours[..3], ["11-14 23:00", "11-15 00:00", "01:00"]);
        assert_eq!(labels(1_700_000_000.0, 9.0 * 86_400.0, true)[0], "2023-11-15");
        assert_eq!(labels(0.0, 3.0 * 86_400.0, false)[..4], ["00:00", "12:00", "day 1 00:00", "12:00"]);
        assert_eq!(labels(0.0, 0.0, false), ["00:00:00"]);
        for span in [1e-6, 0.5, 1e3, 1e6, 1e9, 9e9] {
            assert!(labels(0.0, span, true).len() <= 13, "{span} s");
        }
    }
}
