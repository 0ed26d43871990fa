//! Each metric's normal and incident values.

use std::borrow::Cow;
use std::ops::Range;

use larnax_core::Timestamp;

use crate::case::Series;

/// A metric with its values in order of time, without gaps: what is said of it must not depend on how often other metrics of the same
/// component were sampled.
#[derive(Clone, Debug)]
pub(crate) struct Sorted<'a> {
    times: Cow<'a, [Timestamp]>,
    values: Cow<'a, [f64]>,
    /// When it was looked at, whether it had a value or not, in the order that it came in.
    looked: &'a [Timestamp],
}

impl<'a> Sorted<'a> {
    pub(crate) fn new(series: &'a Series) -> Self {
        let rows = series.times.len().min(series.values.len());
        let (times, values) =
            (series.times.get(..rows).unwrap_or_default(), series.values.get(..rows).unwrap_or_default());
        if times.is_sorted() && values.iter().all(|value| value.is_finite()) {
            return Self {
                times: Cow::Borrowed(times),
                values: Cow::Borrowed(values),
                looked: &series.times,
            };
        }
        let rows = times.iter().copied().zip(values.iter().copied());
        let mut rows: Vec<(Timestamp, f64)> = rows.filter(|(_, value)| value.is_finite()).collect();
        rows.sort_by_key(|(time, _)| *time);
        let (times, values): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        Self { times: Cow::Owned(times), values: Cow::Owned(values), looked: &series.times }
    }

    pub(crate) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Seconds between rows, on average; 1 where there are not two.
    pub(crate) fn period(&self) -> f64 {
        match (self.times.first(), self.times.last()) {
            (Some(first), Some(last)) if last > first => last.since(*first) / (self.times.len() - 1) as f64,
            _ => 1.0,
        }
    }

    /// The rows with which it begins again after nobody had looked for more than so many times the usual. In order.
    pub(crate) fn begins_again(&self, most: f64) -> impl Iterator<Item = usize> {
        let period = match (self.looked.first(), self.looked.last()) {
            (Some(first), Some(last)) => last.since(*first) / self.looked.len() as f64,
            _ => 0.0,
        };
        let is_gap = move |before: Timestamp, after: Timestamp| after.since(before) > most * period;
        self.looked.windows(2).filter_map(move |pair| match pair {
            [before, after] if is_gap(*before, *after) => {
                Some(self.times.partition_point(|time| time < after))
            }
            _ => None,
        })
    }

    /// The rows within a stretch of time.
    pub(crate) fn rows(&self, within: &Range<Timestamp>) -> Range<usize> {
        let at = |time: Timestamp| self.times.partition_point(|earlier| *earlier < time);
        let start = at(within.start);
        start..at(within.end).max(start)
    }
}

/// What is normal, and what is the incident. Rows that are both belong to the incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) normal: Range<Timestamp>,
    pub(crate) incident: Range<Timestamp>,
}

impl Span {
    /// Normal until then, incident from then on.
    pub(crate) fn since(onset: Timestamp) -> Self {
        Self { normal: MIN..onset, incident: onset..MAX }
    }

    /// A metric's normal values, in two stretches, and those of the incident.
    pub(crate) fn sides<'a>(&self, series: &'a Sorted<'_>) -> Sides<'a> {
        let (normal, incident) = (series.rows(&self.normal), series.rows(&self.incident));
        let values = series.values();
        let part = |range: Range<usize>| values.get(range).unwrap_or_default();
        Sides {
            before: part(normal.start..normal.end.min(incident.start).max(normal.start)),
            after: part(normal.start.max(incident.end)..normal.end.max(normal.start.max(incident.end))),
            incident: part(incident),
        }
    }
}

const MIN: Timestamp = Timestamp::from_nanos(i64::MIN);
const MAX: Timestamp = Timestamp::from_nanos(i64::MAX);

/// A metric's values on both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    before: &'a [f64],
    after: &'a [f64],
    pub(crate) incident: &'a [f64],
}

impl<'a> Sides<'a> {
    /// The normal values: before the incident, and after it where the case says so.
    pub(crate) fn normal(&self) -> [&'a [f64]; 2] {
        [self.before, self.after]
    }
}
