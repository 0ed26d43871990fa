use super::*;

/// Uniform noise that is the same in every run, with variance 1.
fn noise(seed: &mut u64) -> f64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    12f64.sqrt() * ((*seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
}

/// Ten metrics that two causes move, each with a little noise of its own.
fn row(seed: &mut u64) -> Vec<f64> {
    let (a, b) = (noise(seed), noise(seed));
    (0..10)
        .map(|i| if i < 5 { a } else { b } * if i % 2 == 0 { 1.0 } else { -0.8 } + 0.2 * noise(seed))
        .collect()
}

fn taught(seed: &mut u64, n: usize) -> Pca {
    let mut pca = Pca::new();
    pca.rearrange(&[None; 10]);
    for _ in 0..n {
        pca.learn(&row(seed), 1.0);
    }
    pca
}

fn errors(pca: &mut Pca, row: &[f64]) -> Vec<f64> {
    let mut expected = vec![0.0; row.len()];
    pca.expect(row, &mut expected);
    expected.iter().zip(row).map(|(e, x)| x - e).collect()
}

#[test]
fn it_follows_the_reference() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/golden/pca.json")).unwrap();
    let numbers = |x: &serde_json::Value| -> Vec<f64> {
        x.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let mut pca = Pca::new();
    pca.rearrange(&[None; 6]);
    for row in golden["rows"].as_array().unwrap() {
        pca.learn(&numbers(row), 1.0);
    }
    let near = |a: f64, b: f64, tolerance: f64| assert!((a - b).abs() <= tolerance, "{a} {b}");
    for (v, reference) in pca.components().zip(golden["components"].as_array().unwrap()) {
        v.iter().zip(numbers(reference)).for_each(|(a, b)| near(*a, b, 1e-9));
    }
    near(pca.total, golden["total"].as_f64().unwrap(), 1e-9);
    // And the reference follows the eigenvalues of the covariance of all rows.
    for (v, eigen) in pca.components().zip(numbers(&golden["covariance_eigen"])) {
        near(dot(v, v).sqrt() / eigen, 1.0, 0.06);
    }
}

#[test]
fn a_metric_that_leaves_the_others_is_found_and_what_moves_together_is_not() {
    let mut seed = 3;
    let mut pca = taught(&mut seed, 2_000);
    assert_eq!(pca.count().0, 2);
    let together: Vec<f64> = (0..10).map(|i| if i % 2 == 0 { 3.0 } else { -2.4 }).collect();
    assert!(errors(&mut pca, &together).iter().all(|e| e.abs() < 0.3));
    let mut alone = together;
    alone[3] = 0.0;
    let errors = errors(&mut pca, &alone);
    assert!((errors[3] - 2.4).abs() < 0.3, "{errors:?}");
    assert!((0..10).filter(|&i| i != 3).all(|i| errors[i].abs() < 1.2), "{errors:?}");
}

#[test]
fn missing_values_are_filled_in_by_the_others() {
    let mut seed = 4;
    let mut pca = taught(&mut seed, 2_000);
    let mut gaps = row(&mut seed);
    let whole = gaps.clone();
    (gaps[0], gaps[7]) = (f64::NAN, f64::NAN);
    let mut expected = [0.0; 10];
    pca.expect(&gaps, &mut expected);
    assert!((expected[0] - whole[0]).abs() < 0.6 && (expected[7] - whole[7]).abs() < 0.6, "{expected:?}");
}

#[test]
fn where_nothing_moves_together_the_mean_is_expected() {
    let mut pca = Pca::new();
    pca.rearrange(&[None; 6]);
    let mut seed = 5;
    for _ in 0..5_000 {
        pca.learn(&(0..6).map(|_| noise(&mut seed)).collect::<Vec<_>>(), 1.0);
    }
    let errors = errors(&mut pca, &[0.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((errors[1] - 5.0).abs() < 0.5, "{errors:?}");
}

#[test]
fn merging_gives_the_directions_of_both() {
    // One knows the first five metrics, the other the last five; together they know both causes.
    let half = |first: bool| {
        let (mut pca, mut seed) = (Pca::new(), 6);
        pca.rearrange(&[None; 10]);
        for _ in 0..2_000 {
            let mut x = row(&mut seed);
            x.iter_mut().enumerate().for_each(|(i, x)| *x = if (i < 5) == first { *x } else { 0.0 });
            pca.learn(&x, 1.0);
        }
        pca
    };
    let (mut a, b) = (half(true), half(false));
    let covariance = |pca: &Pca| -> Vec<f64> {
        let mut sum = vec![0.0; 100];
        for v in pca.components().filter(|v| dot(v, v) > 0.0) {
            let length = dot(v, v).sqrt();
            (0..100).for_each(|at| sum[at] += v[at / 10] * v[at % 10] / length);
        }
        sum
    };
    let both: Vec<f64> = covariance(&a).iter().zip(covariance(&b)).map(|(x, y)| 0.5 * (x + y)).collect();
    a.merge(b.save()).unwrap();
    let largest: Vec<f64> = a.components().take(2).map(|v| dot(v, v).sqrt()).collect();
    assert!(largest.iter().all(|l| (1.8..2.5).contains(l)), "{largest:?}");
    // Five directions hold all of it but the smallest noise of ten.
    for (merged, pooled) in covariance(&a).iter().zip(both) {
        assert!((merged - pooled).abs() < 0.03, "{merged} {pooled}");
    }
    let mut twin = a.clone();
    let before = covariance(&twin);
    twin.merge(a.save()).unwrap();
    for (merged, pooled) in covariance(&twin).iter().zip(before) {
        assert!((merged - pooled).abs() < 1e-9, "what both know alike is kept exactly");
    }
}
