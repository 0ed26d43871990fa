//! When people work on something.

#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use larnax_core::Timestamp;
use larnax_spec::{Config, Maintenance};
use proptest::prelude::*;

/// Of Brussels, for any machine.
const BRUSSELS: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn maintenance(text: &str) -> Maintenance {
    let text = format!("policies: [{{on: [a], maintenance: [{text}]}}]");
    let (config, _) = Config::from_yaml(&text, "f").unwrap();
    config.policies[0].maintenance[0].clone()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// That it holds from one moment to another, and neither before nor after.
fn holds(maintenance: &Maintenance, from: &str, until: &str) {
    let (from, until) = (at(from), at(until));
    let second = std::time::Duration::from_secs(1);
    assert!(!maintenance.holds(from.minus(second)), "before {from}");
    assert!(maintenance.holds(from), "at {from}");
    assert!(maintenance.holds(until.minus(second)), "before {until}");
    assert!(!maintenance.holds(until), "at {until}");
}

#[test]
fn it_holds_from_its_beginning_until_its_end_also_past_midnight() {
    // 2026-11-21 is a Saturday.
    let day = maintenance("{days: [sat], from: 09:30, until: 17:00}");
    holds(&day, "2026-11-21T09:30:00Z", "2026-11-21T17:00:00Z");
    assert!(!day.holds(at("2026-11-22T12:00:00Z")));
    let night = maintenance("{days: [sat], from: 22:00, until: 06:00}");
    holds(&night, "2026-11-21T22:00:00Z", "2026-11-22T06:00:00Z");
    assert!(!night.holds(at("2026-11-21T01:00:00Z")), "it begins on Saturday");
    let whole = maintenance("{days: [sat]}");
    holds(&whole, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
    let weekend = maintenance("{days: [sat, sun]}");
    holds(&weekend, "2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z");
    assert!(maintenance("{}").holds(at("2026-11-20T12:00:00Z")));
}

#[test]
fn it_goes_by_the_clocks_of_its_time_zone() {
    let night = maintenance(&format!("{{days: [sat], from: 22:00, until: 06:00, time_zone: '{BRUSSELS}'}}"));
    holds(&night, "2026-11-21T21:00:00Z", "2026-11-22T05:00:00Z");
    holds(&night, "2026-07-18T20:00:00Z", "2026-07-19T04:00:00Z");
    // East of the date line it is Saturday already.
    let far = maintenance("{days: [sat], time_zone: '<+14>-14<+15>,M3.5.0,M10.5.0'}");
    assert!(far.holds(at("2026-11-20T11:00:00Z")));
}

#[test]
fn where_clocks_are_changed_it_is_never_shorter_than_it_is_written() {
    let with = |times: &str| maintenance(&format!("{{{times}, time_zone: '{BRUSSELS}'}}"));
    // On 2026-03-29 there is no time from 02:00 to 03:00, on 2026-10-25 there is twice.
    let over = with("from: 01:00, until: 05:00");
    holds(&over, "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z");
    holds(&over, "2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z");
    let ends_in_it = with("from: 01:00, until: 02:30");
    holds(&ends_in_it, "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z");
    holds(&ends_in_it, "2026-10-24T23:00:00Z", "2026-10-25T01:30:00Z");
    let begins_in_it = with("from: 02:30, until: 04:00");
    holds(&begins_in_it, "2026-03-29T00:30:00Z", "2026-03-29T02:00:00Z");
    holds(&begins_in_it, "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z");
}

#[test]
fn a_time_zone_by_name_is_the_one_of_the_machine() {
    // Only where the machine knows names.
    if std::path::Path::new("/usr/share/zoneinfo/America/New_York").exists() {
        let night = maintenance("{from: 22:00, until: 06:00, time_zone: America/New_York}");
        holds(&night, "2026-07-18T02:00:00Z", "2026-07-18T10:00:00Z");
        holds(&night, "2026-11-21T03:00:00Z", "2026-11-21T11:00:00Z");
    }
}

proptest! {
    #[test]
    fn in_utc_it_is_arithmetic(from in 0u64..1440, until in 0u64..1440, minute in 0u64..60_000_000) {
        let text = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
        let one = maintenance(&format!("{{from: '{}', until: '{}'}}", text(from), text(until)));
        let now = minute % 1440;
        let expected = if from < until { from <= now && now < until } else { now >= from || now < until };
        prop_assert_eq!(one.holds(Timestamp::from_seconds((minute * 60) as f64)), expected);
    }

    #[test]
    fn no_moment_is_too_strange(nanos in any::<i64>(), day in 0usize..7) {
        let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day];
        let one = maintenance(&format!("{{days: [{day}], from: 23:59, time_zone: '{BRUSSELS}'}}"));
        one.holds(Timestamp::from_nanos(nanos));
    }
}
