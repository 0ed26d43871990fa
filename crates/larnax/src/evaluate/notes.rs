//! What was said about the rows of a stream.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use larnax_collect::files::{FileOptions, FileSource};
use larnax_core::Timestamp;
use larnax_detect::Settings;
use larnax_serve::process;

use super::sets::Stream;
use crate::labels::{Seen, is_anomalous};
use crate::walk::{Told, Walk};

/// Values that are read before they are judged, so that reading is not part of the cost.
const CHUNK_VALUES: usize = 1 << 18;

/// What was said about the rows of a stream's test file.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) metrics: usize,
    /// The state at each row; that of the row before for a row that can't be used.
    pub(super) scores: Vec<f64>,
    /// What labels are compared with.
    pub(super) seen: Seen,
    /// What the time column holds.
    pub(super) time_texts: Vec<String>,
    pub(super) first_metric: Vec<f64>,
    pub(super) opened: Vec<Told>,
    pub(super) alerts: Vec<Told>,
    /// For each event of which people named the metrics, the largest shift of each metric.
    pub(super) shifts: Vec<Vec<f64>>,
    /// Rows that could not be used.
    pub(super) unused: usize,
    /// Rows of the train file.
    pub(super) train_rows: usize,
    /// CPU of pipeline and watch over all rows.
    pub(super) cpu_seconds: f64,
    pub(super) state_bytes: usize,
    /// How the detector kept to a budget of CPU.
    pub(super) cost_plan: Option<String>,
}

/// Rows that were read and not judged yet.
#[derive(Default)]
struct Chunk {
    times: Vec<Option<Timestamp>>,
    values: Vec<f64>,
}

struct Reader<'a> {
    stream: &'a Stream,
    walk: Walk,
    notes: Notes,
}

/// Leads a stream through what is shipped.
pub(super) fn take(
    stream: &Stream,
    settings: Settings,
    step: Duration,
    bar: &ProgressBar,
) -> anyhow::Result<Notes> {
    let walk = Walk::new(&stream.name, settings);
    let mut reader = Reader { stream, walk, notes: Notes::default() };
    if let Some(train) = &stream.train {
        reader.notes.train_rows = reader.file(train, step, false, bar)?;
    }
    reader.file(&stream.file, step, true, bar)?;
    let Reader { walk, mut notes, .. } = reader;
    (notes.opened, notes.alerts) = (walk.opened().to_vec(), walk.alerts().to_vec());
    notes.state_bytes = walk.watch.state_bytes();
    notes.cost_plan = walk.watch.cost_plan().map(|plan| plan.to_string());
    Ok(notes)
}

impl Reader<'_> {
    /// Reads and judges a file, and says how many rows it has. Only what is said about the test file is noted.
    fn file(
        &mut self,
        file: &Path,
        step: Duration,
        is_test: bool,
        bar: &ProgressBar,
    ) -> anyhow::Result<usize> {
        let mut source = FileSource::open(file, &FileOptions { step, ..FileOptions::default() })?;
        let schema = source.schema().clone();
        self.walk.begin(source.has_time());
        self.notes.metrics = schema.len();
        let rows_at_once = (CHUNK_VALUES / schema.len().max(1)).max(1);
        let (mut chunk, mut values) = (Chunk::default(), Vec::new());
        let (mut rows, mut read) = (0, 0);
        loop {
            while chunk.times.len() < rows_at_once {
                let Some(record) = source.next_record(&mut values)? else { break };
                chunk.times.push(record.time.filter(|_| record.problem.is_none()));
                chunk.values.extend_from_slice(&values);
                if is_test {
                    self.notes.seen.push(record.time, record.label.is_some_and(is_anomalous));
                    self.notes.time_texts.push(record.time_text.to_owned());
                    self.notes.first_metric.push(values.first().copied().unwrap_or(f64::NAN));
                }
            }
            if chunk.times.is_empty() {
                break;
            }
            let now = source.progress().0;
            bar.inc(now - read);
            read = now;
            let began = process::thread_cpu_seconds();
            for (&time, values) in chunk.times.iter().zip(chunk.values.chunks_exact(schema.len())) {
                self.walk.row(&schema, time, values);
                if is_test {
                    self.note(rows);
                }
                rows += 1;
            }
            self.notes.cpu_seconds += process::thread_cpu_seconds() - began;
            chunk.times.clear();
            chunk.values.clear();
        }
        Ok(rows)
    }

    /// Notes what was said about a row of the test file.
    fn note(&mut self, row: usize) {
        let verdict = self.walk.verdict();
        let before = self.notes.scores.last().copied().unwrap_or(0.0);
        self.notes.scores.push(verdict.map_or(before, |verdict| verdict.score.get()));
        self.notes.unused += usize::from(verdict.is_none());
        if verdict.is_none() || self.stream.named.is_empty() {
            return;
        }
        self.notes.shifts.resize(self.stream.named.len(), Vec::new());
        for (named, most) in self.stream.named.iter().zip(&mut self.notes.shifts) {
            if named.rows.contains(&row) {
                let shifts = self.walk.watch.shifts();
                most.resize(shifts.len(), 0.0);
                for (most, shift) in most.iter_mut().zip(shifts) {
                    *most = most.max(shift.abs());
                }
            }
        }
    }
}
