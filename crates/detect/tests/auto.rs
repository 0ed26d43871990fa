//! What the default detector does beyond the contract of all detectors.

mod support;

use larnax_core::{Status, Verdict};
use larnax_detect::{Detector, DetectorKind, Tuning};
use support::{Noise, at, numbered, row};

const WIDTH: usize = 30;

/// A detector that has seen `n` rows, a minute apart, of metrics that all follow one load.
fn taught(n: usize, noise: &mut Noise) -> Box<dyn Detector> {
    let mut detector = DetectorKind::Auto.build(150.0, 21_600.0);
    detector.tune(Tuning { period: 60.0, tail: 1e-4 });
    detector.resize(&numbered(WIDTH));
    for t in 0..n {
        step(&mut *detector, t, &loaded(noise, 0.0), 1.0);
    }
    detector
}

/// Metrics that follow one load; the first six are `apart` deviations off.
fn loaded(noise: &mut Noise, apart: f64) -> Vec<f64> {
    let load = noise.normal();
    (0..WIDTH).map(|i| 100.0 + 5.0 * load + noise.normal() + if i < 6 { apart } else { 0.0 }).collect()
}

fn step(detector: &mut dyn Detector, t: usize, values: &[f64], weight: f64) -> Verdict {
    let mut verdict = Verdict::default();
    detector.score(row(t as f64 * 60.0, values), &mut verdict);
    detector.learn(row(t as f64 * 60.0, values), weight);
    verdict
}

#[test]
fn metrics_that_stop_going_along_are_an_anomaly_that_holds_though_no_band_shows_it() {
    let mut noise = Noise(1);
    let mut detector = taught(2_000, &mut noise);
    let mut joint = Vec::new();
    for t in 2_000..2_060 {
        let verdict = step(&mut *detector, t, &loaded(&mut noise, 8.0), 0.0);
        assert!(verdict.metrics.iter().all(|m| (m.lower..m.upper).contains(&(m.expected + 8.0))));
        joint.push(detector.basis().joint / detector.basis().joint_limit);
    }
    let calm = {
        let mut detector = taught(2_000, &mut Noise(1));
        step(&mut *detector, 2_000, &loaded(&mut noise, 0.0), 1.0);
        detector.basis().joint / detector.basis().joint_limit
    };
    assert!(joint[10..].iter().all(|&j| j > 1.5 * calm), "{calm} {joint:?}");
}

#[test]
fn a_day_of_noise_is_flagged_for_less_than_one_event() {
    let mut noise = Noise(2);
    let mut detector = taught(500, &mut noise);
    let flagged = (500..1_940)
        .filter(|&t| step(&mut *detector, t, &loaded(&mut noise, 0.0), 1.0).score.is_anomalous())
        .count();
    assert!(flagged < 33, "{flagged}");
}

#[test]
fn what_lies_before_a_gap_is_no_edge_after_it() {
    let mut noise = Noise(3);
    let mut detector = taught(600, &mut noise);
    let mut whole = DetectorKind::Auto.build(150.0, 21_600.0);
    whole.restore(&detector.save()).unwrap();
    whole.tune(Tuning { period: 60.0, tail: 1e-4 });
    detector.gap(at(600.0 * 60.0), at(700.0 * 60.0));
    let leapt = loaded(&mut noise, 0.0).iter().map(|x| x + 12.0).collect::<Vec<_>>();
    step(&mut *detector, 700, &leapt, 1.0);
    step(&mut *whole, 600, &leapt, 1.0);
    assert!(detector.basis().joint < 0.7 * whole.basis().joint);
}

#[test]
fn a_beginning_is_told_once_and_then_rests() {
    let mut noise = Noise(4);
    let mut detector = taught(2_000, &mut noise);
    let onsets: Vec<bool> = (2_000..2_020)
        .map(|t| {
            let values: Vec<f64> = loaded(&mut noise, 0.0)
                .iter()
                .enumerate()
                .map(|(i, x)| x + f64::from(i as u32 % 2) * 900.0)
                .collect();
            step(&mut *detector, t, &values, 0.0).onset.is_anomalous()
        })
        .collect();
    assert!(onsets[0] && onsets[1..].iter().all(|&told| !told), "{onsets:?}");
}

#[test]
fn any_number_of_metrics_is_judged() {
    for width in [0, 1, 2, 65, 700, 3_000] {
        let mut detector = DetectorKind::Auto.build(10.0, 21_600.0);
        detector.tune(Tuning { period: 1.0, tail: 1e-6 });
        detector.resize(&numbered(width));
        let mut noise = Noise(5);
        let mut last = Verdict::default();
        for t in 0..230 {
            let values: Vec<f64> = (0..width).map(|_| noise.normal()).collect();
            detector.score(row(f64::from(t), &values), &mut last);
            detector.learn(row(f64::from(t), &values), 1.0);
        }
        assert_eq!((last.status, last.score.is_anomalous()), (Status::Ready, false), "{width}");
    }
}
