//! `cargo xtask bench`: measurements that are run by hand, side by side with what a user would pick instead.

mod detect;
mod draw;
mod edge;
mod load;
mod machine;
mod meter;
mod quota;
mod report;
mod sink;
mod subject;

pub(crate) use detect::recorded;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

const BENCHES: &str = "`detect`, `edge`, `load` and `quota`";

/// Runs the bench that the arguments after `bench` name.
pub(crate) fn run(mut arguments: Parser) -> Result<()> {
    match arguments.next()? {
        Some(Arg::Value(name)) if name == "detect" => detect::run(&detect::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "edge" => edge::run(&edge::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "load" => load::run(&load::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "quota" => quota::run(&quota::Options::parse(arguments)?),
        Some(Arg::Value(name)) => bail!("no bench `{}`; there are {BENCHES}", name.string()?),
        Some(other) => Err(other.unexpected().into()),
        None => bail!("which bench? There are {BENCHES}"),
    }
}
