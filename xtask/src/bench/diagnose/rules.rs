//! Simple rules that rank components, to stand beside ours. Each knows the true windows.

use std::collections::BTreeMap;

use larnax_core::{ComponentId, Timestamp};
use larnax_diagnose::deviation::robust_score;
use larnax_diagnose::{Case, Series, When};

/// A rule's name and how it scores a metric by its normal and its incident values, in order of time; nothing if it can't.
pub(in crate::bench) type Rule = (&'static str, fn(&[f64], &[f64]) -> Option<f64>);

/// A component is as bad as its worst metric.
pub(in crate::bench) const RULES: [Rule; 5] = [
    ("three sigma", three_sigma),
    ("n-sigma", n_sigma),
    ("earliest onset", earliest),
    ("BARO's RobustScorer, two-sided", |before, since| Some(robust_score(before, since)?.two_sided)),
    ("BARO's RobustScorer, one-sided", |before, since| Some(robust_score(before, since)?.upwards)),
];

/// The components, worst first; ties by name.
pub(in crate::bench) fn rank(case: &Case, rule: Rule) -> Vec<ComponentId> {
    let mut worst: BTreeMap<&ComponentId, f64> = BTreeMap::new();
    for observed in &case.components {
        let best = worst.entry(&observed.component).or_insert(f64::NEG_INFINITY);
        for series in &observed.series {
            let (before, since) = parts(&case.when, series);
            if let Some(score) = rule.1(&before, &since) {
                *best = best.max(score);
            }
        }
    }
    let mut ranking: Vec<(&ComponentId, f64)> = worst.into_iter().collect();
    ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranking.into_iter().map(|(component, _)| component.clone()).collect()
}

/// Finite normal values, and all incident values.
fn parts(when: &When, series: &Series) -> (Vec<f64>, Vec<f64>) {
    let is_incident = |time: &Timestamp| match when {
        When::Windows { incident, .. } => incident.contains(time),
        When::Since(onset) => time >= onset,
        When::Unknown => false,
    };
    let values = || series.times.iter().zip(&series.values);
    let before = values().filter(|(time, value)| !is_incident(time) && value.is_finite());
    let since = values().filter(|(time, _)| is_incident(time));
    (before.map(|(_, value)| *value).collect(), since.map(|(_, value)| *value).collect())
}

/// Mean and standard deviation; that of a metric that stands still counts as 1, as scikit-learn has it.
fn moments(before: &[f64]) -> Option<(f64, f64)> {
    if before.len() < 3 {
        return None;
    }
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let variance = before.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / before.len() as f64;
    Some((mean, if variance.sqrt() > 10.0 * f64::EPSILON { variance.sqrt() } else { 1.0 }))
}

/// The share of the incident that is more than three deviations away.
fn three_sigma(before: &[f64], since: &[f64]) -> Option<f64> {
    let (mean, deviation) = moments(before)?;
    let out = since.iter().filter(|value| (*value - mean).abs() > 3.0 * deviation).count();
    Some(out as f64 / since.len().max(1) as f64)
}

/// The largest distance in deviations.
fn n_sigma(before: &[f64], since: &[f64]) -> Option<f64> {
    let (mean, deviation) = moments(before)?;
    since
        .iter()
        .filter(|value| value.is_finite())
        .map(|value| (value - mean).abs() / deviation)
        .reduce(f64::max)
}

/// Who first is six robust deviations away; then by how much.
fn earliest(before: &[f64], since: &[f64]) -> Option<f64> {
    let (_, deviation) = moments(before)?;
    let median = robust_score(before, before)?.median;
    let distances: Vec<f64> = before.iter().map(|value| (value - median).abs()).collect();
    // 1.4826: the deviation of a normal distribution over its median absolute deviation.
    let robust = 1.4826 * robust_score(&distances, &distances)?.median;
    let scale = if robust > 0.0 { robust } else { deviation };
    let z = |value: &f64| if value.is_finite() { (value - median).abs() / scale } else { 0.0 };
    let row = since.iter().position(|value| z(value) > 6.0)?;
    let size = since.iter().skip(row).take(5).map(z).fold(0.0, f64::max);
    Some(size.min(1e4) * 1e-5 - row as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_leave_beats_the_one_that_goes_farthest() {
        let before = [1.0, 2.0, 1.5, 1.8, 1.2, 1.4];
        let (early, late) = (earliest(&before, &[1.5, 9.0, 9.0]), earliest(&before, &[1.5, 1.5, 90.0]));
        assert!(early > late, "{early:?} {late:?}");
        assert!(n_sigma(&before, &[1.5, 9.0]) < n_sigma(&before, &[1.5, 90.0]));
        assert_eq!(three_sigma(&before, &[1.5, 90.0]), Some(0.5));
    }
}
