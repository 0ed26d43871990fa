//! Silence as evidence: whether samples came, as the series that Prometheus calls `up`.
//!
//! A component that fell silent has no values that could deviate; those who depend on it have, and would be taken for the cause.

use std::sync::Arc;

use larnax_core::{MetricName, Timestamp};
use larnax_diagnose::{Series, UP};
use larnax_session::EvidencePart;

/// The most rows that are made up for what did not come.
const MOST_MISSING: usize = 2_000;

/// 1 for each sample that came, 0 for each that should have come after `onset`, by the edge's clock: what is missing before is no
/// part of the incident, such as an edge that was started again, and only looks like a change. None where too little is known,
/// and where the component says so itself.
pub(crate) fn up(part: &EvidencePart, onset: Timestamp) -> Option<Series> {
    let times = &part.window.times;
    let (first, last) = (times.first()?, times.last()?);
    if times.len() < 2 || part.window.metrics.iter().any(|metric| metric.as_str() == UP) {
        return None;
    }
    let gaps = |after: Timestamp| part.gaps.iter().filter(move |gap| gap.from >= *first && gap.until > after);
    let (mut watched, mut intervals) = (last.since(*first), times.len() - 1);
    for gap in gaps(*first).filter(|gap| gap.from < *last) {
        watched -= gap.until.since(gap.from);
        intervals = intervals.saturating_sub(1);
    }
    let missing: f64 = gaps(onset).map(|gap| gap.until.since(gap.from)).sum();
    let period = (watched / intervals.max(1) as f64).max(missing / MOST_MISSING as f64);
    let mut rows: Vec<(Timestamp, f64)> = times.iter().map(|time| (*time, 1.0)).collect();
    if period > 0.0 {
        for gap in gaps(onset) {
            let count = ((gap.until.since(gap.from) / period) as usize).min(MOST_MISSING);
            // What is as late as a sample may be is not missing. What is missing before the onset, of a gap that reaches beyond it, would
            // look like something that happens now and then.
            let missing = (1..count).map(|row| (later(gap.from, row as f64 * period), 0.0));
            rows.extend(missing.filter(|(time, _)| *time >= onset));
        }
    }
    rows.sort_by_key(|(time, _)| *time);
    let (times, values): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    Some(Series { metric: MetricName::new(UP).ok()?, times: Arc::from(times), values })
}

fn later(time: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_nanos(time.nanos().saturating_add((seconds * 1e9) as i64))
}

#[cfg(test)]
mod tests {
    use larnax_core::Window;
    use larnax_session::Gap;

    use super::*;

    fn at(second: f64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn part(seconds: &[f64], gaps: &[(f64, f64)], metric: &str) -> EvidencePart {
        EvidencePart {
            id: 0,
            window: Window {
                times: seconds.iter().map(|second| at(*second)).collect(),
                metrics: vec![MetricName::new(metric).unwrap()],
                rows: vec![vec![None]; seconds.len()],
            },
            gaps: gaps.iter().map(|(from, until)| Gap { from: at(*from), until: at(*until) }).collect(),
            rows: seconds.len(),
            ..EvidencePart::default()
        }
    }

    #[test]
    fn what_does_not_come_any_more_is_down_and_what_never_came_is_nothing() {
        let seconds: Vec<f64> = (100..110).map(f64::from).collect();
        let up = up(&part(&seconds, &[(0.0, 100.0), (109.0, 114.0)], "load"), at(108.0)).unwrap();
        assert_eq!(up.values, [[1.0; 10].as_slice(), &[0.0; 4]].concat());
        assert_eq!((up.times[10].seconds(), up.times[13].seconds()), (110.0, 113.0));
        // Who depends on it was unusual a little later, and so the incident began.
        let later = super::up(&part(&seconds, &[(0.0, 100.0), (109.0, 114.0)], "load"), at(110.5)).unwrap();
        assert_eq!((later.times[10].seconds(), later.values.len()), (111.0, 13));
    }

    #[test]
    fn a_gap_within_does_not_make_the_period_longer() {
        let part = part(&[0.0, 1.0, 2.0, 12.0, 13.0, 14.0], &[(2.0, 12.0)], "load");
        let up_since = |onset: f64| up(&part, at(onset)).unwrap();
        assert_eq!(up_since(3.0).values.iter().filter(|value| **value == 0.0).count(), 9);
        assert!(up_since(3.0).times.is_sorted());
        assert_eq!(up_since(13.0).values, [1.0; 6], "what was missing before is no part of the incident");
    }

    #[test]
    fn who_has_an_up_of_its_own_keeps_it_and_one_sample_says_nothing() {
        assert!(up(&part(&[0.0, 1.0], &[], "up"), at(0.0)).is_none());
        assert!(up(&part(&[0.0], &[(0.0, 60.0)], "load"), at(0.0)).is_none());
    }

    #[test]
    fn a_long_silence_is_not_long_to_tell() {
        let up = up(&part(&[0.0, 1.0], &[(1.0, 1e9)], "load"), at(1.0)).unwrap();
        assert!(up.values.len() <= MOST_MISSING + 2, "{}", up.values.len());
    }
}
