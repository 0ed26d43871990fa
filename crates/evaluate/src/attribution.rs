//! Whether the metrics named are the ones that people named.

/// How well one event's metrics were named, or the mean over several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hits {
    /// Hit@100: of the n metrics that people named, the share among the first n of the ranking (OmniAnomaly, KDD 2019).
    pub at_100: f64,
    /// Top-1: whether (or how often) the first of the ranking is one that people named.
    pub top_1: f64,
}

/// Metrics, as positions, from the one that deviates most to the one that deviates least. What has no deviation (NaN)
/// comes last, equal ones in the order of their positions.
pub fn rank(deviations: &[f64]) -> Vec<usize> {
    let strength = |i: usize| deviations.get(i).map_or(-1.0, |d| if d.is_nan() { -1.0 } else { d.abs() });
    let mut order: Vec<usize> = (0..deviations.len()).collect();
    order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));
    order
}

/// Compares a ranking with what people named; none when they named nothing.
pub fn hits(ranking: &[usize], named: &[usize]) -> Option<Hits> {
    let first = &ranking[..ranking.len().min(named.len())];
    let right = first.iter().filter(|metric| named.contains(metric)).count();
    let top = ranking.first().is_some_and(|metric| named.contains(metric));
    (!named.is_empty())
        .then(|| Hits { at_100: right as f64 / named.len() as f64, top_1: f64::from(u8::from(top)) })
}

impl Hits {
    /// The mean over events; none of none.
    pub fn mean(events: &[Self]) -> Option<Self> {
        let count = events.len() as f64;
        let mean = |of: fn(&Self) -> f64| events.iter().map(of).sum::<f64>() / count;
        (!events.is_empty())
            .then(|| Self { at_100: mean(|hits| hits.at_100), top_1: mean(|hits| hits.top_1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_come_first_and_those_without_a_deviation_last() {
        assert_eq!(rank(&[0.5, f64::NAN, -3.0, 0.5, 0.0]), [2, 0, 3, 4, 1]);
    }

    #[test]
    fn a_hit_is_the_share_of_named_metrics_among_as_many_first_ones() {
        let found = hits(&[4, 2, 0, 1, 3], &[2, 0, 3]).unwrap();
        assert_eq!(found, Hits { at_100: 2.0 / 3.0, top_1: 0.0 });
        assert_eq!(hits(&[4, 2], &[4]), Some(Hits { at_100: 1.0, top_1: 1.0 }));
        assert_eq!(hits(&[4, 2], &[]), None);
        let mean = Hits::mean(&[found, Hits { at_100: 1.0, top_1: 1.0 }]).unwrap();
        assert!((mean.at_100 - 5.0 / 6.0).abs() < 1e-12 && mean.top_1 == 0.5);
        assert_eq!(Hits::mean(&[]), None);
    }
}
