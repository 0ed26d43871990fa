//! `cargo xtask bench`: measurements that are run by hand, side by side with what a user would pick instead.

mod detect;
mod diagnose;
mod draw;
mod edge;
mod hub;
mod load;
mod machine;
mod mend;
mod meter;
mod network;
mod pattern;
mod quota;
mod report;
mod shop;
mod sink;
mod subject;

pub(crate) use detect::recorded;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

const BENCHES: &str =
    "`detect`, `diagnose`, `edge`, `hub`, `load`, `mend`, `network`, `pattern`, `quota` and `shop`";

/// Runs the bench that the arguments after `bench` name.
pub(crate) fn run(mut arguments: Parser) -> Result<()> {
    match arguments.next()? {
        Some(Arg::Value(name)) if name == "detect" => detect::run(&detect::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "diagnose" => diagnose::run(&diagnose::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "edge" => edge::run(&edge::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "hub" => hub::run(&hub::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "load" => load::run(&load::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "mend" => mend::run(&mend::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "network" => network::run(&network::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "pattern" => pattern::run(&pattern::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "quota" => quota::run(&quota::Options::parse(arguments)?),
        Some(Arg::Value(name)) if name == "shop" => shop::run(&shop::Options::parse(arguments)?),
        Some(Arg::Value(name)) => bail!("no bench `{}`; there are {BENCHES}", name.string()?),
        Some(other) => Err(other.unexpected().into()),
        None => bail!("which bench? There are {BENCHES}"),
    }
}
