//! Samples: values under a schema at an instant, in buffers that their owner reuses.

use std::sync::Arc;

use crate::{Schema, Timestamp};

/// One sample on its way to a detector: a view into somebody's buffer, valid until the next one is made.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// When it was taken.
    pub time: Timestamp,
    /// One value per metric of the schema; not finite means missing.
    pub values: &'a [f64],
    /// False for a sample that may be scored but must not be learnt from, such as the first after a counter reset.
    pub learnable: bool,
}

/// Samples of one schema, row after row, in one reused allocation.
#[derive(Clone, Debug)]
pub struct Batch {
    schema: Arc<Schema>,
    times: Vec<Timestamp>,
    values: Vec<f64>,
}

impl Batch {
    /// An empty batch.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { schema, times: Vec::new(), values: Vec::new() }
    }

    /// Forgets all rows and takes a schema (the same one, usually); keeps the allocations.
    pub fn reset(&mut self, schema: &Arc<Schema>) {
        if !Arc::ptr_eq(&self.schema, schema) {
            self.schema = Arc::clone(schema);
        }
        self.times.clear();
        self.values.clear();
    }

    /// Adds a row of missing values (NaN) and hands it out to be filled; it has one slot per metric.
    pub fn push_row(&mut self, time: Timestamp) -> &mut [f64] {
        let start = self.values.len();
        self.times.push(time);
        self.values.resize(start + self.schema.len(), f64::NAN);
        &mut self.values[start..]
    }

    /// Adds the rows of a batch with the same schema; false, and nothing is added, when it has another one.
    #[must_use]
    pub fn append(&mut self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.schema, &other.schema);
        if same {
            self.times.extend_from_slice(&other.times);
            self.values.extend_from_slice(&other.values);
        }
        same
    }

    /// What the values mean.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Rows in the order they came in.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let width = self.schema.len();
        self.times.iter().enumerate().map(move |(i, &time)| Row {
            time,
            values: &self.values[i * width..(i + 1) * width],
            learnable: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metric, MetricKind, MetricName};

    #[test]
    fn a_new_row_is_all_missing_and_rows_come_back_in_order() {
        let gauge = |name: &str| Metric::new(MetricName::new(name).unwrap(), MetricKind::Gauge);
        let schema = Schema::new(vec![gauge("a"), gauge("b")]).unwrap();
        let mut batch = Batch::new(schema.clone());
        batch.push_row(Timestamp::from_seconds(1.0))[1] = 7.0;
        batch.push_row(Timestamp::from_seconds(2.0))[0] = 8.0;
        let rows: Vec<_> = batch.rows().collect();
        assert!(rows[0].values[0].is_nan() && rows[0].values[1] == 7.0);
        assert!(rows[1].values[0] == 8.0 && rows[1].time == Timestamp::from_seconds(2.0));
        let mut more = Batch::new(schema.clone());
        more.push_row(Timestamp::from_seconds(3.0))[0] = 9.0;
        assert!(batch.append(&more));
        assert_eq!(batch.rows().last().unwrap().values[0], 9.0);
        let other = Schema::new(vec![gauge("a"), gauge("b")]).unwrap();
        assert!(!batch.append(&Batch::new(other)));
        assert_eq!(batch.len(), 3);
        batch.reset(&schema);
        assert!(batch.is_empty());
    }
}
