use super::*;

/// Noise that is the same in every run, about normal (sum of twelve uniform numbers).
fn noise(seed: &mut u64) -> f64 {
    let uniform = |seed: &mut u64| {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..12).map(|_| uniform(seed)).sum::<f64>() - 6.0
}

/// An autoregression of order two.
fn series(seed: u64, n: usize) -> Vec<f64> {
    let (mut seed, mut last) = (seed, (0.0, 0.0));
    let mut xs = Vec::with_capacity(n);
    for _ in 0..n {
        let x = 1.2 * last.0 - 0.5 * last.1 + 0.5 * noise(&mut seed);
        last = (x, last.0);
        xs.push(x);
    }
    xs
}

fn learn(rls: &mut Rls, rows: impl IntoIterator<Item = Vec<f64>>) -> Vec<f64> {
    let mut expected = Vec::new();
    for row in rows {
        expected = vec![0.0; row.len()];
        rls.expect(&row, &mut expected);
        rls.learn(&row, 1.0);
    }
    expected
}

fn near(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
}

fn numbers(golden: &serde_json::Value) -> Vec<f64> {
    golden.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn it_is_the_weighted_ridge_regression_over_all_rows() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/golden/arima_rls.json")).unwrap();
    let rows: Vec<Vec<f64>> = golden["rows"].as_array().unwrap().iter().map(numbers).collect();
    let weights = numbers(&golden["weights"]);
    let mut rls = Rls::new();
    rls.rearrange(&[None; 2]);
    rls.tune(0.5);
    let mut expected = [0.0; 2];
    for (row, &weight) in rows.iter().zip(&weights) {
        rls.expect(row, &mut expected);
        rls.learn(row, weight);
    }
    for metric in 0..2 {
        near(expected[metric], numbers(&golden["last"])[metric], 1e-9);
        let reference = numbers(&golden["coefficients"][metric]);
        for (found, reference) in rls.coefficients(metric).into_iter().zip(reference) {
            near(found, reference, 1e-9);
        }
    }
}

#[test]
fn after_five_thousand_rows_the_forecast_is_nearly_as_good_as_with_the_true_coefficients() {
    let (mut rls, xs) = (Rls::new(), series(1, 5_000));
    rls.rearrange(&[None]);
    rls.tune(1e-3);
    learn(&mut rls, xs.iter().map(|&x| vec![x]));
    let gamma = rls.coefficients(0);
    near(gamma[0], 1.2, 0.05);
    near(gamma[1], -0.5, 0.05);
    let (mut squares, mut best) = (0.0, 0.0);
    let mut last = (xs[4_999], xs[4_998]);
    let mut seed = 77;
    for _ in 0..2_000 {
        let shock = 0.5 * noise(&mut seed);
        let x = 1.2 * last.0 - 0.5 * last.1 + shock;
        last = (x, last.0);
        squares += (x - learn(&mut rls, [vec![x]])[0]).powi(2);
        best += shock * shock;
    }
    assert!(squares / best < 1.02, "{}", squares / best);
}

#[test]
fn merging_two_equals_learning_both() {
    let (a, b) = (series(3, 400), series(4, 300));
    let new = || {
        let mut rls = Rls::new();
        rls.rearrange(&[None]);
        rls.keep = 1.0;
        rls
    };
    let (mut one, mut two, mut both) = (new(), new(), new());
    learn(&mut one, a.iter().map(|&x| vec![x]));
    learn(&mut two, b.iter().map(|&x| vec![x]));
    learn(&mut both, a.iter().map(|&x| vec![x]));
    both.gap();
    learn(&mut both, b.iter().map(|&x| vec![x]));
    one.merge(two.save()).unwrap();
    for (merged, pooled) in one.coefficients(0).into_iter().zip(both.coefficients(0)) {
        near(merged, pooled, 1e-9);
    }
    for (merged, pooled) in one.full(0).into_iter().zip(both.full(0)) {
        near(merged, pooled, 1e-9);
    }
}

#[test]
fn another_unit_changes_the_forecast_as_it_changes_the_values() {
    let xs = series(5, 600);
    let (a, b) = (0.37, -2.4);
    let mut rls = Rls::new();
    rls.rearrange(&[None; 5]);
    learn(&mut rls, xs[..400].iter().map(|&x| vec![x; 5]));
    let mut other = rls.clone();
    (0..5).for_each(|metric| other.reframe(metric, a, b));
    for &x in &xs[400..] {
        let expected = learn(&mut rls, [vec![x; 5]])[4];
        near(learn(&mut other, [vec![a * x + b; 5]])[4], a * expected + b, 1e-9);
    }
}

#[test]
fn what_stands_still_for_a_day_winds_nothing_up() {
    let mut rls = Rls::new();
    rls.rearrange(&[None]);
    learn(&mut rls, series(6, 500).into_iter().map(|x| vec![x]));
    let before = rls.full(0);
    learn(&mut rls, std::iter::repeat_n(vec![0.25], 20_000));
    let growth = rls.full(0)[0] / before[0];
    assert!(growth < 3.0, "{growth}");
}

#[test]
fn a_metric_that_is_missing_or_weightless_learns_nothing() {
    let mut rls = Rls::new();
    rls.rearrange(&[None; 2]);
    learn(&mut rls, series(7, 300).into_iter().map(|x| vec![x, x]));
    let before = (rls.coefficients(0), rls.full(0), rls.coefficients(1));
    learn(&mut rls, series(8, 20).into_iter().map(|x| vec![f64::NAN, x]));
    let mut expected = [0.0; 2];
    for x in series(9, 20) {
        rls.expect(&[x, x], &mut expected);
        rls.learn(&[x, x], 0.0);
    }
    assert_eq!((rls.coefficients(0), rls.full(0)), (before.0, before.1));
    assert_ne!(rls.coefficients(1), before.2);
}
