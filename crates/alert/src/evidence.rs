//! Evidence: from the recent past of a component, what its anomaly can be judged by. Pure.

use std::time::Duration;

use larnax_core::{Evidence, MetricEvidence, MetricName, Schema, Timestamp, Verdict, Window};

/// How much evidence is given.
#[derive(Clone, Debug)]
pub struct EvidenceOptions {
    /// At most this many metrics.
    pub top: usize,
    /// How long before the onset the window of values starts.
    pub before: Duration,
    /// The window is thinned to at most this many rows.
    pub max_rows: usize,
}

impl Default for EvidenceOptions {
    /// Ten metrics, from a minute before the onset, in sixty rows: about 10 kB of JSON.
    fn default() -> Self {
        Self { top: 10, before: Duration::from_secs(60), max_rows: 60 }
    }
}

/// A sample and what the detector said about it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What the values mean.
    pub schema: &'a Schema,
    /// One per metric of the schema.
    pub values: &'a [f64],
    /// One entry per metric of the schema.
    pub verdict: &'a Verdict,
}

impl Judged<'_> {
    /// The metrics that deviate most, largest first: those whose past [`evidence`] needs.
    pub fn top(&self, n: usize) -> Vec<MetricName> {
        self.verdict.contributions(self.schema, n).into_iter().map(|metric| metric.metric).collect()
    }
}

/// The evidence for an anomaly that began at `onset`.
///
/// `past` holds rows from well before the onset to now, oldest first, with at least the columns of [`Judged::top`]
/// (others are ignored). Median and deviation are over all its rows before the onset; the window that is sent on is the
/// part from [`EvidenceOptions::before`] the onset on, with its last row always in it.
pub fn evidence(judged: &Judged<'_>, past: &Window, onset: Timestamp, options: &EvidenceOptions) -> Evidence {
    let rows_before = past.times.iter().take_while(|&&time| time < onset).count();
    let mut metrics = Vec::new();
    let mut columns = Vec::new();
    for (i, deviation) in judged.verdict.top(options.top) {
        let (Some(metric), Some(verdict)) = (judged.schema.metrics().get(i), judged.verdict.metrics.get(i))
        else {
            continue;
        };
        let column = past.metrics.iter().position(|name| *name == metric.name);
        let mut before: Vec<f64> = column.map_or_else(Vec::new, |column| {
            past.rows.iter().take(rows_before).filter_map(|row| row.get(column).copied().flatten()).collect()
        });
        let median_before = median(&mut before);
        let deviation_before = median_before.and_then(|center| {
            before.iter_mut().for_each(|value| *value = (*value - center).abs());
            median(&mut before)
        });
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        metrics.push(MetricEvidence {
            metric: metric.name.clone(),
            value: judged.values.get(i).copied().and_then(finite),
            expected: finite(verdict.expected),
            lower: finite(verdict.lower),
            upper: finite(verdict.upper),
            deviation: finite(deviation),
            median_before,
            deviation_before,
        });
        columns.push((metric.name.clone(), column));
    }
    Evidence { metrics, window: window(past, &columns, onset.minus(options.before), options.max_rows) }
}

/// The rows from `from` on, thinned evenly and counted from the last row backwards.
fn window(
    past: &Window,
    columns: &[(MetricName, Option<usize>)],
    from: Timestamp,
    max_rows: usize,
) -> Window {
    let known: Vec<(&MetricName, usize)> =
        columns.iter().filter_map(|(name, column)| Some((name, (*column)?))).collect();
    let first = past.times.iter().take_while(|&&time| time < from).count();
    let rows = past.times.len().min(past.rows.len());
    let step = rows.saturating_sub(first).div_ceil(max_rows.max(1)).max(1);
    let kept = (first..rows).filter(|row| (rows - 1 - row).is_multiple_of(step));
    let mut window = Window {
        times: Vec::new(),
        metrics: known.iter().map(|(name, _)| (*name).clone()).collect(),
        rows: Vec::new(),
    };
    for (time, row) in kept.filter_map(|row| Some((past.times.get(row)?, past.rows.get(row)?))) {
        window.times.push(*time);
        window.rows.push(known.iter().map(|(_, column)| row.get(*column).copied().flatten()).collect());
    }
    window
}

/// Of finite values; sorts them partly.
fn median(values: &mut [f64]) -> Option<f64> {
    let half = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(lower + (upper - lower) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larnax_core::{Metric, MetricKind, MetricVerdict};

    fn at(seconds: u32) -> Timestamp {
        Timestamp::from_seconds(f64::from(seconds))
    }

    #[test]
    fn the_metric_that_deviates_most_comes_first_with_its_past() {
        let names = ["calm", "wild", "missing"].map(|name| MetricName::new(name).unwrap());
        let gauges = names.clone().map(|name| Metric::new(name, MetricKind::Gauge));
        let schema = Schema::new(gauges.into()).unwrap();
        let mut verdict = Verdict::default();
        verdict.reset(3);
        verdict.metrics[0].deviation = 0.5;
        verdict.metrics[1] = MetricVerdict { expected: 4.0, lower: 2.0, upper: 6.0, deviation: 8.0 };
        let judged = Judged { schema: &schema, values: &[1.0, 20.0, f64::NAN], verdict: &verdict };
        assert_eq!(judged.top(5), names[..2].iter().rev().cloned().collect::<Vec<_>>());

        // 600 s before the onset `wild` walks 1, 2, … 7, 1 …; afterwards it is 20; `calm` is not in the past at all.
        let past = Window {
            times: (0..=660).map(at).collect(),
            metrics: vec![names[1].clone()],
            rows: (0..=660).map(|s| vec![Some(if s < 600 { f64::from(s % 7 + 1) } else { 20.0 })]).collect(),
        };
        let evidence = evidence(&judged, &past, at(600), &EvidenceOptions::default());
        let wild = &evidence.metrics[0];
        assert_eq!(
            (wild.value, wild.expected, wild.lower, wild.upper),
            (Some(20.0), Some(4.0), Some(2.0), Some(6.0))
        );
        assert_eq!((wild.median_before, wild.deviation_before), (Some(4.0), Some(2.0)));
        assert_eq!(evidence.metrics[1].median_before, None);
        let window = &evidence.window;
        assert_eq!(window.metrics, [names[1].clone()]);
        assert!(window.times.len() <= 60 && window.times[0] >= at(540));
        assert_eq!((window.times.last(), window.rows.last()), (Some(&at(660)), Some(&vec![Some(20.0)])));
    }

    #[test]
    fn without_a_past_there_is_still_a_verdict_and_no_panic() {
        let schema =
            Schema::new(vec![Metric::new(MetricName::new("a").unwrap(), MetricKind::Gauge)]).unwrap();
        let mut verdict = Verdict::default();
        verdict.reset(5);
        verdict.metrics.iter_mut().for_each(|metric| metric.deviation = 3.0);
        let judged = Judged { schema: &schema, values: &[], verdict: &verdict };
        let ragged = Window {
            times: vec![at(1), at(2)],
            metrics: schema.metrics().iter().map(|m| m.name.clone()).collect(),
            rows: vec![vec![]],
        };
        for past in [Window::default(), ragged] {
            let evidence =
                evidence(&judged, &past, at(3), &EvidenceOptions { max_rows: 0, ..Default::default() });
            assert_eq!(
                (evidence.metrics.len(), evidence.metrics[0].value, evidence.metrics[0].median_before),
                (1, None, None)
            );
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut []), None);
    }
}
