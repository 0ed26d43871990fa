//! Whether what is said of images holds: how large they are, that the programs for ARM run, and that the same comes of making one again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use larnax_test_peers::{Peer, Peers, fetch};

use super::{Form, MIB, Made, make, write};
use crate::cargo::{self, cargo};
use crate::peers;
use crate::steps::Outcome;

/// A config that needs a database of time zones.
const ZONED: &str =
    "policies: [{on: [service/a], maintenance: [{days: [sat], time_zone: Europe/Brussels}]}]\n";
/// A made series in which something happens.
const SERIES: &str = "crates/larnax/tests/fixtures/evaluate/nab/data/made/shift.csv";

/// The step of `cargo xtask test`.
pub(crate) fn check() -> Result<Outcome> {
    let made = make(&cargo::target().join("images"), Form::Index)?;
    for image in &made {
        ensure!(image.is_small(), "{} is too large", image.published.program);
    }
    run_on_arm(&made)?;
    for image in made.iter().filter(|image| image.published.program == "larnax-edge") {
        is_the_same_again(image)?;
    }
    let size =
        |(architecture, bytes): (&String, &u64)| format!("{architecture} {:.2} MiB", *bytes as f64 / MIB);
    let sizes = made.iter().flat_map(|image| image.written.unpacked.iter().map(size));
    Ok(Outcome::PassedWith(sizes.collect::<Vec<_>>().join(", ")))
}

/// Builds it in another folder, where nothing is yet, and which must leave no trace in it.
fn is_the_same_again(image: &Made) -> Result<()> {
    let elsewhere = tempfile::tempdir_in(cargo::target())?;
    let again = write(image.published, &Form::Index.targets()?, elsewhere.path(), elsewhere.path())?;
    let (first, second) = (&image.written.digest, &again.written.digest);
    ensure!(first == second, "{} is {first}, and {second} when it is made again", image.published.program);
    Ok(())
}

/// Runs the programs for ARM on this machine, and the tests of the agent with them.
fn run_on_arm(made: &[Made]) -> Result<()> {
    for (package, fetched) in fetch(&[Peer::QemuArm64], &peers::folder())? {
        fetched.with_context(|| format!("{package} can't be had"))?;
    }
    let qemu = Peers::under(&peers::folder()).program(Peer::QemuArm64).context("no qemu")?;
    let folder = tempfile::tempdir()?;
    // What a program finds here it doesn't find on this machine: no time zones, as in its image.
    fs::create_dir_all(folder.path().join("root/usr/share/zoneinfo"))?;
    for image in made {
        let program = image.programs.get("arm64").context("no program for ARM")?;
        let script = format!(
            "#!/bin/sh\nexec '{}' -L '{}' '{}' \"$@\"\n",
            qemu.display(),
            folder.path().join("root").display(),
            program.display()
        );
        let path = folder.path().join(image.published.program);
        fs::write(&path, script)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    }
    let config = folder.path().join("larnax.yaml");
    fs::write(&config, ZONED)?;
    let arm = folder.path().join("larnax");
    cargo::output(Command::new(&arm).arg("check").arg(&config))?;
    let judged = |program: &Path| {
        cargo::output(Command::new(program).args(["detect", SERIES, "-o", "json"]).current_dir(cargo::root()))
    };
    let native =
        made.iter().find_map(|image| image.programs.get("amd64")).context("no program for this machine")?;
    let (here, there) = (judged(native)?, judged(&arm)?);
    ensure!(here == there, "`larnax detect {SERIES}` says otherwise on ARM:\n{there}\nand here:\n{here}");
    let mut test = cargo(&["test", "--package", "larnax-e2e", "--test", "agent", "--no-fail-fast"]);
    cargo::run(test.env("LARNAX_PEERS", peers::folder()).env("LARNAX_PROGRAMS", folder.path()))
}
