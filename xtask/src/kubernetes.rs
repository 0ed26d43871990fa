//! A real Kubernetes cluster for tests, which is built once and then up in a quarter of a minute.

use anyhow::{Context, Result};
use larnax_test_kubernetes::{Programs, build, lacks};
use larnax_test_peers::fetch;

use crate::cargo::{self, cargo};
use crate::steps::Outcome;
use crate::{images, peers};

/// The step of `cargo xtask test`. Where this machine has no Go it is left out.
pub(crate) fn check() -> Result<Outcome> {
    if let Some(lack) = lacks() {
        return Ok(Outcome::LeftOut(format!("the tests on Kubernetes: {lack}")));
    }
    for (package, fetched) in fetch(&Programs::PEERS, &peers::folder())? {
        fetched.with_context(|| format!("{package} can't be had"))?;
    }
    let version = build().context("Kubernetes can't be built")?;
    let images = cargo::target().join("images");
    images::make(&images, images::Form::Native).context("the images can't be made")?;
    // Unoptimised: the other steps have no operator, and would build the optimised program again.
    cargo::run(&mut cargo(&["build", "--package", "larnax", "--features", "kubernetes"]))?;
    let mut test = cargo(&[
        "test",
        "--package",
        "larnax-test-kubernetes",
        "--features",
        "with-cluster",
        "--no-fail-fast",
    ]);
    test.env("LARNAX_PEERS", peers::folder()).env("LARNAX_PROGRAMS", cargo::target().join("debug"));
    test.env("LARNAX_IMAGES", &images);
    cargo::run(&mut test)?;
    Ok(Outcome::PassedWith(version))
}
