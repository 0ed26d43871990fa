//! The figures equal those of an independent implementation in Python (numpy; AUC-PR, VUS-PR and its window as TSB-AD
//! calculates them, NAB's scorer as checked against the benchmark's published results). `fixtures/figures.json` holds
//! made-up scores with its answers.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ops::Range;

use larnax_evaluate::{Events, Series, at_budget, auc_pr, nab, vus_pr, window_length};
use serde_json::Value;

/// Sums are taken in another order than there.
const ROUNDING: f64 = 1e-9;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/figures.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn stretches(value: &Value) -> Vec<Range<usize>> {
    let end = |pair: &Value, i: usize| usize::try_from(pair[i].as_u64().unwrap()).unwrap();
    value.as_array().unwrap().iter().map(|pair| end(pair, 0)..end(pair, 1)).collect()
}

fn assert_near(found: Option<f64>, expected: &Value, what: &str) {
    let (found, expected) = (found.unwrap(), expected.as_f64().unwrap());
    assert!((found - expected).abs() < ROUNDING, "{what}: found {found}, expected {expected}");
}

#[test]
fn areas_window_and_events_caught_are_the_same() {
    for case in fixtures()["series"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let scores = numbers(&case["scores"]);
        let events = Events::from_stretches(scores.len(), stretches(&case["events"]));
        let series = Series::new(&scores, &events).unwrap();
        let window = window_length(&numbers(&case["first_metric"]));
        assert_eq!(window as u64, case["window"].as_u64().unwrap(), "{name}");
        assert_near(auc_pr(&series), &case["auc_pr"], name);
        assert_near(vus_pr(&series, window), &case["vus_pr"], name);
        assert_near(vus_pr(&series, 3), &case["vus_pr_3"], name);
        let found = at_budget(&series, case["rows_a_day"].as_f64().unwrap()).unwrap();
        assert_near(Some(found.caught), &case["caught"], name);
        assert_eq!(found.delay_rows, case["delay_rows"].as_f64(), "{name}");
    }
}

#[test]
fn nab_scores_are_the_same_at_the_best_threshold_and_at_others() {
    let fixtures = fixtures();
    let mut corpus = nab::Corpus::default();
    for stream in fixtures["nab"]["streams"].as_array().unwrap() {
        corpus.add(&numbers(&stream["scores"]), &stretches(&stream["windows"])).unwrap();
    }
    for (profile, expected) in nab::PROFILES.iter().zip(fixtures["nab"]["profiles"].as_array().unwrap()) {
        assert_eq!(profile.name, expected["name"].as_str().unwrap());
        let best = corpus.best(profile).unwrap();
        assert_near(Some(best.score), &expected["best"], profile.name);
        assert_near(Some(best.threshold), &expected["threshold"], profile.name);
        assert_near(corpus.at(0.5, profile), &expected["at_half"], profile.name);
        assert_near(corpus.at(0.2, profile), &expected["at_low"], profile.name);
    }
}
