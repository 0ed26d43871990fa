//! What holds for any scores and labels.

#![allow(clippy::unwrap_used, clippy::panic)]

use larnax_evaluate::{
    Alert, Events, Series, at_budget, auc_pr, nab, of_alerts, of_state, vus_pr, window_length,
};
use proptest::prelude::*;

/// Labels, and scores of all kinds for them.
fn labelled() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
    let score = prop_oneof![
        8 => 0.0..4.0f64,
        2 => Just(1.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0), Just(1e300)],
    ];
    let row = (prop::bool::weighted(0.2), score);
    prop::collection::vec(row, 0..200).prop_map(|rows| rows.into_iter().unzip())
}

proptest! {
    #[test]
    fn shares_are_between_0_and_1_or_not_there(rows in labelled(), window in 0usize..80, rows_a_day in 1.0..2_000.0) {
        let events = Events::from_labels(rows.0.iter().copied());
        let series = Series::new(&rows.1, &events).unwrap();
        let caught = at_budget(&series, rows_a_day).map(|best| best.caught);
        let state = of_state(&series, 60.0);
        for share in [auc_pr(&series), vus_pr(&series, window), caught, state.caught_share()] {
            prop_assert_eq!(share.is_some(), !events.is_empty());
            prop_assert!(share.is_none_or(|share| (0.0..=1.0 + 1e-9).contains(&share)), "{:?}", share);
        }
        prop_assert!(state.false_alarms <= state.alarms && state.delays.len() == state.caught);
    }

    #[test]
    fn a_score_that_is_the_label_is_perfect(labels in prop::collection::vec(prop::bool::weighted(0.2), 2..200)) {
        let events = Events::from_labels(labels.iter().copied());
        prop_assume!(!events.is_empty());
        let scores: Vec<f64> = labels.iter().map(|&label| if label { 2.0 } else { 0.0 }).collect();
        let series = Series::new(&scores, &events).unwrap();
        prop_assert_eq!(auc_pr(&series), Some(1.0));
        prop_assert!((vus_pr(&series, 0).unwrap() - 1.0).abs() < 1e-9);
        let state = of_state(&series, 60.0);
        prop_assert_eq!((state.caught_share(), state.false_alarms, state.median_delay()), (Some(1.0), 0, Some(0.0)));
    }

    #[test]
    fn only_the_order_of_scores_counts_for_areas(rows in labelled(), window in 0usize..40) {
        let events = Events::from_labels(rows.0.iter().copied());
        prop_assume!(!events.is_empty());
        let plain: Vec<f64> = rows.1.iter().map(|s| if s.is_finite() { s.min(10.0) } else { 0.5 }).collect();
        let stretched: Vec<f64> = plain.iter().map(|s| s.exp() * 7.0 - 3.0).collect();
        let (plain, stretched) = (Series::new(&plain, &events).unwrap(), Series::new(&stretched, &events).unwrap());
        prop_assert_eq!(auc_pr(&plain), auc_pr(&stretched));
        prop_assert_eq!(vus_pr(&plain, window), vus_pr(&stretched, window));
    }

    #[test]
    fn an_alert_at_the_start_of_each_event_is_perfect_and_any_alerts_are_counted(
        rows in labelled(),
        alerts in prop::collection::vec((0usize..200, 0usize..200), 0..20),
    ) {
        let events = Events::from_labels(rows.0.iter().copied());
        let first: Vec<Alert> = events.iter().map(|e| Alert { onset: e.start, told: e.start }).collect();
        let perfect = of_alerts(&first, &events, 60.0).unwrap();
        prop_assert_eq!((perfect.caught, perfect.false_alarms), (events.len(), 0));
        let alerts: Vec<Alert> = alerts.into_iter().map(|(onset, told)| Alert { onset, told }).collect();
        match of_alerts(&alerts, &events, 60.0) {
            Ok(found) => prop_assert!(found.caught <= events.len() && found.false_alarms <= alerts.len()),
            Err(_) => prop_assert!(alerts.iter().any(|alert| alert.told >= events.rows())),
        }
    }

    #[test]
    fn nab_is_never_better_than_at_its_best_threshold_nor_above_100(
        rows in labelled(),
        threshold in 0.0..5.0f64,
    ) {
        let events = Events::from_labels(rows.0.iter().copied());
        let mut corpus = nab::Corpus::default();
        let windows: Vec<_> = events.iter().cloned().collect();
        corpus.add(&rows.1, &windows).unwrap();
        for profile in &nab::PROFILES {
            let (best, at) = (corpus.best(profile), corpus.at(threshold, profile));
            prop_assert_eq!(best.is_some(), !windows.is_empty());
            if let (Some(best), Some(at)) = (best, at) {
                prop_assert!(best.score <= 100.0 + 1e-9 && best.score >= -1e-9);
                prop_assert!(at <= best.score + 1e-9, "{} above {}", at, best.score);
            }
        }
    }

    #[test]
    fn a_window_is_125_rows_or_between_6_and_303(values in prop::collection::vec(any::<f64>(), 0..500)) {
        let window = window_length(&values);
        prop_assert!((6..=303).contains(&window));
    }
}
