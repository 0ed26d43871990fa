use larnax_core::{Metric, MetricKind, MetricName, Schema, Timestamp, Verdict};

use super::*;
use crate::auto::Auto;
use crate::detector::{Detector as _, Tuning};

const MINUTE: f64 = 60.0;

/// What is subtracted from the first of four metrics that have been seen for `days`, each five minutes.
fn subtracted(rhythm: &Rhythm, days: f64) -> f64 {
    rhythm.offset(0, &Moment::of(days * DAY_SECONDS))
}

fn seen(days: f64, mut of: impl FnMut(f64) -> f64) -> Rhythm {
    let mut rhythm = Rhythm::new(4);
    for i in 0..(days * 288.0) as usize {
        let t = i as f64 * 300.0;
        let row = Row { time: Timestamp::from_seconds(t), values: &[of(t); 4], learnable: true };
        rhythm.learn(row, 1.0, 300.0);
    }
    rhythm
}

fn daily(t: f64) -> f64 {
    1e9 + 40.0 * (t / DAY_SECONDS * std::f64::consts::TAU).sin()
}

/// Pseudorandom numbers between -1 and 1.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

#[test]
fn a_profile_is_off_before_two_days_and_comes_into_use_over_hours() {
    assert_eq!(subtracted(&seen(1.99, daily), 2.25), 0.0);
    let blending = subtracted(&seen(2.1, daily), 2.25);
    assert!((5.0..30.0).contains(&blending), "{blending}");
    let rhythm = seen(4.0, daily);
    let (most, least) = (subtracted(&rhythm, 4.25), subtracted(&rhythm, 4.75));
    assert!((36.0..42.0).contains(&most) && (-42.0..-36.0).contains(&least), "{most} {least}");
}

#[test]
fn no_step_arises_at_the_full_hour() {
    let rhythm = seen(4.0, daily);
    for minute in 0..1_440 {
        let at = |minute: i32| subtracted(&rhythm, 4.0 + f64::from(minute) / 1_440.0);
        assert!((at(minute + 1) - at(minute)).abs() < 0.25, "{minute}");
    }
}

#[test]
fn what_has_no_rhythm_and_a_job_of_half_an_hour_are_left_as_they_are() {
    let (mut level, mut next) = (0.0, noise(1));
    let walk = |_| {
        level += next();
        level
    };
    let mut next = noise(2);
    let job = |t: f64| if t.rem_euclid(DAY_SECONDS) < 1_800.0 { 60.0 } else { 0.0 };
    assert_eq!(subtracted(&seen(30.0, walk), 30.3), 0.0);
    assert_eq!(subtracted(&seen(30.0, |_| next()), 30.3), 0.0);
    assert_eq!(subtracted(&seen(30.0, job), 30.0), 0.0);
}

#[test]
fn a_weekend_is_expected_after_two_weeks_and_not_before() {
    let rests = |t: f64| if (t / DAY_SECONDS).rem_euclid(7.0) < 2.0 { -10.0 } else { 10.0 };
    assert_eq!(subtracted(&seen(13.9, rests), 14.5), 0.0);
    let rhythm = seen(28.0, rests);
    let (rest, work) = (subtracted(&rhythm, 28.5), subtracted(&rhythm, 32.5));
    assert!(work - rest > 12.0, "{rest} {work}");
}

#[test]
fn merged_and_rearranged_it_says_the_same() {
    let rhythm = seen(4.0, daily);
    let mut merged = rhythm.clone();
    merged.merge(&Rhythm::new(4));
    assert_eq!(merged, rhythm);
    merged.merge(&seen(4.0, |t| daily(t) + 100.0));
    assert!((subtracted(&merged, 4.25) - subtracted(&rhythm, 4.25)).abs() < 0.1);
    let moved = rhythm.rearranged(&[None, Some(0), None, None, None]);
    assert_eq!(moved.offset(1, &Moment::of(0.0)), rhythm.offset(0, &Moment::of(0.0)));
    assert_eq!(moved.offset(0, &Moment::of(0.0)), 0.0);
    assert!(moved.is_sound(5) && !moved.is_sound(4) && merged.is_sound(4));
}

/// Scores of ten metrics, a row a minute, with what hours do forgotten after each row or not.
fn scores(days: f64, forgetful: bool, mut value: impl FnMut(f64, usize) -> f64) -> Vec<f64> {
    let metric = |i: usize| Metric::new(MetricName::new(&format!("m{i}")).unwrap(), MetricKind::Gauge);
    let mut auto = Auto::new(150.0, 21_600.0);
    auto.resize(&Schema::new((0..10).map(metric).collect()).unwrap());
    auto.tune(Tuning { period: MINUTE, tail: 1e-4 });
    let (mut verdict, mut scores) = (Verdict::default(), Vec::new());
    for i in 0..(days * 1_440.0) as usize {
        let t = i as f64 * MINUTE;
        let values: Vec<f64> = (0..10).map(|metric| value(t, metric)).collect();
        let row = Row { time: Timestamp::from_seconds(t), values: &values, learnable: true };
        auto.score(row, &mut verdict);
        scores.push(verdict.score.get());
        auto.learn(row, if scores[i] > 1.0 { auto.least_weight() } else { 1.0 });
        if forgetful {
            let none = &[None; 10];
            auto.singles.rhythm = auto.singles.rhythm.rearranged(none);
            auto.singles.returning = auto.singles.returning.rearranged(none);
        }
    }
    scores
}

#[test]
fn series_without_rhythm_are_judged_as_if_there_were_none() {
    let series = |seed: u64| {
        let (mut next, mut levels) = (noise(seed), [0.0; 10]);
        move |_: f64, metric: usize| {
            levels[metric] += 0.05 * next();
            100.0 + next() + if metric > 6 { levels[metric] } else { 0.0 }
        }
    };
    assert_eq!(scores(6.0, false, series(3)), scores(6.0, true, series(3)));
}

/// A load that is highest at 06:00 and comes at its lowest, 18:00 on the last day, over four hours.
fn at_the_wrong_hour(days: f64, forgetful: bool) -> f64 {
    let mut next = noise(4);
    let from = (days - 0.25) * DAY_SECONDS;
    let scores = scores(days, forgetful, |t, _| {
        let extra = ((t - from) / 14_400.0).clamp(0.0, 1.0);
        let load = (t / DAY_SECONDS * std::f64::consts::TAU).sin();
        100.0 + 40.0 * (load + extra * (1.0 - load)) + next()
    });
    scores[(from / MINUTE) as usize..].iter().copied().fold(0.0, f64::max)
}

#[test]
fn what_is_usual_at_one_hour_is_anomalous_at_another_once_days_are_known() {
    let (known, young, without) =
        (at_the_wrong_hour(5.0, false), at_the_wrong_hour(2.0, false), at_the_wrong_hour(5.0, true));
    assert!(known > 1.0 && young < 1.0 && without < 1.0, "{known} {young} {without}");
}
