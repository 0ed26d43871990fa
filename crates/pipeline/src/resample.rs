//! Rows at a fixed interval.

use std::time::Duration;

use larnax_core::{Schema, Timestamp};

/// Means over fixed intervals, aligned to whole multiples of the interval since the epoch.
///
/// A bucket holds the rows from its start up to, but not including, its end, and its row carries the time of the end:
/// the first instant at which it can be known. Every metric is a gauge by now, so each becomes the mean of its valid
/// values; the last value alone, the alternative, would hide a spike between two rows.
#[derive(Debug)]
pub(crate) struct Resample {
    nanos: i64,
    /// Number of the open bucket since the epoch.
    open: Option<i64>,
    sums: Vec<f64>,
    counts: Vec<u32>,
    learnable: bool,
}

impl Resample {
    /// With an interval of at least a nanosecond.
    pub(crate) fn new(interval: Duration) -> Self {
        let nanos = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        Self { nanos, open: None, sums: Vec::new(), counts: Vec::new(), learnable: true }
    }

    /// The interval in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// Whether the open bucket, if there is one, ends before or at `time`.
    pub(crate) fn ends_by(&self, time: Timestamp) -> bool {
        self.open.is_some_and(|open| open < self.bucket(time))
    }

    /// Adds a row to the bucket of its time.
    ///
    /// Hot path: allocates nothing once the widest row was seen.
    pub(crate) fn add(&mut self, time: Timestamp, values: &[f64], learnable: bool) {
        if self.open.is_none() {
            self.open = Some(self.bucket(time));
            self.learnable = true;
            self.sums.clear();
            self.sums.resize(values.len(), 0.0);
            self.counts.clear();
            self.counts.resize(values.len(), 0);
        }
        self.learnable &= learnable;
        for ((sum, count), value) in self.sums.iter_mut().zip(&mut self.counts).zip(values) {
            if value.is_finite() {
                *sum += value;
                *count += 1;
            }
        }
    }

    /// Closes the open bucket: writes its means and returns its time and whether it may be learnt from.
    pub(crate) fn close(&mut self, row: &mut Vec<f64>) -> Option<(Timestamp, bool)> {
        let open = self.open.take()?;
        row.clear();
        row.extend(
            self.sums
                .iter()
                .zip(&self.counts)
                .map(|(&sum, &count)| if count == 0 { f64::NAN } else { sum / f64::from(count) }),
        );
        let end = (i128::from(open) + 1) * i128::from(self.nanos);
        let end = i64::try_from(end).unwrap_or(if end > 0 { i64::MAX } else { i64::MIN });
        Some((Timestamp::from_nanos(end), self.learnable))
    }

    /// Moves the open bucket from one schema to the next, by name.
    pub(crate) fn change_schema(&mut self, from: &Schema, to: &Schema) {
        let position = |metric: &larnax_core::Metric| from.position(metric.name.as_str());
        let at: Vec<Option<usize>> = to.metrics().iter().map(position).collect();
        let carry = |i: &Option<usize>| i.and_then(|i| Some((*self.sums.get(i)?, *self.counts.get(i)?)));
        (self.sums, self.counts) = at.iter().map(|i| carry(i).unwrap_or((0.0, 0))).unzip();
    }

    fn bucket(&self, time: Timestamp) -> i64 {
        time.nanos().div_euclid(self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_mean_of_its_valid_values_at_its_end() {
        let mut resample = Resample::new(Duration::from_secs(10));
        resample.add(Timestamp::from_seconds(20.0), &[1.0, f64::NAN], true);
        resample.add(Timestamp::from_seconds(29.9), &[4.0, 8.0], false);
        assert!(!resample.ends_by(Timestamp::from_seconds(29.9)));
        assert!(resample.ends_by(Timestamp::from_seconds(30.0)));
        let mut row = Vec::new();
        assert_eq!(resample.close(&mut row), Some((Timestamp::from_seconds(30.0), false)));
        assert_eq!(row, [2.5, 8.0]);
        assert_eq!(resample.close(&mut row), None);
    }

    #[test]
    fn times_at_the_ends_of_the_range_have_buckets() {
        for nanos in [i64::MIN, -1, 0, i64::MAX] {
            let mut resample = Resample::new(Duration::from_secs(7));
            resample.add(Timestamp::from_nanos(nanos), &[1.0], true);
            let (end, _) = resample.close(&mut Vec::new()).unwrap();
            assert!(end.nanos() >= nanos);
        }
    }
}
