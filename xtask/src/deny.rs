//! `cargo deny`: licences, advisories, bans and sources, by the rules of deny.toml.

use anyhow::Result;

use crate::cargo::{self, cargo};
use crate::steps::Outcome;

const DENY: [&str; 3] = ["deny", "--workspace", "check"];

/// Runs the check where cargo-deny is installed; installing it compiles for minutes. Advisories are left to
/// `cargo xtask deny`: they need GitHub, and a new one is not about the change at hand.
pub(crate) fn run_if_there() -> Result<Outcome> {
    if !is_there() {
        return Ok(Outcome::LeftOut(
            "cargo-deny is not installed; `cargo xtask deny` installs and runs it".to_owned(),
        ));
    }
    cargo::run(cargo(&DENY).args(["licenses", "bans", "sources"])).map(|()| Outcome::Passed)
}

/// Installs cargo-deny if need be and runs the check.
pub(crate) fn install_and_run() -> Result<bool> {
    if !is_there() {
        cargo::run(&mut cargo(&["install", "--locked", "cargo-deny"]))?;
    }
    Ok(cargo(&DENY).status()?.success())
}

fn is_there() -> bool {
    cargo::output(&mut cargo(&["deny", "--version"])).is_ok()
}
