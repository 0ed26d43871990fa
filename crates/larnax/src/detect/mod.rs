//! `larnax detect FILE…`: the walk of a sample, offline: each row's score depends only on rows before it and itself.
//!
//! - `places` says where results go, `rows` reads a file some rows at a time.
//! - `judge` is one detector on one file.
//! - `scores`, `plot` and `report` are what comes out.

mod judge;
mod places;
mod plot;
mod report;
mod rows;
mod scores;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use larnax_collect::files::{FileOptions, FileSource};
use larnax_detect::Settings;
use larnax_serve::process;

use crate::cli::{DetectArgs, check_budget};
use crate::labels::{Known, Seen, Truth};
use crate::output::print;
use judge::Judge;
use places::Places;
use report::FileReport;
use rows::Rows;

/// Work that is done sooner shows no progress bar.
const SHOW_PROGRESS_AFTER: Duration = Duration::from_secs(2);

pub(crate) fn detect(args: &DetectArgs) -> anyhow::Result<ExitCode> {
    for (i, detector) in args.detector.iter().enumerate() {
        if args.detector.iter().take(i).any(|earlier| earlier == detector) {
            bail!("--detector: `{}` is named twice", detector.as_str());
        }
    }
    check_budget(args.budget)?;
    let places = places::all(args)?;
    let truth = match args.labels_file() {
        Some(_) if args.files.len() > 1 => bail!(
            "--labels: a file of labels is for one input file, found {}; \
            name a column that each of them has",
            args.files.len()
        ),
        Some(file) => Some(Truth::either(file)?),
        None => args.labels_column().map(|_| Truth::Column),
    };
    let mut reports = Vec::with_capacity(places.len());
    for (file, places) in args.files.iter().zip(places) {
        match judge_file(file, args, places, truth.as_ref())? {
            Some(judged) => reports.extend(judged),
            // Whoever reads the scores has seen enough, as in `larnax detect --scores - | head`.
            None => return Ok(ExitCode::SUCCESS),
        }
    }
    // Scores on standard output would be mixed up with the summary.
    if args.scores.as_deref() != Some(Path::new("-")) {
        match reports.as_slice() {
            [only] => print(args.output, only, |only| report::in_full(std::slice::from_ref(only)))?,
            several if args.detector.len() > 1 => print(args.output, several, report::side_by_side)?,
            several => print(args.output, several, report::in_full)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Judges one file with each detector; none when nobody wants the scores any more.
fn judge_file(
    file: &Path,
    args: &DetectArgs,
    places: Vec<Places>,
    truth: Option<&Truth>,
) -> anyhow::Result<Option<Vec<FileReport>>> {
    let options = FileOptions {
        step: args.step,
        label_column: args.labels_column().map(str::to_owned),
        ..FileOptions::default()
    };
    let mut source = FileSource::open(file, &options)?;
    let has_time = source.has_time();
    let mut rows = Rows::of(source.schema());
    let mut judges = Vec::with_capacity(places.len());
    for (&detector, places) in args.detector.iter().zip(places) {
        let settings = Settings { detector, cpu_budget: args.budget, ..Settings::default() };
        judges.push(Judge::new(file, &rows, settings, places)?);
    }
    if let Some(file) = &args.train {
        train(file, args, &mut judges)?;
    }
    judges.iter_mut().for_each(|judge| judge.begin(has_time));
    let mut compared = truth.map(|truth| (truth, Seen::default()));
    let mut progress = Progress::new();
    let mut reading = 0.0;
    let mut judging = vec![0.0; judges.len()];
    loop {
        progress.show(source.progress());
        let some = timed(&mut reading, || rows.fill(&mut source))?;
        if !some {
            break;
        }
        if let Some((_, seen)) = &mut compared {
            rows.iter().for_each(|(line, ..)| seen.push(line.time, line.labelled));
        }
        for (judge, cpu) in judges.iter_mut().zip(&mut judging) {
            if !timed(cpu, || judge.judge(&rows))? {
                return Ok(None);
            }
        }
    }
    progress.finish();
    let known = compared.map(|(truth, seen)| Known::of(truth, seen, args.step.as_secs_f64())).transpose();
    let known = known.with_context(|| file.display().to_string())?;
    let mut reports = Vec::with_capacity(judges.len());
    for (judge, cpu) in judges.into_iter().zip(judging) {
        if args.budget.is_some() {
            eprintln!("larnax: {}: {}", file.display(), judge.savings());
        }
        let Some(report) = judge.finish(reading + cpu, known.as_ref(), has_time)? else { return Ok(None) };
        reports.push(report);
    }
    Ok(Some(reports))
}

/// Lets each detector learn another file first.
fn train(file: &Path, args: &DetectArgs, judges: &mut [Judge]) -> anyhow::Result<()> {
    let options = FileOptions { step: args.step, ..FileOptions::default() };
    let mut source = FileSource::open(file, &options)?;
    judges.iter_mut().for_each(|judge| judge.begin(source.has_time()));
    let mut rows = Rows::of(source.schema());
    let mut progress = Progress::new();
    loop {
        progress.show(source.progress());
        if !rows.fill(&mut source)? {
            break;
        }
        judges.iter_mut().for_each(|judge| judge.train(&rows));
    }
    progress.finish();
    Ok(())
}

/// Adds the processor time that `work` takes, in seconds.
fn timed<T>(cpu: &mut f64, work: impl FnOnce() -> T) -> T {
    let before = process::cpu_seconds();
    let result = work();
    *cpu += process::cpu_seconds() - before;
    result
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
