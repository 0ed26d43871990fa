//! `cargo xtask test`: runs the steps of [`crate::steps`], one line each, and a table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::steps::{Outcome, STEPS, Step, When};

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    fast: bool,
    list: bool,
    only: Vec<String>,
}

impl Options {
    /// Reads the arguments after `test`.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Options> {
        let mut options = Options::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("fast") => options.fast = true,
                Arg::Long("list") => options.list = true,
                Arg::Long("only") => options.only.push(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    fn chosen(&self) -> Result<Vec<&'static Step>> {
        for name in &self.only {
            if !STEPS.iter().any(|step| step.name == name) {
                let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
                bail!("no step `{name}`; the steps are {}", names.join(", "));
            }
        }
        let named = |step: &Step| self.only.iter().any(|name| name == step.name);
        let needed = |step: &Step| STEPS.iter().any(|other| named(other) && other.needs.contains(&step.name));
        let chosen = |step: &&Step| match self.only.is_empty() {
            true => step.when == When::Fast || (step.when == When::Full && !self.fast),
            false => named(step) || needed(step),
        };
        Ok(STEPS.iter().filter(chosen).collect())
    }
}

/// How a step went.
struct Report {
    step: &'static Step,
    word: &'static str,
    remark: String,
    took: Duration,
}

impl Report {
    fn line(&self) -> String {
        let line = format!(
            "{:<10} {:<9} {:>7.1} s  {}",
            self.step.name,
            self.word,
            self.took.as_secs_f64(),
            self.remark
        );
        line.trim_end().to_owned()
    }
}

/// Runs the chosen steps, all of them even when one fails. Whether none failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let steps = options.chosen()?;
    if options.list {
        for step in steps {
            println!("{:<10} {}", step.name, step.what);
        }
        return Ok(true);
    }
    let mut reports: Vec<Report> = Vec::new();
    for step in steps {
        eprintln!("\n== {}: {}", step.name, step.what);
        let failed = |report: &&Report| report.word == FAILED && step.needs.contains(&report.step.name);
        let report = match reports.iter().find(failed) {
            Some(cause) => Report {
                step,
                word: FAILED,
                remark: format!("needs {}, which failed", cause.step.name),
                took: Duration::ZERO,
            },
            None => take(step),
        };
        eprintln!("== {}", report.line());
        reports.push(report);
    }
    if reports.len() > 1 {
        eprintln!();
        for report in &reports {
            eprintln!("{}", report.line());
        }
    }
    Ok(reports.iter().all(|report| report.word != FAILED))
}

const FAILED: &str = "FAILED";

fn take(step: &'static Step) -> Report {
    let started = Instant::now();
    let (word, remark) = match (step.run)() {
        Ok(Outcome::Passed) => ("passed", String::new()),
        Ok(Outcome::PassedWith(remark)) => ("passed", remark),
        Ok(Outcome::LeftOut(why)) => ("left out", why),
        Err(error) => (FAILED, format!("{error:#}")),
    };
    Report { step, word, remark, took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<&'static str>> {
        let options = Options::parse(Parser::from_args(arguments))?;
        Ok(options.chosen()?.into_iter().map(|step| step.name).collect())
    }

    #[test]
    fn without_arguments_every_step_runs_that_need_not_be_named() {
        let named: Vec<_> =
            STEPS.iter().filter(|step| step.when == When::Named).map(|step| step.name).collect();
        assert_eq!(named, ["kubernetes", "images"]);
        assert_eq!(names(&[]).unwrap().len(), STEPS.len() - 2);
        assert_eq!(names(&["--only", "kubernetes"]).unwrap(), ["kubernetes"]);
    }

    #[test]
    fn a_step_brings_the_steps_it_needs() {
        assert_eq!(names(&["--only", "e2e"]).unwrap(), ["build", "peers", "e2e"]);
    }

    #[test]
    fn fast_needs_no_peers_and_no_release_build() {
        let fast = names(&["--fast"]).unwrap();
        assert!(fast.contains(&"unit") && !fast.contains(&"peers") && !fast.contains(&"build"));
    }

    #[test]
    fn a_step_comes_after_the_steps_it_needs() {
        for (at, step) in STEPS.iter().enumerate() {
            for needed in step.needs {
                assert!(
                    STEPS[..at].iter().any(|earlier| earlier.name == *needed),
                    "{} needs {needed}",
                    step.name
                );
            }
        }
    }

    #[test]
    fn an_unknown_step_is_an_error_that_names_the_steps() {
        assert!(names(&["--only", "units"]).unwrap_err().to_string().contains("unit, generated"));
    }
}
