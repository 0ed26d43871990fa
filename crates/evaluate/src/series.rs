//! Scores and labelled events, checked against each other.

use std::ops::Range;

/// Infinite scores become this: larger than any real one, and still a number to calculate with.
const LARGEST: f64 = 1e12;

/// What can be wrong with what is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// Scores and labels are not about the same rows.
    #[error("there are {scores} scores and {labels} labels: expected one of each for every row")]
    Rows {
        /// How many scores there are.
        scores: usize,
        /// How many rows the labels are for.
        labels: usize,
    },
}

/// The stretches of a series that are labelled anomalous: inside the series, in order, and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    rows: usize,
    stretches: Vec<Range<usize>>,
}

impl Events {
    /// From one label per row.
    pub fn from_labels(labels: impl IntoIterator<Item = bool>) -> Self {
        let mut events = Self::default();
        for (row, labelled) in labels.into_iter().enumerate() {
            events.rows = row + 1;
            match events.stretches.last_mut() {
                Some(last) if labelled && last.end == row => last.end = row + 1,
                _ if labelled => events.stretches.push(row..row + 1),
                _ => {}
            }
        }
        events
    }

    /// From stretches of rows, in any order. What is outside the series is cut off; what touches is one event.
    pub fn from_stretches(rows: usize, stretches: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut sorted: Vec<Range<usize>> = stretches
            .into_iter()
            .map(|stretch| stretch.start..stretch.end.min(rows))
            .filter(|stretch| !stretch.is_empty())
            .collect();
        sorted.sort_unstable_by_key(|stretch| stretch.start);
        let mut events = Self { rows, stretches: Vec::with_capacity(sorted.len()) };
        for stretch in sorted {
            match events.stretches.last_mut() {
                Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
                _ => events.stretches.push(stretch),
            }
        }
        events
    }

    /// Rows of the series, labelled or not.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.stretches.len()
    }

    /// Whether nothing is labelled.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// The events, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Range<usize>> {
        self.stretches.iter()
    }

    /// How many rows are labelled.
    pub fn labelled_rows(&self) -> usize {
        self.stretches.iter().map(ExactSizeIterator::len).sum()
    }

    /// One label per row.
    pub fn labels(&self) -> Vec<bool> {
        let mut labels = vec![false; self.rows];
        for stretch in &self.stretches {
            labels[stretch.clone()].fill(true);
        }
        labels
    }

    /// Which events have a row in common with a stretch, as positions.
    pub fn touched(&self, stretch: &Range<usize>) -> Range<usize> {
        if stretch.is_empty() {
            return 0..0;
        }
        let first = self.stretches.partition_point(|event| event.end <= stretch.start);
        let end = self.stretches.partition_point(|event| event.start < stretch.end);
        first..end.max(first)
    }
}

/// One score per row and the events among the rows.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    scores: Vec<f64>,
    events: &'a Events,
}

impl<'a> Series<'a> {
    /// Checks that both are about the same rows. A score that is not a number becomes 0, an infinite one a large one.
    pub fn new(scores: &[f64], events: &'a Events) -> Result<Self, EvaluateError> {
        if scores.len() != events.rows() {
            return Err(EvaluateError::Rows { scores: scores.len(), labels: events.rows() });
        }
        Ok(Self { scores: scores.iter().map(|&score| finite(score)).collect(), events })
    }

    /// The scores, all finite.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The labelled events.
    pub fn events(&self) -> &Events {
        self.events
    }
}

/// A number to calculate with. Adding 0 makes −0 a 0: the two are one score.
pub(crate) fn finite(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score.clamp(-LARGEST, LARGEST) + 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_events_and_events_labels() {
        let labels = [true, true, false, true, false, false, true];
        let events = Events::from_labels(labels);
        assert_eq!(events.iter().cloned().collect::<Vec<_>>(), [0..2, 3..4, 6..7]);
        assert_eq!((events.rows(), events.len(), events.labelled_rows()), (7, 3, 4));
        assert_eq!(events.labels(), labels);
    }

    #[test]
    fn stretches_are_sorted_cut_and_joined_where_they_touch() {
        let events = Events::from_stretches(10, [8..20, 3..5, 1..3, 12..15, 5..5]);
        assert_eq!(events, Events::from_stretches(10, [1..5, 8..10]));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_stretch_touches_the_events_that_it_shares_a_row_with() {
        let events = Events::from_stretches(20, [2..4, 8..10, 15..16]);
        for (stretch, touched) in [(4..8, 1..1), (3..9, 0..2), (9..20, 1..3), (0..0, 0..0), (16..20, 3..3)] {
            assert_eq!(events.touched(&stretch), touched, "{stretch:?}");
        }
    }

    #[test]
    fn scores_for_other_rows_are_an_error_and_what_is_no_number_is_0() {
        let events = Events::from_labels([false, true, false]);
        assert_eq!(Series::new(&[1.0], &events).unwrap_err(), EvaluateError::Rows { scores: 1, labels: 3 });
        let series = Series::new(&[f64::NAN, f64::INFINITY, -1.0], &events).unwrap();
        assert_eq!(series.scores(), [0.0, LARGEST, -1.0]);
    }
}
