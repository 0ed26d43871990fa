//! The developer's commands. `cargo xtask` alone lists them.

mod bench;
mod cargo;
mod deny;
mod generate;
mod images;
mod kubernetes;
mod peers;
mod sbom;
mod size;
mod steps;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
The developer's commands

cargo xtask test [--fast] [--only STEP]... [--list]
        Sets up what the tests need and runs all of them.
        --fast   only what needs no peers and no release build: under two minutes once built
        --only   one step, with the steps it needs; can be given again. `kubernetes` and `images` are only done so
        --list   what the steps are
cargo xtask generate [--check]
        Writes the generated references anew; --check only fails if they are out of step.
cargo xtask size
        Builds the release programs and shows their stripped sizes.
cargo xtask images [--native] [--out DIR]
        Makes container images of the programs for amd64 and arm64, without a container engine, as archives that `ctr images import`,
        `podman load` and `docker load` read; in target/images unless DIR says otherwise. Fetches compilers for ARM first (250 MB).
        --native  for this machine alone, which needs none of them
cargo xtask deny
        Checks licences, sources and advisories of all dependencies; installs cargo-deny first (minutes).
cargo xtask bench edge [--seconds N] [--settle N] [--interval 5s]... [--no-host] [--cold-build]
        Measures larnax-edge beside Prometheus, vmagent and node_exporter; see bench/README.md.
cargo xtask bench detect [--data DIR] [--detector NAME]... [--record]
        How good each detector is on each labelled set at hand, and what it costs; --record writes
        bench/recorded.json anew, against which `cargo xtask test` holds the default.
cargo xtask bench quota [--detector NAME]... [--short]
        Collecting by interval, detectors under CPU quotas, and both together on a tenth of a CPU. Needs root.
        --short  a few minutes, to see that it works; its figures are not kept
cargo xtask bench hub [--seconds 30]
        How many anomaly events a second a hub on SQLite takes from its edges, and what that costs.
cargo xtask bench load [--rounds 5] [--detector NAME]
        Loads this machine with stress-ng in five ways, and says which larnax-edge noticed and how soon.
cargo xtask bench mend [--times 6] [--parallel 2] [--first 1] [--learn 1200] [--learnt DIR] [--fault NAME]... [--hours 6] [--note TEXT]
        Breaks the shop in ten ways, each a few times, and lets Larnax mend it: whether it does the right thing, how soon, and
        whether that gets better, beside no action and restarting everything. Three hours; no round begins after --hours.
cargo xtask bench network [--cases NAME,NAME] [--minutes 3] [--settle 60] [--interval 5s] [--no-alerts] [--no-load] [--quick]
        What watching an application costs the network between the nodes of a real cluster, and what it costs the nodes: for no
        monitoring, Prometheus, and the tiers of Larnax. An hour. Needs root and Go.
        --quick  half a minute each, to see that it works; parts are kept in target/bench
cargo xtask bench shop [--seeds 5] [--first 1] [--learn 1200] [--learnt DIR] [--fault NAME]... [--note TEXT]
        Breaks the shop in ten ways a seed, with decoys in between, and says how soon `larnax up` had an incident, and
        whether it names the right service, beside simple rules. Twenty minutes, and a quarter of an
        hour a seed.
        --learnt  keeps what was learnt of a well shop, or uses what is there
cargo xtask bench pattern [--record FILE | --data FILE] [--runs 10] [--parallel 5] [--first 1] [--learn 1200] [--learnt DIR]
                         [--fault NAME]... [--note TEXT]
        Breaks the shop in each of its ways, ten times, and says whether faults are known again by what they look like, and
        unknown ones rejected. An hour and a quarter.
        --record  keeps what was seen in a file, to which it adds; --data judges such a file, in minutes
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn run() -> Result<bool> {
    let mut arguments = Parser::from_env();
    let command = match arguments.next()? {
        Some(Arg::Value(command)) => command.string()?,
        None | Some(Arg::Short('h') | Arg::Long("help")) => {
            print!("{HELP}");
            return Ok(true);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "test" => test::run(&test::Options::parse(arguments)?),
        "generate" => {
            let check = flag(&mut arguments, "check")?;
            if check {
                generate::check()?
            } else {
                generate::write()?
            }
            Ok(true)
        }
        "size" => {
            flag(&mut arguments, "")?;
            size::print()
        }
        "images" => {
            let (mut folder, mut form) = (cargo::target().join("images"), images::Form::Index);
            while let Some(argument) = arguments.next()? {
                match argument {
                    Arg::Long("out") => folder = arguments.value()?.into(),
                    Arg::Long("native") => form = images::Form::Native,
                    other => return Err(other.unexpected().into()),
                }
            }
            Ok(images::make(&folder, form)?.iter().all(images::Made::is_small))
        }
        "deny" => {
            flag(&mut arguments, "")?;
            deny::install_and_run()
        }
        "bench" => bench::run(arguments).map(|()| true),
        other => bail!("no command `{other}`; `cargo xtask` lists the commands"),
    }
}

/// Whether the only argument that is allowed is there.
fn flag(arguments: &mut Parser, name: &str) -> Result<bool> {
    let mut given = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long(long) if long == name => given = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(given)
}
