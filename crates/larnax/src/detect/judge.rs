//! One detector on one file.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use larnax_detect::{DetectorKind, Settings};

use super::places::{Places, stem};
use super::plot::{Picture, Recording};
use super::report::{FileReport, Findings};
use super::rows::Rows;
use super::scores::ScoreWriter;
use crate::labels::{Caught, Known};
use crate::walk::{Told, Walk};

/// The watch of one detector over one file, and what comes out.
pub(crate) struct Judge {
    detector: DetectorKind,
    places: Places,
    walk: Walk,
    writer: Option<ScoreWriter>,
    recording: Option<Recording>,
    report: FileReport,
}

impl Judge {
    /// With what was saved before, if anything was.
    pub(crate) fn new(file: &Path, rows: &Rows, settings: Settings, places: Places) -> anyhow::Result<Self> {
        let detector = settings.detector;
        let mut walk = Walk::new(&stem(file), settings);
        if let Some(from) = &places.load {
            let bytes =
                fs::read(from).with_context(|| format!("--load {}: can't be read", from.display()))?;
            walk.watch.restore(&bytes).with_context(|| format!("--load {}", from.display()))?;
        }
        let writer = places.scores.as_deref().map(ScoreWriter::create).transpose()?;
        Ok(Self {
            detector,
            walk,
            writer,
            recording: places.plot.is_some().then(|| Recording::of(rows.schema.len())),
            report: FileReport::new(file, detector.as_str(), rows.schema.len()),
            places,
        })
    }

    /// What comes next is a file, or another one.
    pub(crate) fn begin(&mut self, has_time: bool) {
        self.walk.begin(has_time);
    }

    /// Learns rows that nobody is told about.
    pub(crate) fn train(&mut self, rows: &Rows) {
        rows.iter().for_each(|(line, values, _)| self.walk.row(&rows.schema, line.usable(), values));
    }

    /// Judges rows. False when nobody wants the scores any more.
    pub(crate) fn judge(&mut self, rows: &Rows) -> anyhow::Result<bool> {
        let Self { walk, writer, recording, report, places, .. } = self;
        for (line, values, time_text) in rows.iter() {
            walk.row(&rows.schema, line.usable(), values);
            let verdict = walk.verdict();
            if let Some(writer) = writer
                && is_gone(writer.write(time_text, verdict, walk.watch.schema(), walk.has_alerted()), places)?
            {
                return Ok(false);
            }
            if let (Some(recording), Some(verdict), Some(time)) = (&mut *recording, verdict, line.time) {
                recording.row(time, values, verdict);
            }
            let problem = line.problem.as_deref().map(|problem| (line.number, problem));
            report.row(verdict, problem);
            walk.changes().iter().for_each(|change| report.anomaly(change.anomaly.clone()));
        }
        Ok(true)
    }

    /// How the detector keeps to its budget.
    pub(crate) fn savings(&self) -> String {
        match self.walk.watch.cost_plan() {
            Some(plan) => format!("{}: {plan}", self.detector.as_str()),
            None => format!("{}: takes what it needs; --budget is for `auto`", self.detector.as_str()),
        }
    }

    /// Writes down what is left to write, and sums up. None when nobody wants the scores any more.
    pub(crate) fn finish(
        mut self,
        cpu_seconds: f64,
        known: Option<&Known>,
        has_time: bool,
    ) -> anyhow::Result<Option<FileReport>> {
        if let Some(writer) = self.writer.take()
            && is_gone(writer.finish(), &self.places)?
        {
            return Ok(None);
        }
        self.walk.open_anomalies().for_each(|anomaly| self.report.anomaly(anomaly));
        if let Some(path) = &self.places.save {
            write_whole(path, &self.walk.watch.save())
                .with_context(|| format!("--save {}: can't be written", path.display()))?;
        }
        if let (Some(path), Some(recording)) = (&self.places.plot, &self.recording) {
            let picture = Picture {
                title: self.report.file_name(),
                detector: self.detector.as_str(),
                schema: self.walk.watch.schema(),
                recording,
                anomalies: self.report.found(),
                labelled: &known.map(Known::instants).unwrap_or_default(),
                has_time,
            };
            write_whole(path, picture.draw().as_bytes())
                .with_context(|| format!("--plot {}: can't be written", path.display()))?;
        }
        let caught = |known: &Known, told: &[Told]| known.caught(told).map(|found| Caught::from(&found));
        let findings = |known: &Known| {
            let (opened, alerts) = (caught(known, self.walk.opened())?, caught(known, self.walk.alerts())?);
            anyhow::Ok(Findings { opened, alerts })
        };
        let findings = known.map(findings).transpose()?;
        Ok(Some(self.report.finish(cpu_seconds, self.walk.alerts().len(), findings)))
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
