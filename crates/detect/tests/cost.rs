//! What a budget of CPU leaves out, and what it leaves as it was.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use larnax_core::AnomalyKind;
use larnax_detect::{CostPlan, DetectorKind, Settings};
use support::{Fed, Noise, at, numbered};

/// Enough metrics that a budget of 2 µs has to leave out rows.
const METRICS: usize = 60;

fn fed(detector: DetectorKind, micros: Option<u64>) -> Fed {
    let settings =
        Settings { detector, cpu_budget: micros.map(Duration::from_micros), ..Settings::default() };
    Fed::with(settings, &numbered(METRICS))
}

/// Metrics that share half of what moves them; from `fault` on, half of them are far from where they were.
fn run(fed: &mut Fed, from: f64, seconds: f64, fault: f64) -> Vec<f64> {
    let mut noise = Noise(11 + from as u64);
    let mut scores = Vec::new();
    let mut values = [0.0; METRICS];
    for i in 0..seconds as u64 {
        let t = from + i as f64;
        let common = noise.normal();
        for (k, value) in values.iter_mut().enumerate() {
            let step = if t >= fault && k % 2 == 0 { 60.0 } else { 0.0 };
            *value = 100.0 + common + noise.normal() + step;
        }
        fed.feed(t, &values);
        scores.push(fed.watch.verdict().score.get());
    }
    scores
}

#[test]
fn a_large_budget_changes_nothing_and_other_detectors_take_no_notice() {
    for (detector, micros) in [(DetectorKind::Auto, 1_000_000), (DetectorKind::Birch, 1)] {
        let (mut with, mut without) = (fed(detector, Some(micros)), fed(detector, None));
        assert_eq!(run(&mut with, 0.0, 600.0, 500.0), run(&mut without, 0.0, 600.0, 500.0), "{detector:?}");
        assert_eq!(with.watch.cost_plan().is_some(), detector == DetectorKind::Auto);
        assert_eq!(without.watch.cost_plan(), None);
    }
}

#[test]
fn a_small_budget_judges_each_so_manieth_row_and_still_sees_a_fault() {
    let mut fed = fed(DetectorKind::Auto, Some(2));
    let every = fed.watch.cost_plan().unwrap().every as usize;
    assert!((2..=10).contains(&every), "{every}");
    let scores = run(&mut fed, 0.0, 3_600.0, 3_000.0);
    // A score stands until the next row is judged.
    assert!(scores.chunks(every).all(|chunk| chunk.iter().all(|score| *score == chunk[0])));
    assert_eq!(fed.watch.period(), 1.0);
    let opened: Vec<f64> = fed
        .changes
        .iter()
        .filter(|(_, c)| c.anomaly.kind == AnomalyKind::Deviation)
        .map(|(t, _)| *t)
        .collect();
    assert!(opened.first().is_some_and(|&t| (3_000.0..3_060.0).contains(&t)), "{}", fed.story());
    assert_eq!(fed.alerts(), 1, "{}", fed.story());
}

#[test]
fn rows_that_are_not_judged_are_no_silence() {
    let mut fed = fed(DetectorKind::Auto, Some(1));
    assert!(fed.watch.cost_plan().unwrap().every > 3);
    run(&mut fed, 0.0, 600.0, f64::INFINITY);
    let mut changes = Vec::new();
    fed.watch.silent(at(600.0), &mut fed.budget, &mut changes);
    assert_eq!((changes.len(), fed.watch.last_seen()), (0, Some(at(599.0))));
    fed.watch.silent(at(620.0), &mut fed.budget, &mut changes);
    assert_eq!(changes[0].anomaly.kind, AnomalyKind::TargetAbsent);
}

#[test]
fn state_goes_from_one_budget_to_another() {
    let plan = |micros| CostPlan::new(METRICS, Duration::from_micros(micros));
    let no_peers = (1..100).find(|&micros| plan(micros).every == 1).unwrap();
    assert!(!plan(no_peers).peers);
    let budgets = [None, Some(no_peers), Some(1)];
    for from in budgets {
        let mut learnt = fed(DetectorKind::Auto, from);
        run(&mut learnt, 0.0, 900.0, f64::INFINITY);
        let saved = learnt.watch.save();
        for to in budgets {
            let mut restored = fed(DetectorKind::Auto, to);
            let plan = restored.watch.cost_plan();
            restored.watch.restore(&saved).unwrap();
            assert_eq!(restored.watch.cost_plan(), plan);
            let scores = run(&mut restored, 900.0, 300.0, f64::INFINITY);
            assert!(scores.iter().all(|score| score.is_finite()));
            if from == to && plan.is_none_or(|plan| plan.every == 1) {
                assert_eq!(run(&mut learnt, 900.0, 300.0, f64::INFINITY), scores, "{from:?}");
            }
            restored.watch.merge(&[&saved]).unwrap();
        }
    }
}
