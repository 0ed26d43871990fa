//! A file as a source of samples.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larnax_core::{Batch, Schema, Timestamp};

use super::fields::{Fields, Split, value};
use super::input::Input;
use super::layout::{HEAD_LINES, Layout, is_blank};
use super::lines::{Line, Lines};
use super::{FileError, Problem, time};
use crate::{Collected, Cost, LocalFuture, Source, SourceError};

/// The most rows of a batch.
const BATCH_ROWS: usize = 4096;

/// How a file is to be read. The defaults find everything out.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// How far rows are apart where there is no time column; the first is at the epoch.
    pub step: Duration,
    /// Whether the first line names the columns; found out by default.
    pub header: Option<bool>,
    /// The column that holds the time; found out by default.
    pub time_column: Option<String>,
    /// The column that says of each row whether it is anomalous, which is no metric; `label` or `is_anomaly` by default.
    pub label_column: Option<String>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { step: Duration::from_secs(1), header: None, time_column: None, label_column: None }
    }
}

/// One row of a file, usable or not. The values are in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// What stands in the time column, as it stands there. Empty when there is no such column or it can't be had.
    pub time_text: &'a str,
    /// When it was taken; none if that can't be read.
    pub time: Option<Timestamp>,
    /// What stands in the label column: see [`FileOptions::label_column`].
    pub label: Option<&'a str>,
    /// Why it can't be used. Its values are all missing then.
    pub problem: Option<Problem<'a>>,
}

/// A CSV file: one metric per column, one row per line.
///
/// Delimited by commas, semicolons or tabs; with or without a header; plain or compressed with gzip or zstd. The first
/// ten lines decide. The time is the column called `timestamp`, `datetime`, `ts`, `time` or `date` (in any case) or the
/// first column if it looks like times; times without an offset are UTC. Without one, rows are a step apart. Columns
/// called `label` or `is_anomaly` are never metrics; columns of text are left out. Every metric is a gauge. Blank lines
/// are no rows; quoted fields end on their line.
///
/// Reading blocks, so a pipe that gives nothing holds up its reader. Memory is bounded by the longest line and, for
/// zstd, by its window of at most 128 MiB.
pub struct FileSource {
    name: String,
    lines: Lines,
    read: Arc<AtomicU64>,
    total: Option<u64>,
    layout: Layout,
    fields: Fields,
    step: Duration,
    /// Rows so far, usable or not.
    rows: u64,
    bad_values: u64,
    bad_rows: u64,
    cost: Cost,
    /// An error that came after rows which had to be handed out first.
    pending: Option<FileError>,
    /// Values of one row, for batches.
    row: Vec<f64>,
}

impl FileSource {
    /// Opens a file, or standard input for `-`, and looks at its first lines.
    pub fn open(path: &Path, options: &FileOptions) -> Result<Self, FileError> {
        let name = if path.as_os_str() == "-" { "standard input".into() } else { path.to_string_lossy() };
        let input = Input::open(path, &name)?;
        Self::start(&name, input, options)
    }

    /// Takes a stream, plain or compressed, and looks at its first lines. `name` stands in messages.
    pub fn from_reader(
        name: &str,
        reader: impl Read + Send + 'static,
        options: &FileOptions,
    ) -> Result<Self, FileError> {
        let input =
            Input::new(reader, None).map_err(|source| FileError::Open { name: name.to_owned(), source })?;
        Self::start(name, input, options)
    }

    fn start(name: &str, input: Input, options: &FileOptions) -> Result<Self, FileError> {
        let mut lines = Lines::new(input.reader);
        let head = lines.head(HEAD_LINES);
        if head.iter().any(|line| line.contains(&0)) {
            return Err(FileError::NotText { name: name.to_owned() });
        }
        if head.iter().all(|line| is_blank(line)) {
            let no_line = head.is_empty();
            return Err(match lines.take_error() {
                Some(source) => FileError::Read { name: name.to_owned(), line: 1, source },
                None if no_line && !lines.is_empty() => FileError::FirstLineTooLong { name: name.to_owned() },
                None => FileError::Empty { name: name.to_owned() },
            });
        }
        let layout = Layout::sniff(&head, options, name)?;
        let mut source = Self {
            name: name.to_owned(),
            lines,
            read: input.read,
            total: input.total,
            fields: Fields::new(layout.delimiter),
            layout,
            step: options.step,
            rows: 0,
            bad_values: 0,
            bad_rows: 0,
            cost: Cost::default(),
            pending: None,
            row: Vec::new(),
        };
        if source.layout.has_header {
            source.next_line()?;
        }
        Ok(source)
    }

    /// The metrics, all gauges. Does not change.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.layout.schema
    }

    /// Whether there is a time column; without one, times are steps from the epoch.
    pub fn has_time(&self) -> bool {
        self.layout.time.is_some()
    }

    /// What was found and decided that a person may want to know, such as columns left out. May grow by one while
    /// reading: the first value that is no number.
    pub fn warnings(&self) -> &[String] {
        &self.layout.warnings
    }

    /// Bytes read so far and bytes in all, before decompression. None in all for a pipe.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), self.total)
    }

    /// The next row, usable or not, so that there is one for each line that is not blank, in order. Writes one value
    /// per metric into `values`; not finite means missing. None at the end. After an error there is only the end.
    ///
    /// Hot path: allocates only for a line longer than any before.
    pub fn next_record(&mut self, values: &mut Vec<f64>) -> Result<Option<Record<'_>>, FileError> {
        values.clear();
        values.resize(self.layout.metrics.len(), f64::NAN);
        let Some(line) = self.next_line()? else { return Ok(None) };
        let stepped = self.stepped_time();
        self.rows += 1;
        let Line::Text(range) = line else {
            self.bad_rows += 1;
            let (line, time) = (self.lines.number(), stepped.filter(|_| !self.has_time()));
            return Ok(Some(Record {
                line,
                time_text: "",
                time,
                label: None,
                problem: Some(Problem::TooLong),
            }));
        };
        let text = self.lines.text(&range);
        let is_utf8 = std::str::from_utf8(text).is_ok();
        let split = self.fields.split(text);
        let shape = match split {
            _ if !is_utf8 => Some(Problem::NotUtf8),
            Split::OpenQuote => Some(Problem::OpenQuote),
            _ if split == Split::TooMany || self.fields.len() != self.layout.width => {
                Some(Problem::FieldCount { found: self.fields.len(), expected: self.layout.width })
            }
            _ => None,
        };
        let has_value = shape.is_none() && self.read_values(values);

        let line = self.lines.number();
        let time_text = self.layout.time.and_then(|column| self.fields.text(column)).unwrap_or_default();
        let time = if self.has_time() { time::parse(time_text) } else { stepped };
        let label = self.layout.label.and_then(|column| self.fields.text(column));
        let problem = shape
            .or_else(|| time.is_none().then_some(Problem::BadTime { found: time_text }))
            .or_else(|| (!has_value).then_some(Problem::NoValue));
        if problem.is_some() {
            self.bad_rows += 1;
            values.fill(f64::NAN);
        }
        Ok(Some(Record { line, time_text, time, label, problem }))
    }

    /// The time of the next row where there is no time column.
    fn stepped_time(&self) -> Option<Timestamp> {
        let nanos = self.step.as_nanos().checked_mul(u128::from(self.rows))?;
        i64::try_from(nanos).ok().map(Timestamp::from_nanos)
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Result<Option<Line>, FileError> {
        loop {
            let line = self.lines.next().map_err(|source| FileError::Read {
                name: self.name.clone(),
                line: self.lines.number() + 1,
                source,
            })?;
            match line {
                Some(Line::Text(range)) if is_blank(self.lines.text(&range)) => {}
                line => return Ok(line),
            }
        }
    }

    /// Reads the metrics' fields and says whether there is a number among them.
    fn read_values(&mut self, values: &mut [f64]) -> bool {
        let mut has_value = false;
        for (i, (slot, &column)) in values.iter_mut().zip(&self.layout.metrics).enumerate() {
            let field = self.fields.text(column).unwrap_or_default();
            if let Some(number) = value(field) {
                *slot = number;
                has_value |= number.is_finite();
                continue;
            }
            self.bad_values += 1;
            if self.bad_values == 1 {
                self.layout.warnings.push(format!(
                    "{}:{}: column `{}`: found `{}`, expected a number; it is taken as missing, and so are further ones",
                    self.name,
                    self.lines.number(),
                    self.layout.schema.name(i),
                    field.chars().take(40).collect::<String>()
                ));
            }
        }
        has_value
    }

    /// Fills a batch with the next usable rows.
    fn fill(&mut self, batch: &mut Batch) -> Result<Collected, FileError> {
        batch.reset(&self.layout.schema);
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        let mut row = std::mem::take(&mut self.row);
        let mut end = Ok(Collected::Rows);
        while batch.len() < BATCH_ROWS {
            match self.next_record(&mut row) {
                Ok(Some(Record { time: Some(time), problem: None, .. })) => {
                    batch.push_row(time).copy_from_slice(&row);
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    end = Ok(Collected::End);
                    break;
                }
                Err(error) if batch.is_empty() => {
                    end = Err(error);
                    break;
                }
                Err(error) => {
                    self.pending = Some(error);
                    break;
                }
            }
        }
        self.row = row;
        end
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    /// Gives up to 4096 usable rows. Reads blocking.
    fn collect<'a>(&'a mut self, batch: &'a mut Batch) -> LocalFuture<'a, Result<Collected, SourceError>> {
        Box::pin(async move {
            let collected = self.fill(batch);
            self.cost.collections += u64::from(collected.is_ok() && !batch.is_empty());
            self.cost.failures += u64::from(collected.is_err());
            self.cost.bytes_read = self.progress().0;
            self.cost.bad_samples = self.bad_values + self.bad_rows;
            collected.map_err(SourceError::from)
        })
    }

    /// As of the last collection. Rows that were read one by one count with it.
    fn cost(&self) -> Cost {
        self.cost
    }
}
