//! When a metric left what it did before: a cumulative sum, followed back.

/// What each sample loses, in deviations: half of the smallest shift that is looked for (Page, "Continuous Inspection Schemes",
/// 1954, with the usual reference value).
const SLACK: f64 = 0.5;

/// The first sample of the stretch that leads up to `flagged`, which is clearly outside. `deviations` are signed such that the
/// side to which it left is positive.
pub(crate) fn onset(deviations: &[f64], flagged: usize) -> usize {
    let (mut sum, mut start) = (0.0, 0);
    for (at, deviation) in deviations.iter().enumerate().take(flagged.saturating_add(1)) {
        // A gap says nothing.
        if deviation.is_finite() {
            sum = f64::max(0.0, sum + deviation - SLACK);
        }
        if sum == 0.0 {
            start = at + 1;
        }
    }
    start.min(flagged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_rise_began_before_it_was_seen() {
        let values: Vec<f64> =
            (0..40).map(|i| if i < 20 { [-0.5, 0.5][i % 2] } else { 0.6 * (i - 19) as f64 }).collect();
        let flagged = values.iter().position(|value| *value > 5.0).unwrap();
        assert_eq!((flagged, onset(&values, flagged)), (28, 20));
    }

    #[test]
    fn gaps_and_a_flag_behind_the_end_are_taken() {
        assert_eq!(onset(&[0.0, f64::NAN, 9.0], 2), 2);
        assert_eq!(onset(&[], 3), 0);
        assert_eq!(onset(&[9.0, 9.0], 7), 0);
    }
}
