//! The way through: a batch in, steps out.

use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Batch, Row, Schema, Timestamp};

use crate::join::Join;
use crate::pattern::{Pattern, select};
use crate::period::{Disorder, Period};
use crate::resample::Resample;
use crate::rule::Rule;

/// What a component's samples go through.
#[derive(Clone, Debug)]
pub struct Options {
    /// Metrics that are wanted; none means all.
    pub include: Vec<Pattern>,
    /// Metrics that are not wanted even so.
    pub exclude: Vec<Pattern>,
    /// What is known beforehand of each input's metrics, by the names they have there; the first rule that matches holds.
    /// Inputs beyond the list have none.
    pub rules: Vec<Vec<Rule>>,
    /// How often the leading input's rows should come. Without it, the median of the first 20 distances.
    pub interval: Option<Duration>,
    /// The interval of the rows that come out; without it, they come as they go in.
    pub resample: Option<Duration>,
    /// The most metrics of the joined row.
    pub max_metrics: usize,
    /// How old the latest row of another input may be, compared to the leading input's row, before its values are
    /// missing.
    pub stale_after: Duration,
}

impl Default for Options {
    /// All metrics, at most 5,000, as they come; rows of other inputs for a minute.
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            rules: Vec::new(),
            interval: None,
            resample: None,
            max_metrics: 5_000,
            stale_after: Duration::from_secs(60),
        }
    }
}

/// What comes out.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// What the rows from here on mean: gauges only. Comes before the first row and whenever it changes.
    Schema(&'a Arc<Schema>),
    /// Rows are missing before the next one: what depends on the order of rows must start again.
    Gap {
        /// The last row before.
        after: Timestamp,
        /// The next row.
        until: Timestamp,
    },
    /// A row; each is later than the one before. It is not learnable when a counter in it was reset.
    Row(Row<'a>),
}

/// What went through and what did not. All but `metrics_refused` are totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows that came in, of all inputs.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
    /// Rows dropped because their input had a row at that time already.
    pub duplicate_time: u64,
    /// Rows dropped because their input had a later row already.
    pub backwards: u64,
    /// Rows of the leading input dropped because no metric is selected.
    pub no_metrics: u64,
    /// Counters that fell and started again.
    pub resets: u64,
    /// Gaps between rows that went out.
    pub gaps: u64,
    /// Selected metrics that the limit refuses now.
    pub metrics_refused: u64,
    /// Values of such metrics, one for each in each row that went out.
    pub values_refused: u64,
}

/// The way of one component's samples from collect to detect.
///
/// Input 0 leads: each of its rows makes one joined row with the latest values of the others, before resampling.
#[derive(Debug)]
pub struct Pipeline {
    options: Options,
    /// The order of rows of each input.
    periods: Vec<Period>,
    join: Join,
    resample: Option<Resample>,
    /// The joined row before resampling.
    joined: Vec<f64>,
    /// The row that goes out.
    row: Vec<f64>,
    /// The schema changed since the last row that went out.
    schema_is_new: bool,
    last_out: Option<Timestamp>,
    counters: Counters,
}

impl Pipeline {
    /// For a number of inputs; none is taken as one.
    pub fn new(options: Options, inputs: usize) -> Self {
        let inputs = inputs.max(1);
        let period = |i| Period::new(options.interval.filter(|_| i == 0).map(|d| d.as_secs_f64()));
        Self {
            periods: (0..inputs).map(period).collect(),
            join: Join::new(inputs, options.max_metrics),
            resample: options.resample.filter(|interval| !interval.is_zero()).map(Resample::new),
            joined: Vec::new(),
            row: Vec::new(),
            schema_is_new: true,
            last_out: None,
            counters: Counters::default(),
            options,
        }
    }

    /// Takes rows of an input and hands out the steps that follow from them. An input that there is none of (its number
    /// is not below that given to [`Pipeline::new`]) is left out.
    ///
    /// Hot path: allocates nothing while schemas stay the same.
    pub fn push(&mut self, input: usize, batch: &Batch, out: &mut dyn FnMut(Step<'_>)) {
        if input >= self.periods.len() {
            return;
        }
        if !self.join.knows(input, batch.schema()) {
            self.change_schema(input, batch.schema());
        }
        for row in batch.rows() {
            self.counters.rows_in += 1;
            match self.periods[input].arrive(row.time) {
                Err(Disorder::Duplicate) => self.counters.duplicate_time += 1,
                Err(Disorder::Backwards) => self.counters.backwards += 1,
                Ok(()) => {
                    self.counters.resets += self.join.take(input, &row);
                    if input == 0 {
                        self.lead(row.time, out);
                    }
                }
            }
        }
    }

    /// Hands out what is still held back: the last, unfinished bucket when resampling. For the end of a file; a row of
    /// the same bucket that comes later is dropped as backwards.
    pub fn flush(&mut self, out: &mut dyn FnMut(Step<'_>)) {
        self.close_bucket(out);
    }

    /// What went through and what did not.
    pub fn counters(&self) -> Counters {
        Counters { metrics_refused: self.join.refused() as u64, ..self.counters }
    }

    fn change_schema(&mut self, input: usize, schema: &Arc<Schema>) {
        let selected = select(schema, &self.options.include, &self.options.exclude);
        let before = Arc::clone(self.join.schema());
        if self.join.adopt(input, schema, selected, &self.options.rules) {
            self.schema_is_new = true;
            if let Some(resample) = &mut self.resample {
                resample.change_schema(&before, self.join.schema());
            }
        }
    }

    /// Joins at a row of the leading input.
    fn lead(&mut self, time: Timestamp, out: &mut dyn FnMut(Step<'_>)) {
        let learnable = self.join.fill(time, self.options.stale_after, &mut self.joined);
        if self.joined.is_empty() {
            self.counters.no_metrics += 1;
            return;
        }
        if self.resample.as_ref().is_some_and(|resample| resample.ends_by(time)) {
            self.close_bucket(out);
        }
        if let Some(resample) = &mut self.resample {
            resample.add(time, &self.joined, learnable);
        } else {
            std::mem::swap(&mut self.row, &mut self.joined);
            self.emit(time, learnable, out);
        }
    }

    fn close_bucket(&mut self, out: &mut dyn FnMut(Step<'_>)) {
        let Some((time, learnable)) = self.resample.as_mut().and_then(|r| r.close(&mut self.row)) else {
            return;
        };
        if self.row.is_empty() {
            return;
        }
        self.emit(time, learnable, out);
    }

    /// Hands out `self.row`. When resampling, a gap is judged by the longer of the two periods: one empty bucket may only
    /// mean that a row came a little late.
    fn emit(&mut self, time: Timestamp, learnable: bool, out: &mut dyn FnMut(Step<'_>)) {
        if self.last_out.is_some_and(|last| time <= last) {
            self.counters.backwards += 1;
            return;
        }
        if std::mem::take(&mut self.schema_is_new) {
            out(Step::Schema(self.join.schema()));
        }
        let at_least = self.resample.as_ref().map_or(0.0, Resample::seconds);
        if let Some(after) = self.last_out
            && self.periods[0].is_gap(time.since(after), at_least)
        {
            self.counters.gaps += 1;
            out(Step::Gap { after, until: time });
        }
        self.counters.rows_out += 1;
        self.counters.values_refused += self.join.refused() as u64;
        self.last_out = Some(time);
        out(Step::Row(Row { time, values: &self.row, learnable }));
    }
}
