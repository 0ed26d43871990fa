use proptest::prelude::*;

use super::*;

mod gradient;
mod merging;

/// Rows of sines with a period of 20 rows, each metric in another phase.
fn sines(t: usize, row: &mut [f64]) {
    for (i, x) in row.iter_mut().enumerate() {
        *x = 1.4 * (std::f64::consts::TAU * (t as f64 / 20.0 + i as f64 / 3.0)).sin();
    }
}

/// Uniform noise, made without functions that differ between platforms.
fn noise(seed: &mut u64, row: &mut [f64]) {
    row.iter_mut().for_each(|x| *x = 2.0 * f64::from(math::uniform(seed)));
}

fn of(metrics: usize) -> Lstm {
    sparse(metrics, 1)
}

fn sparse(metrics: usize, every: u32) -> Lstm {
    let mut lstm = Lstm::learning_every(every);
    lstm.rearrange(&vec![None; metrics]);
    lstm
}

/// Runs rows of noise through it.
fn teach(lstm: &mut Lstm, metrics: usize, rows: usize, seed: &mut u64, weight: f64) {
    let mut row = vec![0.0; metrics];
    for _ in 0..rows {
        noise(seed, &mut row);
        lstm.learn(&row, weight);
    }
}

fn expected(lstm: &mut Lstm, metrics: usize) -> Vec<f64> {
    let mut expected = vec![0.0; metrics];
    lstm.expect(&vec![0.0; metrics], &mut expected);
    expected
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.parts().into_iter().flatten().map(|w| w.to_bits()).collect()
}

#[test]
fn a_sine_is_forecast_better_than_by_its_last_value() {
    let metrics = 3;
    let (mut lstm, mut row, mut forecast) = (of(metrics), vec![0.0; metrics], vec![0.0; metrics]);
    let (mut ours, mut walk) = (0.0, 0.0);
    for t in 0..600 {
        let last = row.clone();
        sines(t, &mut row);
        lstm.expect(&row, &mut forecast);
        if t >= 500 {
            ours += row.iter().zip(&forecast).map(|(x, f)| (x - f).powi(2)).sum::<f64>();
            walk += row.iter().zip(&last).map(|(x, l)| (x - l).powi(2)).sum::<f64>();
        }
        lstm.learn(&row, 1.0);
    }
    println!("mean squared error {:.4} of the last value's", ours / walk);
    assert!(ours < 0.2 * walk, "{ours} {walk}");
}

#[test]
fn it_has_as_many_parameters_as_the_specification_counts() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/golden/lstm.json")).unwrap();
    let expected = golden["in28_h32_T16"]["params"].as_u64().unwrap();
    assert_eq!(of(28).parameters() as u64, expected);
}

#[test]
fn untaught_it_expects_that_nothing_changes() {
    let (mut lstm, mut seed) = (of(4), 1);
    teach(&mut lstm, 4, STEPS - 1, &mut seed, 0.0);
    assert!(expected(&mut lstm, 4).iter().all(|x| x.is_nan()), "nothing before the window is full");
    lstm.learn(&[0.5, -1.0, 1e300, f64::NAN], 0.0);
    let forecast = expected(&mut lstm, 4);
    assert_eq!(forecast[..3], [0.5, -1.0, 20.0]);
    assert_eq!(lstm.seen, 0.0);
}

#[test]
fn flagged_rows_teach_nothing() {
    let (mut lstm, mut seed) = (sparse(3, 2), 1);
    teach(&mut lstm, 3, 60, &mut seed, 1.0);
    let (weights, windows) = (bits(&lstm.weights), lstm.replay.clone());
    teach(&mut lstm, 3, 60, &mut seed, 0.0);
    assert_eq!((bits(&lstm.weights), &lstm.replay), (weights, &windows));
    assert!(!windows.starts.is_empty());
}

#[test]
fn a_missing_value_is_stood_in_for_five_times() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 60, &mut seed, 1.0);
    for t in 0..8 {
        lstm.learn(&[f64::NAN, 0.1, f64::INFINITY], 1.0);
        let forecast = expected(&mut lstm, 3);
        assert!(forecast[1].is_finite());
        assert_eq!(forecast[0].is_finite(), t < 5, "{t}");
        assert_eq!(forecast[2].is_finite(), t < 5, "{t}");
    }
    lstm.learn(&[0.0; 3], 1.0);
    assert!(expected(&mut lstm, 3).iter().all(|x| x.is_finite()));
}

#[test]
fn after_a_gap_nothing_is_expected_until_the_window_is_full() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 60, &mut seed, 1.0);
    let weights = bits(&lstm.weights);
    lstm.gap();
    assert!(expected(&mut lstm, 3).iter().all(|x| x.is_nan()));
    teach(&mut lstm, 3, STEPS, &mut seed, 1.0);
    assert_eq!(bits(&lstm.weights), weights);
    assert!(expected(&mut lstm, 3).iter().all(|x| x.is_finite()));
}

#[test]
fn saved_and_restored_it_goes_on_to_the_bit() {
    for every in [1, 2] {
        let (mut lstm, mut seed) = (sparse(4, every), 1);
        teach(&mut lstm, 4, 90, &mut seed, 1.0);
        lstm.learn(&[f64::NAN, 0.0, 0.0, 0.0], 1.0);
        let bytes = prost::Message::encode_to_vec(&lstm.save());
        let mut restored = sparse(4, every);
        restored.restore(prost::Message::decode(bytes.as_slice()).unwrap()).unwrap();
        let bytewise = |lstm: &Lstm| prost::Message::encode_to_vec(&lstm.save());
        assert_eq!(bytewise(&restored), bytes);
        let mut other = seed;
        teach(&mut lstm, 4, 50, &mut seed, 1.0);
        teach(&mut restored, 4, 50, &mut other, 1.0);
        assert_eq!(bytewise(&restored), bytewise(&lstm));
    }
}

#[test]
fn state_that_cannot_be_is_refused_and_changes_nothing() {
    let (mut lstm, mut seed) = (sparse(4, 2), 1);
    teach(&mut lstm, 4, 60, &mut seed, 1.0);
    let before = lstm.save();
    let narrower = of(3).save();
    for bad in [Saved::default(), narrower].into_iter().chain(saved::damaged(&before)) {
        assert!(matches!(lstm.restore(bad.clone()), Err(DetectError::Inconsistent { .. })));
        assert!(matches!(lstm.merge(bad), Err(DetectError::Inconsistent { .. })));
        assert_eq!(prost::Message::encode_to_vec(&lstm.save()), prost::Message::encode_to_vec(&before));
    }
}

#[test]
fn metrics_that_come_and_go_leave_the_forecasts_of_the_others() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 80, &mut seed, 1.0);
    let before = expected(&mut lstm, 3);
    // The second goes, two come, the others change places.
    lstm.rearrange(&[None, Some(2), Some(0), None]);
    assert_eq!(lstm.inputs, [0, 1, 2, 3]);
    let after = expected(&mut lstm, 4);
    assert_eq!(after[1..3], [before[2], before[0]]);
    assert!(after[0].is_nan() && after[3].is_nan());
    lstm.learn(&[0.3, 0.1, 0.2, f64::NAN], 1.0);
    let after = expected(&mut lstm, 4);
    assert!((after[0] - 0.3).abs() < 0.1 && after[3].is_nan());
    teach(&mut lstm, 4, 40, &mut seed, 1.0);
    lstm.rearrange(&[]);
    lstm.learn(&[], 1.0);
    lstm.rearrange(&[None]);
    teach(&mut lstm, 1, 40, &mut seed, 1.0);
    assert!(expected(&mut lstm, 1)[0].is_finite());
}

#[test]
fn ten_thousand_metrics_stay_below_two_megabytes() {
    let metrics = 10_000;
    let (mut lstm, mut seed) = (of(metrics), 1);
    assert_eq!(lstm.inputs.len(), MAX_INPUTS);
    teach(&mut lstm, metrics, STEPS + 20, &mut seed, 1.0);
    assert!(lstm.state_bytes() < 2 << 20, "{}", lstm.state_bytes());
    assert!(lstm.seen > 0.0 && expected(&mut lstm, metrics).iter().all(|x| x.is_finite()));
    // Those that live stay inputs.
    let kept: Vec<_> = lstm.inputs.iter().skip(64).copied().collect();
    let first = lstm.inputs[64];
    let from: Vec<_> = (first..metrics).map(Some).collect();
    lstm.rearrange(&from);
    assert_eq!(lstm.inputs.len(), MAX_INPUTS);
    assert!(kept.iter().all(|metric| lstm.inputs.contains(&(metric - first))));
}

#[test]
fn nothing_is_allocated_per_row() {
    for (metrics, rows, every) in [(3, 150, 1), (3, 400, 4), (150, 40, 1)] {
        let (mut lstm, mut seed) = (sparse(metrics, every), 1);
        let mut row = vec![0.0; metrics];
        let mut forecast = vec![0.0; metrics];
        let info = allocation_counter::measure(|| {
            for t in 0..rows {
                noise(&mut seed, &mut row);
                row[0] = if t % 50 == 0 { f64::NAN } else { row[0] };
                lstm.expect(&row, &mut forecast);
                lstm.learn(&row, if t % 97 == 0 { 0.0 } else { 1.0 });
            }
            lstm.gap();
        });
        assert_eq!(info.count_total, 0, "{metrics} metrics");
    }
}

#[test]
fn numbers_that_are_not_finite_lead_back_to_the_checkpoint_and_then_to_the_start() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 40, &mut seed, 1.0);
    lstm.checkpoint.copy_from(&lstm.weights.clone());
    let good = bits(&lstm.weights);
    lstm.weights.cell[5][2][7] = f32::NAN;
    teach(&mut lstm, 3, 1, &mut seed, 1.0);
    assert_eq!(bits(&lstm.weights), good);
    lstm.weights.offset[0] = f32::INFINITY;
    teach(&mut lstm, 3, STEPS, &mut seed, 1.0);
    assert_eq!(bits(&lstm.weights), bits(&of(3).weights));
    teach(&mut lstm, 3, 2 * STEPS, &mut seed, 1.0);
    assert!(expected(&mut lstm, 3).iter().all(|x| x.is_finite()));
}

#[test]
fn counted_otherwise_the_forecast_is_the_same() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 120, &mut seed, 1.0);
    let mut other = lstm.clone();
    let (scale, offset) = (0.5, 0.7);
    other.reframe(1, scale, offset);
    let mut row = [0.0; 3];
    for t in 0..10 {
        let (a, b) = (expected(&mut lstm, 3), expected(&mut other, 3));
        let counted = [a[0], scale * a[1] + offset, a[2]];
        assert!(counted.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{t}: {counted:?} {b:?}");
        noise(&mut seed, &mut row);
        lstm.learn(&row, 0.0);
        row[1] = scale * row[1] + offset;
        other.learn(&row, 0.0);
    }
    for (scale, offset) in [(1e9, 0.0), (1e-9, 3.0), (1.0, 1e300), (f64::NAN, 0.0), (-1.0, 0.0)] {
        other.reframe(2, scale, offset);
        other.reframe(7, scale, offset);
        assert!(expected(&mut other, 3).iter().all(|x| x.is_finite()));
    }
}

#[test]
fn constants_are_forecast_as_constants() {
    let mut lstm = of(2);
    for _ in 0..200 {
        lstm.learn(&[0.0, 3.0], 1.0);
    }
    let forecast = expected(&mut lstm, 2);
    assert!(forecast[0].abs() < 1e-6 && (forecast[1] - 3.0).abs() < 1e-6, "{forecast:?}");
}

#[test]
fn learning_each_fourth_row_learns_a_fourth_as_often() {
    let (mut lstm, mut seed) = (sparse(3, 4), 1);
    teach(&mut lstm, 3, STEPS + 40, &mut seed, 1.0);
    assert_eq!(lstm.adam.updates, 10);
}

#[test]
fn every_cpu_gives_these_bits() {
    let (mut lstm, mut seed) = (of(3), 1);
    teach(&mut lstm, 3, 120, &mut seed, 1.0);
    let forecast: Vec<_> = expected(&mut lstm, 3).iter().map(|&x| (x as f32).to_bits()).collect();
    assert_eq!(forecast, [1_067_960_998, 3_199_538_750, 3_159_926_144]);
}

fn hostile() -> impl Strategy<Value = f64> {
    const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 5e-324, 0.0, 20.0];
    prop_oneof![2 => proptest::sample::select(&SPECIAL[..]), 3 => -25.0..25.0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_comes_forecasts_are_finite_or_missing(
        rows in proptest::collection::vec((proptest::collection::vec(hostile(), 3), -1.0..2.0), 60),
        gap in 0..120_usize,
        weight in hostile(),
    ) {
        let mut lstm = of(3);
        for (t, (row, often)) in rows.iter().enumerate() {
            if t == gap {
                lstm.gap();
            }
            lstm.learn(row, if *often > 1.5 { weight } else { *often });
            let forecast = expected(&mut lstm, 3);
            prop_assert!(forecast.iter().all(|x| x.is_nan() || x.abs() <= 20.0), "{:?}", forecast);
        }
        lstm.learn(&[], 1.0);
        lstm.expect(&[], &mut []);
    }
}
