use super::grimshaw::Pareto;
use super::*;

/// The vectors of the algorithm specification.
fn golden(name: &str) -> serde_json::Value {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/golden/threshold.json")).unwrap();
    all[name].clone()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn near(a: f64, b: &serde_json::Value, tolerance: f64) {
    let b = b.as_f64().unwrap();
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} instead of {b}");
}

#[test]
fn exponential_moments_give_the_reference_threshold() {
    let golden = golden("ema_threshold");
    let (xs, c) = (numbers(&golden["x"]), golden["c"].as_f64().unwrap());
    let mut moments = Moments { mean: xs[0], var: 0.0 };
    for (i, x) in xs.iter().enumerate() {
        if i > 0 {
            moments.learn(*x, golden["alpha"].as_f64().unwrap());
        }
        let expected = &golden["mean_var_thr"][i];
        near(moments.mean, &expected[0], 1e-9);
        near(moments.var, &expected[1], 1e-9);
        near(moments.mean + c * moments.deviation(), &expected[2], 1e-9);
    }
}

#[test]
fn a_window_that_reaches_back_to_the_beginning_gives_the_reference_of_complete_history() {
    let golden = golden("cumulative_threshold");
    let c = golden["c"].as_f64().unwrap();
    let mut window = Window::default();
    for (i, x) in numbers(&golden["x"]).into_iter().enumerate() {
        window.learn(x, 1.0, 60.0);
        let Some((mean, deviation)) = window.moments() else { continue };
        let expected = &golden["mean_std_thr"][i];
        near(mean, &expected[0], 1e-9);
        near(deviation, &expected[1], 1e-9);
        near(mean + c * deviation, &expected[2], 1e-9);
    }
}

#[test]
fn the_fitted_tail_is_that_of_the_reference() {
    let golden = golden("spot");
    let peaks = numbers(&golden["peaks"]);
    let fit = Pareto::fit(&peaks).unwrap();
    near(fit.shape, &golden["gamma"], 1e-4);
    near(fit.scale, &golden["sigma"], 1e-4);
    near(fit.likelihood, &golden["loglik"], 1e-6);
    let rate = peaks.len() as f64 / golden["n"].as_f64().unwrap();
    let z = golden["t"].as_f64().unwrap() + fit.beyond(golden["q"].as_f64().unwrap(), rate);
    near(z, &golden["zq"], 1e-4);
}

#[test]
fn the_rank_of_an_error_is_that_of_the_reference() {
    let golden = golden("conformal_p");
    let mut conformal = Conformal::default();
    for error in numbers(&golden["cal"]) {
        conformal.learn(error, 60.0, 1.0);
    }
    near(conformal.p(golden["score"].as_f64().unwrap()), &golden["p"], 1e-12);
}

/// The i-th of a sequence that fills the interval from 0 to 1 evenly but in no order that matters (multiples of the golden
/// ratio, their bits mixed).
fn uniform(i: u64) -> f64 {
    let mut x = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x >> 40) as f64 + 0.5) / (1u64 << 24) as f64
}

fn taught(kind: ThresholdKind, n: u64, error: impl Fn(f64) -> f64) -> Threshold {
    let mut threshold = Threshold::new(kind);
    for i in 0..n {
        threshold.learn(error(uniform(i)), 1.0, 4.0, 1.0);
    }
    threshold
}

#[test]
fn a_fitted_tail_and_ranks_find_the_quantile_of_heavy_tails() {
    // P(e > x) = x⁻³, of which one in 10⁵ is beyond 46.4.
    for (kind, range) in [(ThresholdKind::Spot, 25.0..90.0), (ThresholdKind::Conformal, 23.0..95.0)] {
        let threshold = taught(kind, 50_000, |u| u.powf(-1.0 / 3.0));
        let limit = threshold.limit(1e-5);
        assert!(range.contains(&limit), "{kind:?}: {limit}");
    }
}

#[test]
fn every_kind_gives_a_limit_from_the_first_error_on_that_falls_with_the_tail() {
    for kind in ThresholdKind::ALL {
        assert_eq!(Threshold::new(kind).limit(1e-6), f64::INFINITY);
        for n in [1, 50, 999, 5_000] {
            let threshold = taught(kind, n, |u| 1.0 - u.ln());
            let limits = [1e-8, 1e-6, 1e-4, 1e-2].map(|tail| threshold.limit(tail));
            assert!(limits.is_sorted_by(|a, b| a >= b), "{kind:?} after {n}: {limits:?}");
            assert!(limits.iter().all(|x| x.is_finite() && *x >= 0.5), "{kind:?} after {n}: {limits:?}");
        }
    }
}

#[test]
fn every_kind_follows_errors_that_become_large_and_small_again() {
    for kind in ThresholdKind::ALL {
        let mut threshold = taught(kind, 5_000, |u| 1.0 + u);
        for (from, scale) in [(5_000, 10.0), (25_000, 1.0)] {
            for i in from..from + 20_000 {
                threshold.learn(scale * (1.0 + uniform(i)), 1.0, 4.0, 0.999);
            }
            let limit = threshold.limit(1e-5) / scale;
            assert!((1.5..30.0).contains(&limit), "{kind:?} at {scale}: {limit}");
        }
    }
}

#[test]
fn an_error_that_was_no_anomaly_raises_the_limit() {
    for kind in ThresholdKind::ALL {
        let mut threshold = taught(kind, 5_000, |u| 1.0 + u);
        let before = threshold.limit(1e-5);
        threshold.suspect(2.0 * before);
        threshold.settle(true);
        assert_eq!(threshold.limit(1e-5), before, "{kind:?}");
        threshold.suspect(2.0 * before);
        threshold.settle(false);
        if kind == ThresholdKind::Spot {
            // One peak in hundreds does not make a tail. A few do.
            (0..30).for_each(|_| {
                threshold.suspect(2.0 * before);
                threshold.settle(false);
            });
        }
        assert!(threshold.limit(1e-5) > 1.2 * before, "{kind:?}");
    }
}

#[test]
fn every_kind_is_saved_sound_and_merged() {
    use prost::Message as _;
    for kind in ThresholdKind::ALL {
        let (a, b) = (taught(kind, 3_000, |u| 1.0 + u), taught(kind, 2_000, |u| 1.0 - 0.1 * u.ln()));
        let mut merged = Threshold::decode(&a.encode_to_vec()[..]).unwrap();
        assert_eq!((&merged, merged.kind()), (&a, kind));
        merged.merge(&b);
        assert!(merged.is_sound());
        let (x, y, z) = (a.limit(1e-4), b.limit(1e-4), merged.limit(1e-4));
        assert!((0.8 * x.min(y)..1.25 * x.max(y)).contains(&z), "{kind:?}: {x} and {y} give {z}");
        merged.become_kind(ThresholdKind::Moving);
        assert!(merged.limit(1e-4).is_finite());
    }
}

#[test]
fn the_moving_limit_is_a_multiple_of_deviations_above_the_usual_error() {
    let mut threshold = Threshold::default();
    for i in 0..1_000 {
        threshold.learn(if i % 2 == 0 { 1.0 } else { 1.2 }, 1.0, 1.0, 1.0);
    }
    let limit = threshold.limit(6e-5);
    assert!((1.3..1.7).contains(&limit), "{limit}");
}

#[test]
fn merging_two_moving_ones_equals_learning_both() {
    let (mut a, mut b, mut both) = (Threshold::default(), Threshold::default(), Threshold::default());
    for i in 0..50 {
        let error = 1.0 + f64::from(i % 7) / 10.0;
        if i < 20 { &mut a } else { &mut b }.learn(error, 1.0, 1.0, 1.0);
        both.learn(error, 1.0, 1.0, 1.0);
    }
    a.merge(&b);
    assert!((a.mean - both.mean).abs() < 1e-12 && (a.var - both.var).abs() < 1e-12);
}
