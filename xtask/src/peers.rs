//! The real peers, fetched once into the target folder.

use std::path::PathBuf;

use anyhow::{Result, bail};
use larnax_test_peers::{Peer, fetch, in_ci};

use crate::cargo;
use crate::steps::Outcome;

/// Where the peers are unpacked.
pub(crate) fn folder() -> PathBuf {
    cargo::target().join("peers")
}

/// Fetches what the tests need. A package that can't be had leaves its tests out; in CI it is a failure.
pub(crate) fn fetch_for_tests() -> Result<Outcome> {
    let mut absent = Vec::new();
    let mut there = Vec::new();
    for (package, fetched) in fetch(&Peer::OF_TESTS, &folder())? {
        match fetched {
            Ok(version) => there.push(format!("{package} {version}")),
            Err(error) => absent.push(format!("{package} ({error:#})")),
        }
    }
    match absent.as_slice() {
        [] => Ok(Outcome::PassedWith(there.join(", "))),
        _ if in_ci() => bail!("CI leaves no test out, but these can't be had: {}", absent.join("; ")),
        _ => Ok(Outcome::LeftOut(format!("the tests that need {}", absent.join("; ")))),
    }
}
