//! The walk of a stream through pipeline and watch, the same as in `larnax detect`, with notes of what was said.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use larnax_collect::files::{FileOptions, FileSource};
use larnax_core::{AnomalyId, Batch, Component, ComponentId, Timestamp, Transition};
use larnax_detect::{AlertBudget, Change, DetectorKind, Settings, Watch};
use larnax_edge_role::process;
use larnax_evaluate::Alert;
use larnax_pipeline::{Options, Pipeline, Step};

use super::labels;
use super::sets::Stream;

/// Values that are read before they are judged, so that reading is not part of the cost.
const CHUNK_VALUES: usize = 1 << 18;

/// Something that was told, and how strongly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) alert: Alert,
    /// The highest score by then.
    pub(super) peak: f64,
}

/// What was said about the rows of a stream's test file.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) metrics: usize,
    /// The state at each row; that of the row before for a row that can't be used.
    pub(super) scores: Vec<f64>,
    pub(super) times: Vec<Option<Timestamp>>,
    /// What the time column holds.
    pub(super) time_texts: Vec<String>,
    /// By the column of labels.
    pub(super) labels: Vec<bool>,
    pub(super) first_metric: Vec<f64>,
    pub(super) opened: Vec<Told>,
    pub(super) alerts: Vec<Told>,
    /// For each event of which people named the metrics, how far each metric deviated at most.
    pub(super) deviations: Vec<Vec<f64>>,
    /// Rows that could not be used.
    pub(super) unused: usize,
    /// Rows of the train file.
    pub(super) train_rows: usize,
    /// CPU of pipeline and watch over all rows.
    pub(super) cpu_seconds: f64,
    pub(super) state_bytes: usize,
}

/// Rows that were read and not judged yet.
#[derive(Default)]
struct Chunk {
    times: Vec<Option<Timestamp>>,
    values: Vec<f64>,
}

struct Walk<'a> {
    stream: &'a Stream,
    pipeline: Pipeline,
    watch: Watch,
    budget: AlertBudget,
    changes: Vec<Change>,
    /// Alerted before, in the train file or the test file.
    alerted: HashSet<AnomalyId>,
    notes: Notes,
}

/// Leads a stream through what is shipped, at default settings.
pub(super) fn walk(
    stream: &Stream,
    detector: DetectorKind,
    step: Duration,
    bar: &ProgressBar,
) -> anyhow::Result<Notes> {
    let component = Component {
        id: ComponentId::from_parts("file", "local", &stream.name),
        group: "file".to_owned(),
        labels: Default::default(),
    };
    let mut walk = Walk {
        stream,
        pipeline: Pipeline::new(Options::default(), 1),
        watch: Watch::new(component, Settings { detector, ..Settings::default() }),
        budget: AlertBudget::default(),
        changes: Vec::new(),
        alerted: HashSet::new(),
        notes: Notes::default(),
    };
    if let Some(train) = &stream.train {
        walk.notes.train_rows = walk.file(train, step, Duration::ZERO, false, bar)?;
    }
    // Without a time column, the test file goes on where the train file ends.
    let trained = step.saturating_mul(u32::try_from(walk.notes.train_rows).unwrap_or(u32::MAX));
    walk.file(&stream.file, step, trained, true, bar)?;
    walk.notes.state_bytes = walk.watch.state_bytes();
    Ok(walk.notes)
}

impl Walk<'_> {
    /// Reads and judges a file, and says how many rows it has. Only what is said about the test file is noted.
    fn file(
        &mut self,
        file: &Path,
        step: Duration,
        start: Duration,
        is_test: bool,
        bar: &ProgressBar,
    ) -> anyhow::Result<usize> {
        let mut source = FileSource::open(file, &FileOptions { step, ..FileOptions::default() })?;
        let (schema, has_time) = (source.schema().clone(), source.has_time());
        self.notes.metrics = schema.len();
        let rows_at_once = (CHUNK_VALUES / schema.len().max(1)).max(1);
        let mut batch = Batch::new(schema.clone());
        let (mut chunk, mut values) = (Chunk::default(), Vec::new());
        let (mut rows, mut read) = (0, 0);
        loop {
            while chunk.times.len() < rows_at_once {
                let Some(record) = source.next_record(&mut values)? else { break };
                let time = record.time.map(|time| if has_time { time } else { time.plus(start) });
                chunk.times.push(time.filter(|_| record.problem.is_none()));
                chunk.values.extend_from_slice(&values);
                if is_test {
                    self.notes.times.push(time);
                    self.notes.time_texts.push(record.time_text.to_owned());
                    self.notes.labels.push(record.label.is_some_and(labels::is_anomalous));
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
                batch.reset(&schema);
                if let Some(time) = time {
                    batch.push_row(time).copy_from_slice(values);
                }
                let judged = self.judge(&batch);
                if is_test {
                    self.note(judged, rows);
                } else {
                    let alerted = self.changes.iter().filter(|change| change.anomaly.alerted);
                    self.alerted.extend(alerted.map(|change| change.anomaly.id));
                }
                self.changes.clear();
                rows += 1;
            }
            self.notes.cpu_seconds += process::thread_cpu_seconds() - began;
            chunk.times.clear();
            chunk.values.clear();
        }
        Ok(rows)
    }

    /// Judges a row, if the batch has one, and says whether it was judged.
    fn judge(&mut self, batch: &Batch) -> bool {
        let Self { pipeline, watch, budget, changes, .. } = self;
        let mut judged = false;
        pipeline.push(0, batch, &mut |step| match step {
            Step::Schema(schema) => watch.resize(schema),
            Step::Gap { after, until } => watch.gap(after, until),
            Step::Row(row) => {
                watch.observe(row, budget, changes);
                judged = true;
            }
        });
        judged
    }

    /// Notes what was said about a row of the test file.
    fn note(&mut self, judged: bool, row: usize) {
        let verdict = Some(self.watch.verdict())
            .filter(|verdict| judged && verdict.status != larnax_core::Status::Unknown);
        let before = self.notes.scores.last().copied().unwrap_or(0.0);
        self.notes.scores.push(verdict.map_or(before, |verdict| verdict.score.get()));
        self.notes.unused += usize::from(verdict.is_none());
        for Change { transition, anomaly } in &self.changes {
            let onset = first_row_from(&self.notes.times[..row.min(self.notes.times.len())], anomaly.onset);
            let told = Told { alert: Alert { onset, told: row }, peak: anomaly.peak.get() };
            if *transition == Transition::Opened {
                self.notes.opened.push(told);
            }
            if anomaly.alerted && self.alerted.insert(anomaly.id) {
                self.notes.alerts.push(told);
            }
        }
        let Some(verdict) = verdict.filter(|_| !self.stream.named.is_empty()) else { return };
        self.notes.deviations.resize(self.stream.named.len(), Vec::new());
        for (named, most) in self.stream.named.iter().zip(&mut self.notes.deviations) {
            if named.rows.contains(&row) {
                most.resize(verdict.metrics.len(), f64::NAN);
                for (most, metric) in most.iter_mut().zip(&verdict.metrics) {
                    // NaN is never the larger of two.
                    *most = most.max(metric.deviation.abs());
                }
            }
        }
    }
}

/// The row after the last one that is before an instant.
fn first_row_from(times: &[Option<Timestamp>], instant: Timestamp) -> usize {
    times.iter().rposition(|time| time.is_some_and(|time| time < instant)).map_or(0, |before| before + 1)
}

/// The rows of a window that people labelled by its first and last instant; none where no row is in it. Where clocks went
/// back, an instant comes twice: as in NAB's scorer the first is meant.
pub(super) fn rows_of(
    times: &[Option<Timestamp>],
    (start, end): (Timestamp, Timestamp),
) -> Option<Range<usize>> {
    let at = |instant| times.iter().position(|&time| time == Some(instant));
    let first = at(start).or_else(|| times.iter().position(|time| time.is_some_and(|time| time >= start)))?;
    let last = at(end).or_else(|| times.iter().rposition(|time| time.is_some_and(|time| time <= end)))?;
    (first <= last).then_some(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seconds: &[i64]) -> Vec<Option<Timestamp>> {
        seconds.iter().map(|&s| Some(Timestamp::from_millis(s * 1_000))).collect()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_window_has_the_rows_from_its_start_to_its_end() {
        let times = times(&[10, 20, 30, 40, 50]);
        assert_eq!(rows_of(&times, (at(20), at(40))), Some(1..4));
        assert_eq!(rows_of(&times, (at(15), at(45))), Some(1..4));
        assert_eq!(rows_of(&times, (at(41), at(49))), None);
        assert_eq!(rows_of(&times, (at(60), at(70))), None);
    }

    #[test]
    fn an_instant_that_comes_twice_is_the_first_row() {
        let times = times(&[10, 20, 30, 20, 30, 40]);
        assert_eq!(rows_of(&times, (at(20), at(30))), Some(1..3));
    }

    #[test]
    fn an_onset_before_all_rows_is_the_first_row_and_a_missing_time_does_not_matter() {
        let mut times = times(&[10, 20, 30]);
        times[1] = None;
        assert_eq!(first_row_from(&times, at(5)), 0);
        assert_eq!(first_row_from(&times, at(20)), 1);
        assert_eq!(first_row_from(&times, at(30)), 1);
        assert_eq!(first_row_from(&times, at(31)), 3);
    }
}
