//! A watch over its life: silence, restarts, people, damaged state.

mod support;

use std::time::Duration;

use larnax_core::{AnomalyKind, CloseReason, Row, Transition};
use larnax_detect::{AlertBudget, Change, WatchState};
use proptest::prelude::*;
use support::{Fed, Noise, at, numbered};

/// Ten minutes of quiet at 1 s; returns the noise to go on with.
fn quiet(fed: &mut Fed) -> Noise {
    let mut noise = Noise(1);
    fed.run(0.0, 600.0, 1.0, |_, values| values.fill_with(|| 100.0 + noise.normal()));
    assert!(fed.changes.is_empty(), "{}", fed.story());
    assert_eq!(fed.watch.state(), WatchState::Normal);
    noise
}

fn silent(fed: &mut Fed, seconds: f64) -> Vec<Change> {
    let mut changes = Vec::new();
    fed.watch.silent(at(seconds), &mut fed.budget, &mut changes);
    changes
}

#[test]
fn a_component_that_falls_silent_is_absent_until_it_returns() {
    let mut fed = Fed::new(&numbered(4));
    quiet(&mut fed);
    assert!(silent(&mut fed, 609.0).is_empty());
    let changes = silent(&mut fed, 611.0);
    assert_eq!(changes[0].anomaly.kind, AnomalyKind::TargetAbsent);
    assert!(changes[0].anomaly.alerted);
    assert_eq!(changes[0].anomaly.onset, at(600.0));
    assert_eq!(fed.watch.state(), WatchState::Absent);
    assert!(silent(&mut fed, 630.0).is_empty(), "one anomaly for one silence");
    fed.feed(650.0, &[100.0; 4]);
    assert_eq!(fed.changes[0].1.anomaly.close_reason, Some(CloseReason::Recovered));
    assert_eq!(fed.watch.state(), WatchState::Normal);
}

#[test]
fn a_component_that_was_hardly_there_is_not_missed() {
    let mut fed = Fed::new(&numbered(4));
    fed.run(0.0, 30.0, 1.0, |_, values| values.fill(1.0));
    assert!(silent(&mut fed, 300.0).is_empty());
}

#[test]
fn a_restart_continues_an_open_anomaly_under_its_id() {
    let mut fed = Fed::new(&numbered(4));
    let mut noise = quiet(&mut fed);
    let mut faulty = |_: f64, values: &mut [f64]| values.fill_with(|| 180.0 + noise.normal());
    fed.run(600.0, 30.0, 1.0, &mut faulty);
    let id = fed.watch.open_anomalies().next().unwrap().id;
    let saved = fed.watch.save();
    let mut after = Fed::new(&numbered(4));
    after.watch.restore(&saved).unwrap();
    assert_eq!(after.watch.state(), WatchState::Anomalous);
    after.run(700.0, 30.0, 1.0, &mut faulty);
    assert!(after.changes.is_empty(), "{}", after.story());
    after.run(730.0, 60.0, 1.0, |_, values| values.fill(100.0));
    let closed = &after.changes[0].1;
    assert_eq!((closed.transition, closed.anomaly.id), (Transition::Closed, id));
}

#[test]
fn the_time_in_which_the_agent_was_down_is_not_the_components_silence() {
    let mut fed = Fed::new(&numbered(4));
    quiet(&mut fed);
    let mut after = Fed::new(&numbered(4));
    after.watch.restore(&fed.watch.save()).unwrap();
    assert!(silent(&mut after, 5_000.0).is_empty());
    assert!(!silent(&mut after, 5_020.0).is_empty());
}

#[test]
fn who_begins_with_what_another_of_its_kind_has_learnt_judges_at_once_and_has_nothing_of_its_anomalies() {
    let mut fed = Fed::new(&numbered(4));
    assert!(fed.watch.learnt().is_none(), "it has learnt nothing itself");
    let mut noise = quiet(&mut fed);
    let learnt = fed.watch.learnt().unwrap();
    fed.run(600.0, 30.0, 1.0, |_, values| values.fill(180.0));
    assert!(fed.watch.learnt().is_none(), "something is wrong with it");

    let mut begins = Fed::new(&numbered(4));
    let mut usual = |_: f64, values: &mut [f64]| values.fill_with(|| 100.0 + noise.normal());
    // It was there for a moment before it was told.
    begins.run(5_000.0, 5.0, 1.0, &mut usual);
    assert!(begins.watch.is_learning());
    assert!(begins.watch.begin_with(&learnt).unwrap());
    assert!(!begins.watch.is_learning() && begins.watch.open_anomalies().next().is_none());
    begins.run(5_005.0, 60.0, 1.0, &mut usual);
    assert!(begins.changes.is_empty(), "{}", begins.story());
    assert_eq!(begins.watch.state(), WatchState::Normal);
    begins.run(5_065.0, 30.0, 1.0, |_, values| values.fill(180.0));
    assert_eq!(begins.changes[0].1.anomaly.kind, AnomalyKind::Deviation);

    assert!(!begins.watch.begin_with(&learnt).unwrap(), "it goes on as it is");
    assert_eq!(begins.watch.open_anomalies().count(), 1);
    let damaged = Fed::new(&numbered(4)).watch.begin_with(&learnt[..learnt.len() - 1]);
    assert!(damaged.is_err());
}

#[test]
fn what_a_person_declares_normal_ends_and_is_learnt() {
    let mut fed = Fed::new(&numbered(4));
    let mut noise = quiet(&mut fed);
    let mut shifted = |_: f64, values: &mut [f64]| values.fill_with(|| 180.0 + noise.normal());
    fed.run(600.0, 30.0, 1.0, &mut shifted);
    let id = fed.watch.open_anomalies().next().unwrap().id;
    let mut changes = Vec::new();
    assert!(fed.watch.declare_normal(id, at(630.0), &mut changes));
    assert!(!fed.watch.declare_normal(id, at(630.0), &mut changes));
    assert_eq!(changes[0].anomaly.close_reason, Some(CloseReason::DeclaredNormal));
    fed.changes.clear();
    fed.run(630.0, 1_200.0, 1.0, &mut shifted);
    assert!(fed.changes.is_empty(), "{}", fed.story());
    assert_eq!(fed.watch.state(), WatchState::Normal);
}

#[test]
fn unwatching_ends_what_is_open() {
    let mut fed = Fed::new(&numbered(4));
    quiet(&mut fed);
    fed.run(600.0, 30.0, 1.0, |_, values| values.fill(200.0));
    let mut changes = Vec::new();
    fed.watch.unwatch(at(640.0), &mut changes);
    assert_eq!(changes[0].anomaly.close_reason, Some(CloseReason::Unwatched));
    assert_eq!(fed.watch.open_anomalies().count(), 0);
}

#[test]
fn at_a_sample_a_second_a_fault_that_was_mended_is_soon_seen_to_be_over() {
    let mut fed = Fed::new(&numbered(20));
    let mut noise = quiet(&mut fed);
    fed.run(600.0, 660.0, 1.0, |t, values| {
        let fault = if t < 630.0 { 60.0 } else { 0.0 };
        values.fill_with(|| 100.0 + fault + noise.normal());
    });
    let closed: Vec<f64> =
        fed.changes.iter().filter(|(_, c)| c.transition == Transition::Closed).map(|(t, _)| *t).collect();
    assert!(matches!(closed[..], [t] if t < 660.0), "{}", fed.story());
    assert!(fed.changes.last().is_some_and(|(_, c)| c.anomaly.last_seen < at(645.0)), "{}", fed.story());
}

#[test]
fn a_fault_that_returns_within_two_minutes_is_one_anomaly_and_one_alert() {
    let mut fed = Fed::new(&numbered(4));
    let mut noise = quiet(&mut fed);
    fed.run(600.0, 900.0, 1.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        if t < 900.0 && (t as u64 / 30).is_multiple_of(2) {
            values[1] += 50.0;
        }
    });
    assert_eq!(fed.alerts(), 1, "{}", fed.story());
    let closed = fed.changes.iter().filter(|(_, c)| c.transition == Transition::Closed).count();
    assert!(closed <= 2, "{}", fed.story());
}

#[test]
fn something_else_within_two_minutes_is_another_anomaly_with_names_of_its_own() {
    let mut fed = Fed::new(&numbered(20));
    let mut noise = quiet(&mut fed);
    fed.run(600.0, 120.0, 1.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        match t as u32 {
            600..620 => values[0] += 500.0,
            660..690 => values[9] += 60.0,
            _ => {}
        }
    });
    let opened = fed.changes.iter().filter(|(_, c)| c.transition == Transition::Opened);
    let opened: Vec<_> =
        opened.map(|(t, c)| (*t, c.anomaly.metrics[0].metric.as_str(), c.anomaly.alerted)).collect();
    assert!(matches!(opened[..], [(_, "m0", true), (t, "m9", true)] if t < 670.0), "{}", fed.story());
    assert!(matches!(fed.changes.last(), Some((t, c)) if *t < 720.0 && c.transition == Transition::Closed));
}

#[test]
fn an_anomaly_that_a_burst_opened_is_named_after_what_lasts() {
    let mut fed = Fed::new(&numbered(20));
    let mut noise = quiet(&mut fed);
    fed.run(600.0, 60.0, 1.0, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        match t as u32 {
            603..606 => values[0] += 5_000.0,
            606.. => values[9] += 60.0,
            _ => {}
        }
    });
    let opened = fed.changes.iter().filter(|(_, c)| c.transition == Transition::Opened).count();
    let (t, last) = fed.changes.last().unwrap();
    assert!(opened == 1 && *t <= 620.0 && last.anomaly.metrics[0].metric.as_str() == "m9", "{}", fed.story());
    let open: Vec<_> = fed.watch.open_anomalies().map(|a| a.metrics[0].metric.as_str()).collect();
    assert_eq!(open, ["m9"], "{}", fed.story());
}

#[test]
fn the_explanation_says_what_sets_the_score_and_is_serialisable() {
    let mut fed = Fed::new(&numbered(4));
    quiet(&mut fed);
    fed.feed(600.0, &[100.0, 100.0, 190.0, 100.0]);
    let explanation = fed.watch.explain(&fed.budget);
    assert_eq!(explanation.set_by.as_deref(), Some("m2"));
    assert!(explanation.summary.contains("only 1 of the last 5"), "{}", explanation.summary);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["metrics"][0]["name"], "m2");
    assert_eq!(json["state"]["state"], "normal");
}

#[test]
fn a_counter_reset_is_scored_and_not_learnt() {
    let mut fed = Fed::new(&numbered(2));
    quiet(&mut fed);
    let before = fed.watch.save().len();
    let mut changes = Vec::new();
    let reset = Row { time: at(600.0), values: &[100.0, 100.5], learnable: false };
    fed.watch.observe(reset, &mut fed.budget, &mut changes);
    assert!(!fed.watch.verdict().metrics[0].deviation.is_nan());
    assert_eq!(fed.watch.save().len(), before);
}

#[test]
fn rows_out_of_order_and_of_another_width_are_refused_and_counted() {
    let mut fed = Fed::new(&numbered(2));
    fed.feed(10.0, &[1.0, 1.0]);
    fed.feed(10.0, &[1.0, 1.0]);
    fed.feed(9.0, &[1.0, 1.0]);
    fed.feed(11.0, &[1.0]);
    assert_eq!(fed.watch.refused(), 3);
}

#[test]
fn observing_allocates_nothing_while_nothing_happens() {
    let mut fed = Fed::new(&numbered(50));
    let mut noise = quiet(&mut fed);
    let (mut values, mut changes) = (vec![0.0; 50], Vec::new());
    let info = allocation_counter::measure(|| {
        for t in 600..800 {
            values.iter_mut().for_each(|v| *v = 100.0 + noise.normal());
            let row = Row { time: at(f64::from(t)), values: &values, learnable: true };
            fed.watch.observe(row, &mut fed.budget, &mut changes);
        }
    });
    assert!(changes.is_empty());
    assert_eq!(info.count_total, 0);
}

#[test]
fn damaged_state_is_an_error_that_says_so_and_leaves_the_watch_as_new() {
    let mut fed = Fed::new(&numbered(4));
    quiet(&mut fed);
    let mut saved = fed.watch.save();
    let middle = saved.len() / 2;
    saved[middle] ^= 1;
    let mut fresh = Fed::new(&numbered(4));
    let message = fresh.watch.restore(&saved).unwrap_err().to_string();
    assert!(message.contains("checksum") && message.contains("learning starts anew"), "{message}");
    assert!(matches!(fresh.watch.state(), WatchState::WarmingUp { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_there_is_no_panic_and_at_most_one_open_anomaly_of_a_kind(
        rows in prop::collection::vec((0.0..30.0f64, prop::collection::vec(prop::num::f64::ANY, 3), 0..20u8), 1..200)
    ) {
        let mut fed = Fed::new(&numbered(3));
        let mut budget = AlertBudget::new(1.0, Duration::from_secs(3_600));
        let (mut t, mut changes) = (0.0, Vec::new());
        for (step, values, event) in rows {
            t += step;
            match event {
                0 => fed.watch.silent(at(t), &mut budget, &mut changes),
                1 => fed.watch.gap(at(t - step), at(t)),
                2 => fed.watch.resize(&numbered(if (t as u64).is_multiple_of(2) { 3 } else { 2 })),
                3 => {
                    let saved = fed.watch.save();
                    fed.watch.restore(&saved).unwrap();
                }
                _ => {
                    let values = &values[..fed.watch.schema().len().min(3)];
                    let row = Row { time: at(t), values, learnable: event != 4 };
                    fed.watch.observe(row, &mut budget, &mut changes);
                }
            }
            prop_assert!(fed.watch.verdict().score.get().is_finite());
            prop_assert!(fed.watch.open_anomalies().count() <= 3);
            let _ = fed.watch.explain(&budget);
        }
    }
}
