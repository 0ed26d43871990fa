//! What comes back every day, where there are many metrics.

mod support;

use larnax_core::Verdict;
use larnax_detect::{DetectorKind, Tuning};
use support::{Fed, Noise, numbered, row};

const DAY: f64 = 86_400.0;
const MINUTE: f64 = 60.0;

/// Ten metrics, of which three are busy for half an hour each night, some minutes earlier or later; on the last of ten nights
/// another one is much busier, where `fault` says so.
fn nights(fault: bool) -> Fed {
    let mut noise = Noise(1);
    let mut fed = Fed::of(DetectorKind::Auto, &numbered(10));
    fed.run(0.0, 10.0 * DAY, MINUTE, |t, values| {
        values.fill_with(|| 100.0 + noise.normal());
        let night = (t / DAY).floor();
        let begin = 7_200.0 + 3.0 * MINUTE * ((7.0 * night).rem_euclid(5.0) - 2.0);
        if (begin..begin + 1_800.0).contains(&t.rem_euclid(DAY)) {
            values[..3].iter_mut().for_each(|value| *value += 60.0);
            if fault && night == 9.0 {
                values[7] += 600.0;
            }
        }
    });
    fed
}

/// The days on which something happened to an anomaly.
fn told(fed: &Fed) -> Vec<f64> {
    fed.changes.iter().map(|(t, _)| (t / DAY).floor()).collect()
}

#[test]
fn a_job_of_half_an_hour_each_night_is_no_anomaly_from_the_fifth_night_on() {
    let fed = nights(false);
    let told = told(&fed);
    assert!(told.contains(&0.0) && told.iter().all(|day| *day < 4.0), "{}", fed.story());
}

#[test]
fn a_fault_of_another_metric_at_the_hour_of_the_job_is_one() {
    let fed = nights(true);
    assert!(told(&fed).contains(&9.0), "{}", fed.story());
}

#[test]
fn a_detector_restored_after_four_days_goes_on_bit_for_bit() {
    let mut noise = Noise(2);
    let build = || {
        let mut detector = DetectorKind::Auto.build(150.0, 21_600.0);
        detector.tune(Tuning { period: 300.0, tail: 1e-4 });
        detector
    };
    let mut values = |i: usize| {
        let load = (i as f64 * 300.0 / DAY * std::f64::consts::TAU).sin();
        (0..8).map(|_| 100.0 + 40.0 * load + noise.normal()).collect::<Vec<f64>>()
    };
    let (mut whole, mut verdict) = (build(), Verdict::default());
    whole.resize(&numbered(8));
    for i in 0..1_200 {
        let values = values(i);
        whole.score(row(i as f64 * 300.0, &values), &mut verdict);
        whole.learn(row(i as f64 * 300.0, &values), 1.0);
    }
    let mut restored = build();
    restored.restore(&whole.save()).unwrap();
    restored.resize(&numbered(8));
    let mut other = Verdict::default();
    for i in 1_200..1_500 {
        let values = values(i);
        let row = row(i as f64 * 300.0, &values);
        whole.score(row, &mut verdict);
        restored.score(row, &mut other);
        assert_eq!(verdict.score.get().to_bits(), other.score.get().to_bits());
        assert_eq!(verdict.metrics[3].lower.to_bits(), other.metrics[3].lower.to_bits());
        whole.learn(row, 1.0);
        restored.learn(row, 1.0);
    }
    assert_eq!(whole.save(), restored.save());
}
