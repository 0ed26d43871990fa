//! AUC-PR: average precision over all thresholds, row by row.

use crate::Series;

/// The area under the curve of precision over recall, as the sum of steps (average precision). None without an event.
///
/// Each row counts by itself, so a long event weighs more than a short one, and one found late loses its first rows.
/// Equal scores are one threshold. Random scores give the share of labelled rows.
pub fn auc_pr(series: &Series<'_>) -> Option<f64> {
    if series.events().is_empty() {
        return None;
    }
    let all = series.events().labelled_rows() as f64;
    let mut rows: Vec<(f64, bool)> = series.scores().iter().copied().zip(series.events().labels()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut area, mut recall_before) = (0.0, 0.0);
    let (mut predicted, mut found) = (0.0, 0.0);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        predicted += equal.len() as f64;
        found += equal.iter().filter(|(_, labelled)| *labelled).count() as f64;
        let recall = found / all;
        area += (recall - recall_before) * found / predicted;
        recall_before = recall;
    }
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Events;

    #[test]
    fn a_perfect_score_has_area_one_and_a_constant_one_the_share_of_labelled_rows() {
        let events = Events::from_labels([false, true, true, false, false, false, true, false]);
        let area = |scores: &[f64]| auc_pr(&Series::new(scores, &events).unwrap()).unwrap();
        assert_eq!(area(&[0.0, 5.0, 4.0, 1.0, 0.0, 2.0, 3.0, 0.0]), 1.0);
        assert_eq!(area(&[7.0; 8]), 3.0 / 8.0);
    }

    #[test]
    fn without_an_event_there_is_no_area() {
        let events = Events::from_labels([false; 3]);
        assert_eq!(auc_pr(&Series::new(&[1.0, 2.0, 3.0], &events).unwrap()), None);
    }
}
