//! How large the programs are.

use anyhow::{Result, bail};
use std::process::Command;

use crate::cargo;
use crate::steps::Outcome;

/// The programs that users run.
pub(crate) const PROGRAMS: [&str; 2] = ["larnax", "larnax-edge"];

/// What `larnax-edge` may weigh, in MiB: it goes into every pod and onto devices with little flash.
const EDGE_MAY_WEIGH: f64 = 6.0;

const MIB: f64 = 1024.0 * 1024.0;

/// Builds a program and returns its size without symbols, in bytes.
pub(crate) fn stripped(program: &str) -> Result<u64> {
    let built = cargo::build_release(program)?;
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join(program);
    cargo::output(Command::new("strip").arg("-o").arg(&stripped).arg(built))?;
    Ok(std::fs::metadata(stripped)?.len())
}

/// `cargo xtask size`.
pub(crate) fn print() -> Result<bool> {
    for program in PROGRAMS {
        println!("{program:<12} {:.2} MiB", stripped(program)? as f64 / MIB);
    }
    Ok(true)
}

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    let size = stripped("larnax-edge")? as f64 / MIB;
    if size > EDGE_MAY_WEIGH {
        bail!("larnax-edge is {size:.2} MiB stripped; it may be {EDGE_MAY_WEIGH} MiB");
    }
    Ok(Outcome::PassedWith(format!("{size:.2} MiB of {EDGE_MAY_WEIGH}")))
}
