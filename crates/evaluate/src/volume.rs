//! VUS-PR: average precision with soft edges of many widths around the events.
//!
//! Source: Paparrizos et al., *Volume Under the Surface*, VLDB 2022, in the optimised form that TSB-AD (NeurIPS 2024)
//! ranks by: labels fade out to both sides of an event over half a window, an event counts as found in the share of
//! events that are touched at all, and the area is averaged over all windows from 0 to a length typical of the series.

use std::ops::Range;

use crate::Series;

/// Thresholds of the curve, as in TSB-AD.
const THRESHOLDS: usize = 250;
/// Window where the series shows no period, as in TSB-AD.
const NO_PERIOD: usize = 125;
/// Rows from which the period is taken, as in TSB-AD.
const PERIOD_ROWS: usize = 20_000;
/// The longest lag looked at, and the shortest; what peaks outside `SHORTEST..=LONGEST` beyond it is no period.
const MAX_LAG: usize = 400;
const FIRST_LAG: usize = 3;
const SHORTEST: usize = 3;
const LONGEST: usize = 300;

/// The window that fits a series, in rows: the lag at which the autocorrelation of its first metric has its highest
/// peak, or 125 where there is none between 6 and 303 (TSB-AD, `find_length_rank`).
pub fn window_length(first_metric: &[f64]) -> usize {
    let values = &first_metric[..first_metric.len().min(PERIOD_ROWS)];
    let known = values.iter().filter(|value| value.is_finite());
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    let centred: Vec<f64> = values.iter().map(|v| if v.is_finite() { v - mean } else { 0.0 }).collect();
    let at_lag = |lag: usize| centred.iter().zip(centred.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
    if at_lag(0) == 0.0 {
        return NO_PERIOD;
    }
    let correlation: Vec<f64> =
        (FIRST_LAG..=MAX_LAG.min(centred.len().saturating_sub(1))).map(at_lag).collect();
    let peaks = correlation.windows(3).enumerate().filter(|(_, near)| near[1] > near[0] && near[1] > near[2]);
    match peaks.max_by(|a, b| a.1[1].total_cmp(&b.1[1])).map(|(i, _)| i + 1) {
        Some(peak) if (SHORTEST..=LONGEST).contains(&peak) => peak + FIRST_LAG,
        _ => NO_PERIOD,
    }
}

/// The volume under the surface of precision over recall over windows of 0 to `window` rows. None without an event.
pub fn vus_pr(series: &Series<'_>, window: usize) -> Option<f64> {
    if series.events().is_empty() {
        return None;
    }
    let mut surface = Surface::new(series);
    let volume: f64 = (0..=window).map(|width| surface.area(width)).sum();
    Some(volume / (window as f64 + 1.0))
}

/// What all windows have in common, and buffers for one.
struct Surface<'a> {
    events: &'a [Range<usize>],
    labels: Vec<bool>,
    /// For each row, the first threshold (from the highest down) that its score reaches.
    reached: Vec<usize>,
    /// For each threshold, how many rows reach it, and how many labelled ones.
    predicted: Vec<f64>,
    found: Vec<f64>,
    labelled: f64,
    /// Weight of each row outside the events; zero but while an area is calculated.
    edge: Vec<f64>,
    edge_rows: Vec<usize>,
}

impl<'a> Surface<'a> {
    fn new(series: &'a Series<'_>) -> Self {
        let scores = series.scores();
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let last = sorted.len().saturating_sub(1);
        let step = last as f64 / (THRESHOLDS - 1) as f64;
        let thresholds: Vec<f64> = (0..THRESHOLDS)
            .map(|i| if i + 1 == THRESHOLDS { last } else { (i as f64 * step) as usize })
            .filter_map(|i| sorted.get(i).copied())
            .collect();
        let reached: Vec<usize> = scores
            .iter()
            .map(|&score| thresholds.partition_point(|&threshold| threshold > score).min(THRESHOLDS - 1))
            .collect();
        let labels = series.events().labels();
        let (mut predicted, mut found) = (vec![0.0; THRESHOLDS], vec![0.0; THRESHOLDS]);
        for (&first, &labelled) in reached.iter().zip(&labels) {
            predicted[first] += 1.0;
            found[first] += f64::from(u8::from(labelled));
        }
        accumulate(&mut predicted);
        accumulate(&mut found);
        Self {
            events: series.events().iter().as_slice(),
            labels,
            reached,
            predicted,
            found,
            labelled: series.events().labelled_rows() as f64,
            edge: vec![0.0; scores.len()],
            edge_rows: Vec::new(),
        }
    }

    /// The area under the curve for one width of the edges.
    fn area(&mut self, width: usize) -> f64 {
        let edges = self.edges(width);
        let existence = self.existence(width / 2);
        let (mut area, mut recall_before) = (0.0, 0.0);
        for threshold in 0..THRESHOLDS {
            let found = self.found[threshold] + edges[threshold];
            let recall = (found / (self.labelled + edges[threshold] / 2.0)).min(1.0) * existence[threshold];
            area += (recall - recall_before) * found / self.predicted[threshold];
            recall_before = recall;
        }
        area
    }

    /// For each threshold, the weight of the edges' rows that reach it. A row beside two events has the weight of both,
    /// at most 1.
    fn edges(&mut self, width: usize) -> Vec<f64> {
        let half = width / 2;
        for event in self.events {
            let last = event.end - 1;
            let before = event.start.saturating_sub(half)..event.start;
            let after = event.end..(event.end + half).min(self.edge.len());
            for row in before.chain(after) {
                let distance = if row < event.start { event.start - row } else { row - last };
                if self.edge[row] == 0.0 {
                    self.edge_rows.push(row);
                }
                self.edge[row] += (1.0 - distance as f64 / width as f64).sqrt();
            }
        }
        let mut weights = vec![0.0; THRESHOLDS];
        for row in self.edge_rows.drain(..) {
            let weight = std::mem::take(&mut self.edge[row]).min(1.0);
            if !self.labels[row] {
                weights[self.reached[row]] += weight;
            }
        }
        accumulate(&mut weights);
        weights
    }

    /// For each threshold, the share of events, widened by `half` to both sides and joined where they then meet, that
    /// have a row that reaches it.
    fn existence(&self, half: usize) -> Vec<f64> {
        let mut shares = vec![0.0; THRESHOLDS];
        let mut count = 0.0;
        let mut count_event = |rows: Range<usize>| {
            if let Some(&first) = self.reached[rows].iter().min() {
                shares[first] += 1.0;
                count += 1.0;
            }
        };
        let mut start = self.events.first().map_or(0, |event| event.start.saturating_sub(half));
        for pair in self.events.windows(2) {
            let (end, next) = (pair[0].end + half, pair[1].start.saturating_sub(half));
            if end <= next {
                count_event(start..end);
                start = next;
            }
        }
        if let Some(last) = self.events.last() {
            count_event(start..(last.end + half).min(self.reached.len()));
        }
        accumulate(&mut shares);
        shares.iter_mut().for_each(|share| *share /= count);
        shares
    }
}

/// Turns what happens at each threshold into what has happened down to it.
fn accumulate(counts: &mut [f64]) {
    let mut sum = 0.0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, auc_pr};

    #[test]
    fn the_window_is_the_period_of_the_first_metric_or_125() {
        let sine: Vec<f64> =
            (0..2_000).map(|i| (f64::from(i) * std::f64::consts::TAU / 48.0).sin()).collect();
        assert_eq!(window_length(&sine), 48);
        assert_eq!(window_length(&[3.0; 500]), 125);
        assert_eq!(window_length(&[]), 125);
        assert_eq!(window_length(&[f64::NAN; 10]), 125);
    }

    #[test]
    fn a_score_that_is_high_on_the_events_alone_has_nearly_the_whole_volume() {
        let events = Events::from_stretches(1_000, [100..150, 600..640]);
        let scores: Vec<f64> = events.labels().iter().map(|&l| f64::from(u8::from(l))).collect();
        let series = Series::new(&scores, &events).unwrap();
        assert!((vus_pr(&series, 0).unwrap() - 1.0).abs() < 1e-12);
        assert!(vus_pr(&series, 20).unwrap() > 0.8);
    }

    #[test]
    fn one_that_is_right_beside_an_event_gets_something_unlike_in_auc_pr() {
        let events = Events::from_stretches(400, std::iter::once(200..210));
        let beside: Vec<f64> = (0..400).map(|row| f64::from(u8::from((210..220).contains(&row)))).collect();
        let series = Series::new(&beside, &events).unwrap();
        assert!(vus_pr(&series, 60).unwrap() > 4.0 * auc_pr(&series).unwrap());
    }
}
