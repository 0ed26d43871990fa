//! The contract of every detector. A new detector is a new row in `DetectorKind::ALL`, not a new suite.

mod support;

use larnax_core::model_store::Envelope;
use larnax_core::{Row, Status, Verdict};
use larnax_detect::{DetectError, Detector, DetectorKind, Tuning};
use support::{Noise, at, numbered, row, schema};

const WARM_UP: f64 = 150.0;
const MEMORY: f64 = 21_600.0;

/// Runs a check on every kind.
fn every(check: impl Fn(&dyn Fn() -> Box<dyn Detector>)) {
    for kind in DetectorKind::ALL {
        check(&|| {
            let mut detector = kind.build(WARM_UP, MEMORY);
            detector.tune(Tuning { period: 1.0, tail: 1e-6 });
            detector
        });
    }
}

/// Learns `n` seconds of noise around 100 per metric, starting at `from`; says whether it was ready at the end.
fn teach(detector: &mut dyn Detector, width: usize, from: usize, n: usize, noise: &mut Noise) -> Verdict {
    let (mut verdict, mut values) = (Verdict::default(), vec![0.0; width]);
    for t in from..from + n {
        values.iter_mut().for_each(|v| *v = 100.0 + noise.normal());
        detector.score(row(t as f64, &values), &mut verdict);
        detector.learn(row(t as f64, &values), 1.0);
    }
    verdict
}

fn scores(detector: &mut dyn Detector, width: usize, from: usize, n: usize) -> Vec<u64> {
    let mut noise = Noise(99);
    (from..from + n).map(|t| teach(detector, width, t, 1, &mut noise).score.get().to_bits()).collect()
}

#[test]
fn it_warms_up_shows_provisional_bands_within_a_minute_and_then_is_ready() {
    every(|build| {
        let (mut d, mut noise) = (build(), Noise(1));
        d.resize(&numbered(20));
        assert_eq!(teach(&mut *d, 20, 0, 5, &mut noise).status, Status::WarmingUp);
        let early = teach(&mut *d, 20, 5, 55, &mut noise);
        assert_eq!(early.status, Status::Provisional);
        assert!(early.metrics.iter().all(|m| m.lower < 100.0 && m.upper > 100.0), "{:?}", early.metrics[0]);
        assert!(d.warm_up_left() > 0.0);
        assert_eq!(teach(&mut *d, 20, 60, 100, &mut noise).status, Status::Ready);
        assert_eq!(d.warm_up_left().max(0.0), 0.0);
    });
}

#[test]
fn the_same_rows_give_the_same_scores() {
    every(|build| {
        let run = || {
            let mut d = build();
            d.resize(&numbered(12));
            scores(&mut *d, 12, 0, 400)
        };
        assert_eq!(run(), run());
    });
}

#[test]
fn a_restored_detector_goes_on_bit_for_bit() {
    every(|build| {
        let (mut a, mut b) = (build(), build());
        a.resize(&numbered(12));
        teach(&mut *a, 12, 0, 300, &mut Noise(3));
        b.restore(&a.save()).unwrap();
        b.resize(&numbered(12));
        assert_eq!(scores(&mut *a, 12, 300, 100), scores(&mut *b, 12, 300, 100));
    });
}

#[test]
fn metrics_keep_what_was_learnt_when_their_order_changes() {
    every(|build| {
        let mut d = build();
        d.resize(&schema(&["a".into(), "b".into()]));
        let mut verdict = Verdict::default();
        let mut noise = Noise(4);
        for t in 0..300 {
            let values = [10.0 + noise.normal(), 500.0 + noise.normal()];
            d.score(row(f64::from(t), &values), &mut verdict);
            d.learn(row(f64::from(t), &values), 1.0);
        }
        d.resize(&schema(&["b".into(), "new".into(), "a".into()]));
        d.score(row(300.0, &[500.0, 7.0, 10.0]), &mut verdict);
        assert_eq!(verdict.status, Status::Ready);
        assert!(!verdict.score.is_anomalous(), "{:?}", verdict);
        assert!((verdict.metrics[0].expected - 500.0).abs() < 3.0 && verdict.metrics[1].expected.is_nan());
        d.score(row(301.0, &[500.0, 7.0, 60.0]), &mut verdict);
        assert!(verdict.score.is_anomalous() && verdict.top(1)[0].0 == 2, "{:?}", verdict);
    });
}

#[test]
fn weight_zero_teaches_nothing() {
    every(|build| {
        let mut a = build();
        a.resize(&numbered(5));
        teach(&mut *a, 5, 0, 300, &mut Noise(5));
        let mut verdict = Verdict::default();
        for t in 300..400 {
            a.score(row(f64::from(t), &[160.0; 5]), &mut verdict);
            assert!(verdict.score.is_anomalous(), "the state holds as long as the fault lasts: {t}");
            a.learn(row(f64::from(t), &[160.0; 5]), 0.0);
        }
        a.score(row(400.0, &[100.0; 5]), &mut verdict);
        a.settle(true);
        let after = teach(&mut *a, 5, 401, 1, &mut Noise(6));
        assert!(after.metrics.iter().all(|m| (m.expected - 100.0).abs() < 2.0), "{:?}", after.metrics);
    });
}

#[test]
fn learning_a_row_that_was_not_scored_changes_nothing() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(3));
        teach(&mut *d, 3, 0, 300, &mut Noise(7));
        let before = d.save();
        d.learn(row(900.0, &[1e9; 3]), 1.0);
        assert_eq!(d.save(), before);
    });
}

#[test]
fn nothing_is_allocated_per_sample_once_warm() {
    every(|build| {
        for width in [3, 150] {
            let (mut d, mut noise) = (build(), Noise(8));
            d.resize(&numbered(width));
            teach(&mut *d, width, 0, 400, &mut noise);
            let (mut verdict, mut values) = (Verdict::default(), vec![0.0; width]);
            d.score(row(400.0, &vec![100.0; width]), &mut verdict);
            let info = allocation_counter::measure(|| {
                for t in 401..700 {
                    values.iter_mut().for_each(|v| *v = 100.0 + noise.normal());
                    values[0] = if t % 50 == 0 { f64::NAN } else { values[0] };
                    d.tune(Tuning { period: 1.0, tail: 1e-6 });
                    d.score(row(f64::from(t), &values), &mut verdict);
                    d.learn(row(f64::from(t), &values), if t % 7 == 0 { 0.0 } else { 1.0 });
                    d.settle(t % 2 == 0);
                }
            });
            assert_eq!(info.count_total, 0, "width {width}");
        }
    });
}

#[test]
fn fewer_than_half_of_the_metrics_give_no_judgement_and_teach_nothing() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(10));
        teach(&mut *d, 10, 0, 300, &mut Noise(9));
        let mut values = [f64::NAN; 10];
        values[..4].fill(1e6);
        let mut verdict = Verdict::default();
        d.score(row(300.0, &values), &mut verdict);
        assert_eq!((verdict.status, verdict.score.get()), (Status::Unknown, 0.0));
        values[..6].fill(100.0);
        d.score(row(301.0, &values), &mut verdict);
        assert_eq!(verdict.status, Status::Ready);
        assert!(!verdict.score.is_anomalous() && verdict.metrics[9].deviation.is_nan());
    });
}

#[test]
fn bad_input_neither_panics_nor_makes_scores_that_are_not_finite() {
    let bad = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e300,
        -1e300,
        f64::MAX,
        f64::MIN_POSITIVE / 8.0,
        5e-324,
        0.0,
        -0.0,
        1e119,
        100.0,
    ];
    every(|build| {
        for width in [0, 1, 7] {
            let (mut d, mut noise) = (build(), Noise(10));
            d.resize(&numbered(width));
            let mut verdict = Verdict::default();
            for i in 0..4_000i64 {
                let values: Vec<f64> =
                    (0..width).map(|_| bad[(noise.uniform() * bad.len() as f64) as usize]).collect();
                // Forward, standing, backward, a day ahead.
                let time = match i % 97 {
                    13 => at(i as f64 - 50.0),
                    14 => at(i as f64),
                    _ => at(i as f64 + (i / 1_000 * 86_400) as f64),
                };
                let row = Row { time, values: &values, learnable: true };
                d.score(row, &mut verdict);
                assert!(verdict.score.get().is_finite());
                for m in verdict.metrics.iter().filter(|m| !m.deviation.is_nan()) {
                    assert!(m.deviation.is_finite() && m.expected.is_finite(), "{m:?}");
                }
                d.learn(row, [1.0, 0.0, 0.3, f64::NAN, -1.0, 9.0][(i % 6) as usize]);
                if i % 100 == 0 {
                    d.settle(i % 200 == 0);
                }
            }
            let saved = d.save();
            build().restore(&saved).unwrap();
        }
    });
}

/// What may be wrong with the values of a row.
type Fault = fn(&mut [f64]);
/// When the row of a second is said to be of.
type Clock = fn(usize) -> f64;

#[test]
fn after_bad_rows_it_judges_good_ones_as_before() {
    let faults: [(&str, Fault); 7] = [
        ("NaN", |row| row.fill(f64::NAN)),
        ("infinity", |row| row[..2].fill(f64::INFINITY)),
        ("minus infinity", |row| row.fill(f64::NEG_INFINITY)),
        ("1e300", |row| row[1..3].fill(1e300)),
        ("denormals", |row| row[..3].fill(5e-324)),
        ("a constant", |row| row.fill(100.0)),
        ("a metric that vanishes", |row| row[3] = f64::NAN),
    ];
    let steady = |t: usize| t as f64;
    let clocks: [(&str, Clock); 4] = [
        ("one instant again and again", |_| 400.0),
        ("time that goes backward", |t| 800.0 - t as f64),
        ("time that was long ago", |t| t as f64 - 1e9),
        ("a row a day", |t| 400.0 + 86_400.0 * (t - 400) as f64),
    ];
    faults.iter().for_each(|(fault, make)| judges_well_after(fault, *make, steady));
    clocks.iter().for_each(|(fault, clock)| judges_well_after(fault, |_| {}, *clock));
}

/// Each kind learns good rows, then a minute of bad ones of these values and times, then good ones again.
fn judges_well_after(fault: &str, make: impl Fn(&mut [f64]), clock: impl Fn(usize) -> f64) {
    every(|build| {
        let (mut d, mut noise) = (build(), Noise(22));
        d.resize(&numbered(6));
        teach(&mut *d, 6, 0, 400, &mut noise);
        let (mut verdict, mut values) = (Verdict::default(), [0.0; 6]);
        for t in 400..460 {
            values.fill_with(|| 100.0 + noise.normal());
            make(&mut values);
            let time = clock(t);
            d.score(row(time, &values), &mut verdict);
            assert!(verdict.score.get().is_finite(), "{fault}: {verdict:?}");
            let flagged = verdict.score.is_anomalous();
            d.learn(row(time, &values), if flagged { 0.0 } else { 1.0 });
        }
        d.settle(true);
        // After all of the clocks.
        let from = 90 * 86_400;
        d.gap(at(460.0), at(from as f64));
        let after = teach(&mut *d, 6, from, 200, &mut noise);
        assert_eq!(after.status, Status::Ready, "{:?} after {fault}", d.kind());
        assert!(!after.score.is_anomalous(), "{:?} after {fault}: {after:?}", d.kind());
        d.score(row((from + 200) as f64, &[100.0, 100.0, 100.0, 900.0, 100.0, 100.0]), &mut verdict);
        assert!(verdict.score.is_anomalous(), "{:?} after {fault}: {verdict:?}", d.kind());
        assert_eq!(verdict.top(1)[0].0, 3, "{:?} after {fault}", d.kind());
    });
}

#[test]
fn metrics_that_come_and_go_leave_the_others_judged() {
    every(|build| {
        let (mut d, mut noise, mut verdict) = (build(), Noise(23), Verdict::default());
        let named = |names: &[&str]| schema(&names.iter().map(|&name| name.into()).collect::<Vec<_>>());
        let mut t = 0;
        for names in
            [&["a", "b", "c", "d"][..], &["d", "c", "a"], &["a"], &["a", "x", "y", "c", "z"], &["c", "a"]]
        {
            d.resize(&named(names));
            teach(&mut *d, names.len(), t, 300, &mut noise);
            t += 300;
        }
        assert_eq!(teach(&mut *d, 2, t, 1, &mut noise).status, Status::Ready);
        d.score(row(t as f64 + 1.0, &[100.0, 900.0]), &mut verdict);
        assert!(verdict.score.is_anomalous() && verdict.top(1)[0].0 == 1, "{:?} {verdict:?}", d.kind());
        d.resize(&named(&[]));
        d.score(row(t as f64 + 2.0, &[]), &mut verdict);
        assert!(!verdict.score.is_anomalous() && verdict.metrics.is_empty(), "{:?} {verdict:?}", d.kind());
        d.learn(row(t as f64 + 2.0, &[]), 1.0);
    });
}

/// CPUs differ in how `ln`, `exp` and `sin` round their last place, and in nothing else. So values that differ in their last
/// place stand for another CPU.
#[test]
fn values_that_differ_in_their_last_place_give_the_same_scores_within_the_tolerance() {
    every(|build| {
        let run = |change: f64| {
            let (mut d, mut noise) = (build(), Noise(24));
            d.resize(&numbered(6));
            let (mut verdict, mut values, mut scores) = (Verdict::default(), [0.0; 6], Vec::new());
            for t in 0..600 {
                values.fill_with(|| (100.0 + noise.normal()) * (1.0 + change));
                values[2] += if t % 97 == 0 { 40.0 } else { 0.0 };
                d.score(row(f64::from(t), &values), &mut verdict);
                d.learn(row(f64::from(t), &values), if t % 97 == 0 { 0.0 } else { 1.0 });
                scores.push(verdict.score.get());
            }
            scores
        };
        let tolerance = if build().kind() == DetectorKind::Lstm { 1e-3 } else { 1e-6 };
        for (t, (a, b)) in run(0.0).iter().zip(run(f64::EPSILON)).enumerate() {
            assert!((a - b).abs() <= tolerance * a.abs().max(1.0), "{:?} at {t}: {a} {b}", build().kind());
        }
    });
}

#[test]
fn rows_of_another_width_are_unknown() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(3));
        let mut verdict = Verdict::default();
        for values in [&[1.0; 2][..], &[1.0; 4], &[]] {
            d.score(row(1.0, values), &mut verdict);
            assert_eq!(verdict.status, Status::Unknown);
            d.learn(row(1.0, values), 1.0);
        }
    });
}

#[test]
fn ten_thousand_metrics_stay_within_bounded_memory() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(10_000));
        teach(&mut *d, 10_000, 0, 30, &mut Noise(11));
        assert!(d.state_bytes() < 4 << 20, "{}", d.state_bytes());
        let mut small = build();
        small.resize(&numbered(500));
        teach(&mut *small, 500, 0, 200, &mut Noise(12));
        // A network has its weights, whatever it watches.
        let limit = if small.kind() == DetectorKind::Lstm { 700 << 10 } else { 200 << 10 };
        assert!(small.state_bytes() <= limit, "{:?}: {}", small.kind(), small.state_bytes());
    });
}

#[test]
fn damaged_foreign_and_newer_state_is_refused_and_nothing_changes() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(4));
        teach(&mut *d, 4, 0, 200, &mut Noise(13));
        let saved = d.save();
        let before = d.save();
        for cut in (0..saved.len()).step_by((saved.len() / 300).max(37)) {
            assert!(d.restore(&saved[..cut]).is_err());
        }
        for place in (0..saved.len()).step_by((saved.len() / 1_000).max(11)) {
            let mut changed = saved.clone();
            changed[place] ^= 0x55;
            assert!(d.restore(&changed).is_err());
        }
        let kind = d.kind().as_str();
        let foreign = Envelope { kind: "other", version: 1, payload: b"" }.encode();
        assert!(matches!(d.restore(&foreign), Err(DetectError::WrongKind { .. })));
        let newer = Envelope { kind, version: 999, payload: b"" }.encode();
        assert!(matches!(d.restore(&newer), Err(DetectError::WrongKind { version: 999, .. })));
        let own = d.kind();
        for other in DetectorKind::ALL.into_iter().filter(|other| *other != own) {
            let mut other = other.build(WARM_UP, MEMORY);
            other.resize(&numbered(4));
            teach(&mut *other, 4, 0, 30, &mut Noise(13));
            for result in [d.restore(&other.save()), d.merge(&other.save())] {
                assert!(matches!(result, Err(DetectError::WrongKind { .. })), "{result:?}");
            }
        }
        for bad in [&saved[..saved.len() / 2], &newer] {
            assert!(d.merge(bad).is_err());
            assert!(d.merge_all(&[&saved, bad]).is_err(), "all or nothing");
        }
        assert_eq!(d.save(), before);
    });
}

#[test]
fn state_with_a_right_checksum_and_random_content_never_panics() {
    every(|build| {
        let mut d = build();
        d.resize(&numbered(4));
        teach(&mut *d, 4, 0, 200, &mut Noise(14));
        let saved = d.save();
        let envelope = Envelope::decode(&saved).unwrap();
        let mut noise = Noise(15);
        for _ in 0..3_000 {
            let mut payload = envelope.payload.to_vec();
            for _ in 0..1 + (noise.uniform() * 4.0) as usize {
                let place = (noise.uniform() * payload.len() as f64) as usize;
                payload[place] = (noise.uniform() * 256.0) as u8;
            }
            let bytes = Envelope { payload: &payload, ..envelope }.encode();
            let mut victim = build();
            victim.resize(&numbered(4));
            if victim.restore(&bytes).is_ok() {
                teach(&mut *victim, 4, 0, 20, &mut Noise(16));
            }
            let _ = victim.merge(&bytes);
        }
    });
}

#[test]
fn merging_two_that_learnt_the_same_kind_of_normal_stays_ready_and_quiet() {
    every(|build| {
        let (mut a, mut b) = (build(), build());
        for (d, seed) in [(&mut a, 17), (&mut b, 18)] {
            d.resize(&numbered(6));
            teach(&mut **d, 6, 0, 400, &mut Noise(seed));
        }
        a.merge(&b.save()).unwrap();
        let verdict = teach(&mut *a, 6, 400, 50, &mut Noise(19));
        assert_eq!(verdict.status, Status::Ready);
        assert!(!verdict.score.is_anomalous());
        let mut stranger = build();
        stranger.resize(&schema(&["x".into()]));
        assert_eq!(stranger.merge(&b.save()), Err(DetectError::NothingInCommon));
    });
}

#[test]
fn a_new_instance_that_merges_starts_warm() {
    every(|build| {
        let (mut old, mut new) = (build(), build());
        old.resize(&numbered(6));
        teach(&mut *old, 6, 0, 400, &mut Noise(20));
        new.resize(&numbered(6));
        new.merge(&old.save()).unwrap();
        assert_eq!(teach(&mut *new, 6, 400, 1, &mut Noise(21)).status, Status::Ready);
    });
}
