//! What is kept of a file to draw it: for each pixel the smallest and the largest, so that no spike is lost.
//!
//! Rows come once and nobody knows how many, so pixels are narrow at first; whenever there are too many of them, two
//! become one. Memory is bounded whatever the file.

use larnax_core::{Status, Timestamp, Verdict};

/// The most columns: one for each pixel of the picture.
const COLUMNS: usize = 1100;
/// The most cells of all metrics together, 40 bytes each. Very wide files are drawn more coarsely.
const CELLS: usize = 1 << 20;
/// The fewest columns that still make a picture.
const FEWEST_COLUMNS: usize = 200;
/// The width of a column at first, in nanoseconds; the finest sampling is much coarser.
const FIRST_WIDTH: u64 = 1_000_000;

/// What one metric did in one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) low: f64,
    pub(super) high: f64,
    lower: f64,
    upper: f64,
    /// Rows with a band.
    bands: u32,
}

impl Cell {
    const EMPTY: Self =
        Self { low: f64::INFINITY, high: f64::NEG_INFINITY, lower: 0.0, upper: 0.0, bands: 0 };

    /// Lower and upper edge of the band, in the mean.
    pub(super) fn band(&self) -> Option<(f64, f64)> {
        let rows = f64::from(self.bands);
        (self.bands > 0).then(|| (self.lower / rows, self.upper / rows))
    }

    /// Smallest and largest value.
    pub(super) fn values(&self) -> Option<(f64, f64)> {
        (self.low <= self.high).then_some((self.low, self.high))
    }

    fn join(&mut self, later: &Self) {
        self.low = self.low.min(later.low);
        self.high = self.high.max(later.high);
        self.lower += later.lower;
        self.upper += later.upper;
        self.bands += later.bands;
    }
}

/// The rows of a file, for a picture.
#[derive(Debug)]
pub(crate) struct Recording {
    metrics: usize,
    limit: usize,
    /// Nanoseconds of a column.
    width: u64,
    first: Option<Timestamp>,
    last: Timestamp,
    /// `metrics` cells for each column.
    cells: Vec<Cell>,
    /// The smallest and the highest score of each column; NaN where there is none.
    scores: Vec<(f64, f64)>,
    /// The largest deviation of each metric.
    peaks: Vec<f64>,
    rows: u64,
}

impl Recording {
    pub(crate) fn of(metrics: usize) -> Self {
        Self {
            metrics,
            limit: (CELLS / metrics.max(1)).clamp(FEWEST_COLUMNS, COLUMNS),
            width: FIRST_WIDTH,
            first: None,
            last: Timestamp::default(),
            cells: Vec::new(),
            scores: Vec::new(),
            peaks: vec![0.0; metrics],
            rows: 0,
        }
    }

    /// Takes the next row. One that is not later than those before is left out.
    pub(crate) fn row(&mut self, time: Timestamp, values: &[f64], verdict: &Verdict) {
        let first = *self.first.get_or_insert(time);
        if time < self.last && self.rows > 0 {
            return;
        }
        self.last = time;
        self.rows += 1;
        let age = time.nanos().saturating_sub(first.nanos()).unsigned_abs();
        while age / self.width >= self.limit as u64 {
            self.halve();
        }
        let column = (age / self.width) as usize;
        if column >= self.scores.len() {
            self.scores.resize(column + 1, (f64::NAN, f64::NAN));
            self.cells.resize((column + 1) * self.metrics, Cell::EMPTY);
        }
        if let Some(score) = self.scores.get_mut(column).filter(|_| verdict.status != Status::WarmingUp) {
            // The smaller and the larger one of a number and NaN is the number.
            *score = (score.0.min(verdict.score.get()), score.1.max(verdict.score.get()));
        }
        let cells = self.cells.iter_mut().skip(column * self.metrics);
        for (((cell, &value), judged), peak) in cells.zip(values).zip(&verdict.metrics).zip(&mut self.peaks) {
            if value.is_finite() {
                cell.low = cell.low.min(value);
                cell.high = cell.high.max(value);
            }
            if judged.lower.is_finite() && judged.upper.is_finite() {
                cell.lower += judged.lower;
                cell.upper += judged.upper;
                cell.bands += 1;
            }
            if verdict.status == Status::Ready && judged.deviation.is_finite() {
                *peak = peak.max(judged.deviation.abs());
            }
        }
    }

    /// Makes one column of each two.
    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        let columns = self.scores.len().div_ceil(2);
        for to in 0..columns {
            let (left, right) = (2 * to, 2 * to + 1);
            let later = self.scores.get(right).copied().unwrap_or((f64::NAN, f64::NAN));
            let joined = self.scores.get(left).map(|(low, high)| (low.min(later.0), high.max(later.1)));
            if let (Some(joined), Some(score)) = (joined, self.scores.get_mut(to)) {
                *score = joined;
            }
            for metric in 0..self.metrics {
                let at = |column: usize| column * self.metrics + metric;
                let Some(mut cell) = self.cells.get(at(left)).copied() else { continue };
                if let Some(later) = self.cells.get(at(right)) {
                    cell.join(later);
                }
                if let Some(place) = self.cells.get_mut(at(to)) {
                    *place = cell;
                }
            }
        }
        self.scores.truncate(columns);
        self.cells.truncate(columns * self.metrics);
    }

    /// Rows that were taken.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The time of the first row.
    pub(super) fn first(&self) -> Timestamp {
        self.first.unwrap_or_default()
    }

    /// The time of the last row.
    pub(super) fn last(&self) -> Timestamp {
        self.last.max(self.first())
    }

    /// Where a time is, from 0 at the first row to 1 at the last; outside of it beyond.
    pub(super) fn x(&self, time: Timestamp) -> f64 {
        let span = self.last().since(self.first());
        let after = time.since(self.first());
        if span > 0.0 { after / span } else { after.signum() * f64::from(after != 0.0) }
    }

    /// The middle of a column, as [`Recording::x`]: that of its rows in the last one.
    pub(super) fn middle(&self, column: usize) -> f64 {
        let span = self.last().since(self.first());
        let middle = (column as f64 + 0.5) * self.width as f64 / 1e9;
        if span > 0.0 { (middle / span).min(1.0) } else { 0.5 }
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        self.scores.len()
    }

    /// What a metric did in a column.
    pub(super) fn cell(&self, column: usize, metric: usize) -> &Cell {
        self.cells.get(column * self.metrics + metric).unwrap_or(&Cell::EMPTY)
    }

    /// The lowest and the highest score of a column.
    pub(super) fn score(&self, column: usize) -> Option<(f64, f64)> {
        self.scores.get(column).copied().filter(|(low, high)| low <= high)
    }

    /// A metric's largest deviation.
    pub(super) fn peak(&self, metric: usize) -> f64 {
        self.peaks.get(metric).copied().unwrap_or_default()
    }

    /// A metric's smallest and largest value.
    pub(super) fn range(&self, metric: usize) -> Option<(f64, f64)> {
        let values = (0..self.columns()).filter_map(|column| self.cell(column, metric).values());
        values.reduce(|(low, high), next| (low.min(next.0), high.max(next.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spike_is_lost_however_many_rows_share_a_column() {
        let mut recording = Recording::of(1);
        let mut verdict = Verdict::default();
        for i in 0..50_000 {
            verdict.reset(1);
            verdict.status = Status::Ready;
            let value = if i == 31_337 { 1e9 } else { 1.0 };
            recording.row(Timestamp::from_seconds(f64::from(i)), &[value], &verdict);
        }
        assert!(recording.columns() <= COLUMNS && recording.columns() > COLUMNS / 2 - 1);
        assert_eq!((recording.range(0), recording.rows()), (Some((1.0, 1e9)), 50_000));
        let spike = (0..recording.columns()).find(|&c| recording.cell(c, 0).high > 1.0).unwrap();
        assert!((recording.middle(spike) - 31_337.0 / 49_999.0).abs() < 0.002);
    }

    #[test]
    fn a_very_wide_file_takes_no_more_memory() {
        let mut recording = Recording::of(10_000);
        let mut verdict = Verdict::default();
        verdict.reset(10_000);
        for i in 0..300 {
            recording.row(Timestamp::from_seconds(f64::from(i)), &vec![f64::NAN; 10_000], &verdict);
        }
        assert!(recording.cells.len() <= FEWEST_COLUMNS * 10_000);
    }
}
