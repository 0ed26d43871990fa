//! `larnax`: watches this machine and what runs on it, learns what is normal, and speaks only when it isn't.

mod agents;
mod check;
mod cli;
mod client;
mod demo;
mod detect;
mod diagnose;
mod evaluate;
mod explain;
mod hub;
mod incidents;
mod inject;
mod labels;
mod models;
#[cfg(feature = "kubernetes")]
mod operator;
mod output;
mod pages;
mod plans;
mod shop;
mod status;
mod up;
mod walk;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(args) => up::up(args),
        Command::Edge(args) => {
            larnax_edge::run(args, larnax_edge::Extras::default()).map(|()| ExitCode::SUCCESS)
        }
        Command::Detect(args) => detect::detect(&args),
        Command::Diagnose(args) => diagnose::diagnose(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Status(args) => status::status(&args),
        Command::Incidents(args) => incidents::incidents(&args),
        Command::Plans(args) => plans::plans(&args),
        Command::Hub(args) => hub::hub(args),
        Command::Agents(args) => agents::agents(&args),
        #[cfg(feature = "kubernetes")]
        Command::Operator(args) => operator::operator(args),
        Command::Explain(args) => explain::explain(&args),
        Command::Check(args) => check::check(&args),
        Command::Models(args) => models::models(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Shop(args) => shop::shop(&args),
        Command::Inject(args) => inject::inject(&args),
        Command::Completions { shell } => cli::completions(shell),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("larnax: {error:#}");
        ExitCode::from(cli::FAILED)
    })
}
