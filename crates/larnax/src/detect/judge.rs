//! One detector on one file.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use larnax_core::{Anomaly, AnomalyId, Batch, Component, ComponentId, Status, Timestamp};
use larnax_detect::{AlertBudget, Change, DetectorKind, Settings, Watch};
use larnax_pipeline::{Pipeline, Step};

use super::labels::{Events, Findings};
use super::places::{Places, stem};
use super::plot::{Picture, Recording};
use super::report::FileReport;
use super::rows::Rows;
use super::scores::ScoreWriter;

/// Rows with a time of day keep it when they have to be put after what was learnt before.
const DAY: Duration = Duration::from_secs(86_400);

/// The watch of one detector over one file, and what comes out.
pub(crate) struct Judge {
    detector: DetectorKind,
    places: Places,
    pipeline: Pipeline,
    watch: Watch,
    budget: AlertBudget,
    batch: Batch,
    changes: Vec<Change>,
    /// By how much times are moved, so that the file comes after what was learnt before it.
    moved: Option<Duration>,
    writer: Option<ScoreWriter>,
    recording: Option<Recording>,
    report: FileReport,
    /// When each alert was given.
    alerts: Vec<(AnomalyId, Timestamp)>,
}

impl Judge {
    /// With what was saved before, if anything was.
    pub(crate) fn new(
        file: &Path,
        rows: &Rows,
        detector: DetectorKind,
        places: Places,
    ) -> anyhow::Result<Self> {
        let component = Component {
            id: ComponentId::from_parts("file", "local", &stem(file)),
            group: "file".to_owned(),
            labels: Default::default(),
        };
        let mut watch = Watch::new(component, Settings { detector, ..Settings::default() });
        if let Some(from) = &places.load {
            let bytes =
                fs::read(from).with_context(|| format!("--load {}: can't be read", from.display()))?;
            watch.restore(&bytes).with_context(|| format!("--load {}", from.display()))?;
        }
        let writer = places.scores.as_deref().map(ScoreWriter::create).transpose()?;
        Ok(Self {
            detector,
            pipeline: Pipeline::new(larnax_pipeline::Options::default(), 1),
            watch,
            budget: AlertBudget::default(),
            batch: Batch::new(rows.schema.clone()),
            changes: Vec::new(),
            moved: None,
            writer,
            recording: places.plot.is_some().then(|| Recording::of(rows.schema.len())),
            report: FileReport::new(file, detector.as_str(), rows.schema.len()),
            alerts: Vec::new(),
            places,
        })
    }

    /// Learns rows that nobody is told about.
    pub(crate) fn train(&mut self, rows: &Rows, has_time: bool) {
        self.place(rows, has_time);
        for (line, values, _) in rows.iter() {
            self.push(rows, line.time, values);
            self.changes.clear();
        }
    }

    /// What comes next is another file.
    pub(crate) fn begin(&mut self) {
        self.moved = None;
    }

    /// Judges rows. False when nobody wants the scores any more.
    pub(crate) fn judge(&mut self, rows: &Rows, has_time: bool) -> anyhow::Result<bool> {
        self.place(rows, has_time);
        for (line, values, time_text) in rows.iter() {
            let judged = self.push(rows, line.time, values);
            for change in &mut self.changes {
                move_back(&mut change.anomaly, self.moved.unwrap_or_default());
            }
            let alert =
                self.changes.iter().any(|c| c.anomaly.alerted && self.report.is_new_alert(&c.anomaly));
            let verdict = Some(self.watch.verdict()).filter(|v| judged && v.status != Status::Unknown);
            if let Some(writer) = &mut self.writer
                && is_gone(writer.write(time_text, verdict, self.watch.schema(), alert), &self.places)?
            {
                return Ok(false);
            }
            if let (Some(recording), Some(verdict), Some(time)) = (&mut self.recording, verdict, line.time) {
                recording.row(time, values, verdict);
            }
            let problem = line.problem.as_deref().map(|problem| (line.number, problem));
            self.report.row(verdict, problem);
            for Change { anomaly, .. } in self.changes.drain(..) {
                if let Some(time) =
                    line.time.filter(|_| anomaly.alerted && self.report.is_new_alert(&anomaly))
                {
                    self.alerts.push((anomaly.id, time));
                }
                self.report.anomaly(anomaly);
            }
        }
        Ok(true)
    }

    /// Leads one row through pipeline and watch. Whether it was judged.
    fn push(&mut self, rows: &Rows, time: Option<Timestamp>, values: &[f64]) -> bool {
        let Self { pipeline, watch, budget, batch, changes, moved, .. } = self;
        batch.reset(&rows.schema);
        if let Some(time) = time {
            batch.push_row(time.plus(moved.unwrap_or_default())).copy_from_slice(values);
        }
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

    /// Finds out where the first rows of a file come in time. What is not after all that was learnt is judged as if it
    /// began right after it: files without times all begin at the epoch, and rows from the past are refused.
    fn place(&mut self, rows: &Rows, has_time: bool) {
        let (None, Some(first)) = (self.moved, rows.first_time()) else { return };
        let behind = match self.watch.last_seen() {
            Some(last) if last >= first => last.since(first) + self.watch.period(),
            _ => 0.0,
        };
        let days = (behind / DAY.as_secs_f64()).ceil() * DAY.as_secs_f64();
        self.moved =
            Some(Duration::try_from_secs_f64(if has_time { days } else { behind }).unwrap_or_default());
    }

    /// Writes down what is left to write, and sums up. None when nobody wants the scores any more.
    pub(crate) fn finish(
        mut self,
        cpu_seconds: f64,
        events: Option<&Events>,
        has_time: bool,
    ) -> anyhow::Result<Option<FileReport>> {
        if let Some(writer) = self.writer.take()
            && is_gone(writer.finish(), &self.places)?
        {
            return Ok(None);
        }
        for anomaly in self.watch.open_anomalies() {
            let mut anomaly = anomaly.clone();
            move_back(&mut anomaly, self.moved.unwrap_or_default());
            self.report.anomaly(anomaly);
        }
        if let Some(path) = &self.places.save {
            write_whole(path, &self.watch.save())
                .with_context(|| format!("--save {}: can't be written", path.display()))?;
        }
        if let (Some(path), Some(recording)) = (&self.places.plot, &self.recording) {
            let picture = Picture {
                title: self.report.file_name(),
                detector: self.detector.as_str(),
                schema: self.watch.schema(),
                recording,
                anomalies: self.report.found(),
                labelled: events.map(Events::known).unwrap_or_default(),
                has_time,
            };
            write_whole(path, picture.draw().as_bytes())
                .with_context(|| format!("--plot {}: can't be written", path.display()))?;
        }
        let findings = events.map(|events| Findings::of(events, self.report.found(), &self.alerts));
        Ok(Some(self.report.finish(cpu_seconds, findings)))
    }
}

/// An anomaly is told in the times of the file.
fn move_back(anomaly: &mut Anomaly, by: Duration) {
    let times = [&mut anomaly.onset, &mut anomaly.opened, &mut anomaly.last_seen];
    for time in times.into_iter().chain(&mut anomaly.closed) {
        *time = time.minus(by);
    }
}

/// Writes beside the file first, so that a write that breaks off leaves what was there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}

/// Whether the reader of standard output has gone. Any other failure to write is an error.
fn is_gone(written: io::Result<()>, places: &Places) -> anyhow::Result<bool> {
    let path = places.scores.as_deref().unwrap_or(Path::new("-"));
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && path == Path::new("-") => Ok(true),
        other => {
            other.map(|()| false).with_context(|| format!("{}: the scores can't be written", path.display()))
        }
    }
}
