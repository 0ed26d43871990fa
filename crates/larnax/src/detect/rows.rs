//! Rows of a file, many at a time, so that several detectors can judge them one after the other.

use std::ops::Range;
use std::sync::Arc;

use larnax_collect::files::{FileError, FileSource};
use larnax_core::{Schema, Timestamp};

use crate::labels::is_anomalous;

/// Rows and values that are held at once: enough that the clock is seldom asked, little enough for a cache.
const ROWS: usize = 1024;
const VALUES: usize = 64 << 10;

/// One row of a file.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its line in the file, from 1.
    pub(crate) number: u64,
    /// When it was taken; none if that can't be read.
    pub(crate) time: Option<Timestamp>,
    /// Whether its label says that it is anomalous.
    pub(crate) labelled: bool,
    /// Why it can't be used.
    pub(crate) problem: Option<String>,
    time_text: Range<usize>,
}

impl Line {
    /// When it was taken, if it can be used.
    pub(crate) fn usable(&self) -> Option<Timestamp> {
        self.time.filter(|_| self.problem.is_none())
    }
}

/// Some rows of one file, reused.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) schema: Arc<Schema>,
    lines: Vec<Line>,
    values: Vec<f64>,
    times: String,
    row: Vec<f64>,
    /// An error that came after rows that have to be judged first.
    pending: Option<FileError>,
}

impl Rows {
    pub(crate) fn of(schema: &Arc<Schema>) -> Self {
        Self {
            schema: Arc::clone(schema),
            lines: Vec::new(),
            values: Vec::new(),
            times: String::new(),
            row: Vec::new(),
            pending: None,
        }
    }

    /// Takes the next rows instead of those it has. False at the end of the file.
    pub(crate) fn fill(&mut self, source: &mut FileSource) -> Result<bool, FileError> {
        self.lines.clear();
        self.values.clear();
        self.times.clear();
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        while self.lines.len() < ROWS && (self.lines.is_empty() || self.values.len() < VALUES) {
            let record = match source.next_record(&mut self.row) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) if self.lines.is_empty() => return Err(error),
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            };
            let begin = self.times.len();
            self.times.push_str(record.time_text);
            self.lines.push(Line {
                number: record.line,
                time: record.time,
                labelled: record.label.is_some_and(is_anomalous),
                problem: record.problem.map(|problem| problem.to_string()),
                time_text: begin..self.times.len(),
            });
            self.values.extend_from_slice(&self.row);
        }
        Ok(!self.lines.is_empty())
    }

    /// Each row with its values and its time as it stands in the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Line, &[f64], &str)> {
        let width = self.schema.len().max(1);
        let texts = self.lines.iter().map(|line| self.times.get(line.time_text.clone()).unwrap_or_default());
        self.lines.iter().zip(self.values.chunks_exact(width)).zip(texts).map(|((l, v), t)| (l, v, t))
    }
}
