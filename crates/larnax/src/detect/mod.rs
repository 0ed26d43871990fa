//! `larnax detect FILE…`: the walk of a sample, offline: each row's score depends only on rows before it and itself.

mod report;
mod scores;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larnax_collect::files::{FileOptions, FileSource};
use larnax_core::{Batch, Component, ComponentId, Status};
use larnax_detect::{AlertBudget, Change, Settings, Watch};
use larnax_edge_role::process;
use larnax_pipeline::{Pipeline, Step};

use crate::cli::DetectArgs;
use crate::output::print;
use report::FileReport;
use scores::ScoreWriter;

/// Work that is done sooner shows no progress bar.
const SHOW_PROGRESS_AFTER: Duration = Duration::from_secs(2);

pub(crate) fn detect(args: &DetectArgs) -> anyhow::Result<ExitCode> {
    let scores = score_paths(args)?;
    let mut reports = Vec::with_capacity(args.files.len());
    for (file, scores) in args.files.iter().zip(&scores) {
        match judge(file, args, scores.as_deref())? {
            Some(report) => reports.push(report),
            // Whoever reads the scores has seen enough, as in `larnax detect --scores - | head`.
            None => return Ok(ExitCode::SUCCESS),
        }
    }
    // Scores on standard output would be mixed up with the summary.
    if args.scores.as_deref() != Some(Path::new("-")) {
        match reports.as_slice() {
            [only] => print(args.output, only, |only| report::table(std::slice::from_ref(only)))?,
            several => print(args.output, several, report::table)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the scores of each input file go. No two go to one place, and none to where an input is read from.
fn score_paths(args: &DetectArgs) -> anyhow::Result<Vec<Option<PathBuf>>> {
    let Some(out) = &args.scores else { return Ok(vec![None; args.files.len()]) };
    let mut paths = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let path = match out.is_dir() {
            true => out.join(format!("{}.scores.csv", stem(file))),
            false if args.files.len() == 1 => out.clone(),
            false => {
                let count = args.files.len();
                bail!(
                    "--scores {}: with {count} input files this must be a folder that exists",
                    out.display()
                )
            }
        };
        if paths.contains(&path) {
            bail!(
                "{}: two input files are called so, and their scores would go to one file; judge them apart",
                path.display()
            );
        }
        let place = path.canonicalize().ok();
        if place.is_some() && args.files.iter().any(|input| input.canonicalize().ok() == place) {
            bail!("--scores {}: this is an input file, and would be overwritten", path.display());
        }
        paths.push(path);
    }
    Ok(paths.into_iter().map(Some).collect())
}

/// The file's name without its endings.
fn stem(file: &Path) -> String {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("stdin");
    let name = if name == "-" { "stdin" } else { name };
    let stem = name
        .trim_end_matches(".gz")
        .trim_end_matches(".zst")
        .trim_end_matches(".csv")
        .trim_end_matches(".tsv");
    if stem.is_empty() { name.to_owned() } else { stem.to_owned() }
}

/// Judges one file; none when nobody wants the scores any more.
fn judge(file: &Path, args: &DetectArgs, scores: Option<&Path>) -> anyhow::Result<Option<FileReport>> {
    let mut source = FileSource::open(file, &FileOptions { step: args.step, ..FileOptions::default() })?;
    let schema = source.schema().clone();
    let component = Component {
        id: ComponentId::from_parts("file", "local", &stem(file)),
        group: "file".to_owned(),
        labels: Default::default(),
    };
    let mut pipeline = Pipeline::new(larnax_pipeline::Options::default(), 1);
    let mut watch = Watch::new(component, Settings { detector: args.detector, ..Settings::default() });
    let mut budget = AlertBudget::default();
    let mut writer = scores.map(|path| ScoreWriter::create(path, &schema)).transpose()?;
    let mut report = FileReport::new(file, args.detector.as_str(), schema.len());
    let mut batch = Batch::new(schema.clone());
    let (mut values, mut changes): (Vec<f64>, Vec<Change>) = Default::default();
    let mut progress = Progress::new();
    let started = process::cpu_seconds();
    loop {
        if report.rows.is_multiple_of(4096) {
            progress.show(source.progress());
        }
        let Some(record) = source.next_record(&mut values)? else { break };
        batch.reset(&schema);
        if let Some(time) = record.time.filter(|_| record.problem.is_none()) {
            batch.push_row(time).copy_from_slice(&values);
        }
        let mut judged = false;
        changes.clear();
        pipeline.push(0, &batch, &mut |step| match step {
            Step::Schema(schema) => watch.resize(schema),
            Step::Gap { after, until } => watch.gap(after, until),
            Step::Row(row) => {
                watch.observe(row, &mut budget, &mut changes);
                judged = true;
            }
        });
        let alert = changes.iter().any(|c| c.anomaly.alerted && report.is_new_alert(&c.anomaly));
        let verdict = Some(watch.verdict()).filter(|verdict| judged && verdict.status != Status::Unknown);
        if let Some(writer) = &mut writer
            && is_gone(writer.write(record.time_text, verdict, alert), scores)?
        {
            return Ok(None);
        }
        report.row(verdict, record.problem.as_ref().map(|p| (record.line, p.to_string())));
        for change in changes.drain(..) {
            report.anomaly(change.anomaly);
        }
    }
    progress.finish();
    if let Some(writer) = writer
        && is_gone(writer.finish(), scores)?
    {
        return Ok(None);
    }
    Ok(Some(report.finish(process::cpu_seconds() - started)))
}

/// Whether the reader of standard output has gone. Any other failure to write is an error.
fn is_gone(written: io::Result<()>, scores: Option<&Path>) -> anyhow::Result<bool> {
    let path = scores.unwrap_or(Path::new("-"));
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && path == Path::new("-") => Ok(true),
        other => {
            other.map(|()| false).with_context(|| format!("{}: the scores can't be written", path.display()))
        }
    }
}

/// A bar on standard error, for what takes long.
struct Progress {
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), bar: None }
    }

    fn show(&mut self, (read, total): (u64, Option<u64>)) {
        if self.began.elapsed() < SHOW_PROGRESS_AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = match total {
                Some(total) => ProgressBar::new(total),
                None => ProgressBar::no_length(),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style =
                ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(read);
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
