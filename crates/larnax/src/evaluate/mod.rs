//! `larnax evaluate DIR`: how well labelled data is judged by what is shipped.
//!
//! - `args` the command line, `sets` what a folder holds by format (`nab`, `smd`, `csv`).
//! - `notes` leads a stream through pipeline and watch, as `larnax detect` does, and notes what was said.
//! - `figures` turns that into numbers, `report` prints them, `write` keeps the scores for other scorers.

mod args;
mod csv;
mod figures;
mod nab;
mod notes;
mod report;
mod sets;
mod smd;
mod write;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::check_budget;
use crate::output::print;
pub(crate) use args::EvaluateArgs;
use figures::Outcome;
use sets::Stream;

pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    check_budget(args.budget)?;
    if let Some(out) = &args.scores {
        write::check(out, &args.folder)?;
    }
    let streams = sets::find(args)?;
    let outcomes = judge_all(&streams, args)?;
    if let Some(out) = &args.scores {
        for outcome in &outcomes {
            write::scores(out, args.format, outcome)?;
        }
    }
    let report = report::Report::new(args, &outcomes)?;
    print(args.output, &report, report::table)?;
    Ok(ExitCode::SUCCESS)
}

/// Judges the streams on several threads; the outcomes are in the order of the streams.
fn judge_all(streams: &[Stream], args: &EvaluateArgs) -> anyhow::Result<Vec<Outcome>> {
    let threads = args.jobs.map_or_else(
        || thread::available_parallelism().map_or(1, std::num::NonZero::get),
        std::num::NonZero::get,
    );
    let bar = progress(streams);
    let next = AtomicUsize::new(0);
    let mut outcomes: Vec<Option<Outcome>> = streams.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let (done, results) = mpsc::channel();
        for _ in 0..threads.min(streams.len()) {
            let (done, bar, next) = (done.clone(), &bar, &next);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(stream) = streams.get(i) else { break };
                    if done.send((i, Outcome::of(stream, args, bar))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        for (i, outcome) in results {
            let outcome = outcome.inspect_err(|_| next.store(streams.len(), Ordering::Relaxed));
            outcomes[i] = Some(outcome?);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    outcomes.into_iter().collect::<Option<_>>().context("a stream was not judged")
}

/// A bar on standard error over the bytes of all files.
fn progress(streams: &[Stream]) -> ProgressBar {
    let files = streams.iter().flat_map(|stream| stream.train.iter().chain([&stream.file]));
    let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta} left, {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
