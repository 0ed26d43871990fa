//! `larnax-edge`: the edge role and nothing else, for sidecars and devices.

use std::process::ExitCode;

use clap::Parser;
use larnax_edge::{AgentArgs, Extras};

const EXAMPLES: &str = "\
Examples:
  larnax-edge --scrape http://127.0.0.1:9100/metrics --alertmanager http://127.0.0.1:9093
  larnax-edge --host --interval 1s --state /var/lib/larnax
  larnax-edge --config /etc/larnax/larnax.yaml

Environment: LARNAX_LOG=error|warn|info|debug.";

/// Watches metrics beside a service, learns what is normal, and speaks only when something isn't.
#[derive(Debug, Parser)]
#[command(name = "larnax-edge", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    agent: AgentArgs,
}

fn main() -> ExitCode {
    match larnax_edge::run(Cli::parse().agent, Extras::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("larnax-edge: {error:#}");
            ExitCode::FAILURE
        }
    }
}
