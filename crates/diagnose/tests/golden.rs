//! Reference vectors, made with numpy and scipy.

#![allow(clippy::unwrap_used)]

use larnax_diagnose::deviation::robust_score;
use larnax_diagnose::onset::Bocpd;
use serde_json::Value;

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn run_lengths_are_those_of_the_reference() {
    let golden = golden(include_str!("golden/bocpd.json"));
    let level = |i: usize| if i < 30 { (0.2, i) } else { (0.9, i - 30) };
    let series = (0..45).map(level).map(|(level, i)| level + 0.02 * (((i * 7) % 5) as f64 - 2.0));
    let mut bocpd = Bocpd::new(1, golden["lambda_"].as_f64().unwrap());
    let mut lengths = vec![bocpd.run_length() as f64];
    for value in series {
        bocpd.push(&[value]);
        lengths.push(bocpd.run_length() as f64);
    }
    assert_eq!(lengths, numbers(&golden["argmax_runlength"]));
}

#[test]
fn robust_scores_are_those_of_the_reference() {
    let golden = golden(include_str!("golden/robust_scorer.json"));
    let score = robust_score(&numbers(&golden["pre"]), &numbers(&golden["post"])).unwrap();
    for (ours, name) in [
        (score.median, "median"),
        (score.range, "iqr_linear"),
        (score.two_sided, "score_two_sided"),
        (score.upwards, "score_signed"),
    ] {
        let expected = golden[name].as_f64().unwrap();
        assert!((ours - expected).abs() <= 1e-9 * expected.abs(), "{name}: {ours} and {expected}");
    }
}
