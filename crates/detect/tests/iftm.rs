//! What every detector of the IFTM family does beyond the contract: hold a fault, honour bounds, survive gaps.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use larnax_core::{Bounds, Direction, Metric, MetricKind, MetricName, Schema, Status, Transition, Verdict};
use larnax_detect::{Detector, DetectorKind, Tuning};
use support::{Fed, Noise, numbered, row};

const FAMILY: [DetectorKind; 4] =
    [DetectorKind::Arima, DetectorKind::ArimaOgd, DetectorKind::ArimaOns, DetectorKind::Pca];

/// Series that remember: autoregressive, all but white, with a spread of about 2.
fn remembering(noise: &mut Noise, last: &mut [f64], values: &mut [f64]) {
    for (value, last) in values.iter_mut().zip(last) {
        *last = 0.9 * *last + noise.normal();
        *value = 100.0 + *last;
    }
}

#[test]
fn a_fault_that_lasts_is_one_anomaly_that_stays_open_until_it_ends() {
    for kind in FAMILY {
        let (mut noise, mut last) = (Noise(1), [0.0; 6]);
        let mut fed = Fed::of(kind, &numbered(6));
        fed.run(0.0, 4_200.0, 1.0, |t, values| {
            remembering(&mut noise, &mut last, values);
            if (3_000.0..3_600.0).contains(&t) {
                values[2] += 60.0;
            }
        });
        let story = fed.story();
        let steps: Vec<_> = fed.changes.iter().map(|(_, c)| c.transition).collect();
        assert_eq!(steps.iter().filter(|s| **s == Transition::Opened).count(), 1, "{kind:?} {story}");
        assert_eq!(*steps.last().unwrap(), Transition::Closed, "{kind:?} {story}");
        let (opened, first) = &fed.changes[0];
        assert!((3_000.0..3_010.0).contains(opened), "{kind:?} {story}");
        assert_eq!(first.anomaly.metrics[0].metric.as_str(), "m2", "{kind:?} {story}");
        let closed = fed.changes.last().unwrap().0;
        assert!((3_600.0..3_800.0).contains(&closed), "{kind:?} {story}");
    }
}

#[test]
fn three_hours_of_a_quiet_machine_alert_nobody() {
    for kind in FAMILY {
        let (mut noise, mut last, mut walk) = (Noise(2), [0.0; 6], 1e6);
        let mut fed = Fed::of(kind, &numbered(8));
        fed.run(0.0, 3.0 * 3_600.0, 1.0, |t, values| {
            remembering(&mut noise, &mut last, &mut values[..6]);
            walk += noise.normal();
            (values[6], values[7]) = (walk, t);
        });
        assert_eq!(fed.alerts(), 0, "{kind:?} {}", fed.story());
        assert!(fed.flagged * 100 < fed.ready, "{kind:?} {} of {}", fed.flagged, fed.ready);
    }
}

#[test]
fn an_hour_without_rows_makes_nothing_anomalous() {
    for kind in FAMILY {
        let (mut noise, mut last) = (Noise(3), [0.0; 6]);
        let mut fed = Fed::of(kind, &numbered(6));
        for from in [0.0, 5_400.0] {
            fed.run(from, 1_800.0, 1.0, |_, values| remembering(&mut noise, &mut last, values));
        }
        assert!(fed.changes.is_empty(), "{kind:?} {}", fed.story());
    }
}

/// A detector that has seen ten minutes of noise around 100, and what it then says of one row.
fn taught(kind: DetectorKind, bounds: Bounds) -> impl FnMut(&[f64]) -> Verdict {
    let metric =
        |i| Metric { bounds, ..Metric::new(MetricName::new(&format!("m{i}")).unwrap(), MetricKind::Gauge) };
    let schema: Arc<Schema> = Schema::new((0..4).map(metric).collect()).unwrap();
    let mut detector: Box<dyn Detector> = kind.build(150.0, 21_600.0);
    detector.tune(Tuning { period: 1.0, tail: 1e-6 });
    detector.resize(&schema);
    let (mut noise, mut verdict) = (Noise(4), Verdict::default());
    for t in 0..600 {
        let values = [(); 4].map(|()| 100.0 + noise.normal());
        detector.score(row(f64::from(t), &values), &mut verdict);
        detector.learn(row(f64::from(t), &values), 1.0);
    }
    move |values| {
        detector.score(row(600.0, values), &mut verdict);
        verdict.clone()
    }
}

#[test]
fn what_is_known_beforehand_of_a_metric_is_honoured() {
    let up = [100.0, 140.0, 100.0, 100.0];
    let down = [100.0, 60.0, 100.0, 100.0];
    for kind in FAMILY {
        let anomalous = |bounds, values: &[f64]| taught(kind, bounds)(values).score.is_anomalous();
        assert!(anomalous(Bounds::NONE, &up) && anomalous(Bounds::NONE, &down), "{kind:?}");
        let least = Bounds { least: 60.0, ..Bounds::NONE };
        assert!(!anomalous(least, &up), "{kind:?}");
        let above = Bounds { direction: Direction::Above, ..Bounds::NONE };
        assert!(anomalous(above, &up) && !anomalous(above, &down), "{kind:?}");
        let below = Bounds { direction: Direction::Below, ..Bounds::NONE };
        assert!(!anomalous(below, &up) && anomalous(below, &down), "{kind:?}");
        let possible = Bounds { least: 1e3, highest: 120.0, ..Bounds::NONE };
        let verdict = taught(kind, possible)(&up);
        assert!(verdict.score.is_anomalous() && verdict.top(1)[0].0 == 1, "{kind:?} {verdict:?}");
    }
}

#[test]
fn a_single_missing_value_is_bridged_and_the_row_after_it_is_judged() {
    for kind in FAMILY {
        let (mut noise, mut last) = (Noise(5), [0.0; 6]);
        let mut fed = Fed::of(kind, &numbered(6));
        fed.run(0.0, 1_000.0, 1.0, |_, values| remembering(&mut noise, &mut last, values));
        fed.feed(1_000.0, &[f64::NAN, 100.0, 100.0, 100.0, 100.0, 100.0]);
        fed.feed(1_001.0, &[100.0; 6]);
        let verdict = fed.watch.verdict();
        assert_eq!(verdict.status, Status::Ready);
        assert!(verdict.metrics[0].deviation.is_finite(), "{kind:?} {verdict:?}");
    }
}
