//! Saved state of each detector, damaged: it is restored, merged, and then judges and learns rows. Nothing panics, scores are
//! finite.
//!
//! The first byte chooses the detector, the second how the rest is read: as the payload itself, or as changes to that of one
//! that has learnt rows, three bytes each (two say where, one what), which gets deeper.

#![no_main]

use std::sync::{Arc, OnceLock};

use larnax_core::model_store::Envelope;
use larnax_core::{Metric, MetricKind, MetricName, Row, Schema, Timestamp, Verdict};
use larnax_detect::{Detector, DetectorKind, Tuning};
use libfuzzer_sys::fuzz_target;

const METRICS: usize = 4;
const KINDS: usize = DetectorKind::ALL.len();

fuzz_target!(|input: &[u8]| {
    let [which, how, rest @ ..] = input else { return };
    let kind = DetectorKind::ALL[usize::from(*which) % KINDS];
    let known = learnt(kind);
    let envelope = Envelope::decode(known).unwrap();
    let payload = if how % 4 == 0 { rest.to_vec() } else { changed(envelope.payload, rest) };
    let bytes = Envelope { payload: &payload, ..envelope }.encode();

    let mut detector = new(kind);
    let restored = detector.restore(&bytes).is_ok();
    // Another order and one metric more, as after an upgrade of what is watched.
    if how & 4 != 0 {
        detector.resize(&schema(&["m3", "new", "m1", "m0"]));
    }
    feed(&mut *detector, 1_000);
    // Weights of a damaged network may grow past what is believed of a saved one, which then learns anew.
    if restored && kind != DetectorKind::Lstm {
        let saved = detector.save();
        new(kind).restore(&saved).expect("what it saves it reads");
    }
    let mut other = new(kind);
    other.restore(known).unwrap();
    let _ = other.merge(&bytes);
    let _ = other.merge_all(&[known, &bytes, known]);
    feed(&mut *other, 2_000);
});

/// Saved state of one that has learnt five minutes.
fn learnt(kind: DetectorKind) -> &'static [u8] {
    static LEARNT: [OnceLock<Vec<u8>>; KINDS] = [const { OnceLock::new() }; KINDS];
    let at = DetectorKind::ALL.iter().position(|known| *known == kind).unwrap();
    LEARNT[at].get_or_init(|| {
        let mut detector = new(kind);
        (0..10).for_each(|i| feed(&mut *detector, 30 * i));
        detector.save()
    })
}

fn changed(payload: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    let length = payload.len();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) * length / 65_536;
        payload[place] = change[2];
    }
    payload
}

fn new(kind: DetectorKind) -> Box<dyn Detector> {
    let mut detector = kind.build(150.0, 21_600.0);
    detector.tune(Tuning { period: 1.0, tail: 1e-6 });
    detector.resize(&schema(&["m0", "m1", "m2", "m3"]));
    detector
}

fn schema(names: &[&str; METRICS]) -> Arc<Schema> {
    let metric = |name: &&str| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
    Schema::new(names.iter().map(metric).collect()).unwrap()
}

/// Thirty rows, one with a missing value, some that are flagged.
fn feed(detector: &mut dyn Detector, from: u32) {
    let mut verdict = Verdict::default();
    for t in from..from + 30 {
        let wave = |i: u32| 100.0 + f64::from(t.wrapping_mul((i + 3) * 2_654_435) % 1_000) / 100.0;
        let mut values = [wave(0), wave(1), wave(2), wave(3)];
        match t % 30 {
            7 => values[1] = f64::NAN,
            20..24 => values[2] = 900.0,
            _ => {}
        }
        let row = Row { time: Timestamp::from_seconds(1e9 + f64::from(t)), values: &values, learnable: true };
        detector.score(row, &mut verdict);
        assert!(verdict.score.get().is_finite());
        detector.learn(row, if verdict.score.is_anomalous() { 0.0 } else { 1.0 });
        if t % 30 == 25 {
            detector.settle(t % 60 == 25);
        }
    }
}
