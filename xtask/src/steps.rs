//! The steps of `cargo xtask test`, in order: the cheapest first. A new kind of test is a new row here.

use anyhow::{Context, Result};

use crate::bench::recorded;
use crate::cargo::{self, cargo};
use crate::{deny, generate, images, kubernetes, peers, size};

/// One step.
pub(crate) struct Step {
    /// The name that `--only` takes.
    pub(crate) name: &'static str,
    /// What it does, for `--list`.
    pub(crate) what: &'static str,
    /// When it is done.
    pub(crate) when: When,
    /// The earlier steps whose results it uses.
    pub(crate) needs: &'static [&'static str],
    /// Does it; an error is a failure.
    pub(crate) run: fn() -> Result<Outcome>,
}

/// When a step is done; in any case where `--only` names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// With `--fast` too.
    Fast,
    /// Without `--fast`.
    Full,
    /// Only then.
    Named,
}

/// How a step ended that did not fail.
pub(crate) enum Outcome {
    Passed,
    /// With something to say about it.
    PassedWith(String),
    /// Not done, and why.
    LeftOut(String),
}

pub(crate) const STEPS: &[Step] = &[
    Step { name: "format", what: "rustfmt changes nothing", when: When::Fast, needs: &[], run: format },
    Step { name: "lint", what: "clippy has nothing to say", when: When::Fast, needs: &[], run: lint },
    Step {
        name: "unit",
        what: "unit, property, conformance and doc tests",
        when: When::Fast,

        needs: &[],
        run: unit,
    },
    Step {
        name: "generated",
        what: "generated references are in step",
        when: When::Fast,

        needs: &[],
        run: generated,
    },
    Step { name: "docs", what: "rustdoc has nothing to say", when: When::Full, needs: &[], run: docs },
    Step {
        name: "deny",
        what: "licences, bans, sources",
        when: When::Full,
        needs: &[],
        run: deny::run_if_there,
    },
    Step { name: "build", what: "the release programs", when: When::Full, needs: &[], run: build },
    Step {
        name: "size",
        what: "larnax-edge is small",
        when: When::Full,
        needs: &["build"],
        run: size::check,
    },
    Step {
        name: "accuracy",
        what: "the default detector and birch judge the made sets as well as recorded",
        when: When::Full,

        needs: &["build"],
        run: recorded::check_accuracy,
    },
    Step {
        name: "instructions",
        what: "they need no more instructions for a sample than recorded",
        when: When::Full,

        needs: &[],
        run: recorded::check_instructions,
    },
    Step {
        name: "peers",
        what: "fetch the real peers",
        when: When::Full,

        needs: &[],
        run: peers::fetch_for_tests,
    },
    Step {
        name: "e2e",
        what: "end to end, against real peers",
        when: When::Full,

        needs: &["build", "peers"],
        run: e2e,
    },
    Step {
        name: "kubernetes",
        what: "on a real cluster: the operator, the chart",
        // Building Kubernetes and the images takes a quarter of an hour of two cores.
        when: When::Named,
        needs: &[],
        run: kubernetes::check,
    },
    Step {
        name: "images",
        what: "images for amd64 and arm64 are small, the same when made again, and the programs for ARM run",
        // Seven optimised programs, which is most of an hour of two cores.
        when: When::Named,
        needs: &["peers"],
        run: images::check,
    },
];

/// The tests of a crate against a real peer, compiled with its feature `with-peers`: without peers, no other step can run them.
/// Crate and test.
const WITH_PEERS: [(&str, &str); 3] =
    [("larnax-store", "postgres"), ("larnax-bus", "rabbitmq"), ("larnax-act", "conformance")];

fn format() -> Result<Outcome> {
    cargo::run(&mut cargo(&["fmt", "--all", "--check"])).map(|()| Outcome::Passed)
}

fn lint() -> Result<Outcome> {
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--quiet"]);
    for (package, _) in WITH_PEERS {
        clippy.arg("--features").arg(format!("{package}/with-peers"));
    }
    clippy.args(["--features", "larnax-test-kubernetes/with-cluster", "--features", "larnax/kubernetes"]);
    cargo::run(clippy.args(["--", "--deny", "warnings"])).map(|()| Outcome::Passed)
}

fn unit() -> Result<Outcome> {
    let test = ["test", "--workspace", "--exclude", "larnax-e2e", "--no-fail-fast"];
    let features = ["--features", "larnax-store/postgres", "--features", "larnax-bus/rabbitmq"];
    cargo::run(cargo(&test).args(features)).map(|()| Outcome::Passed)
}

fn generated() -> Result<Outcome> {
    generate::check().context("`cargo xtask generate` writes them anew")?;
    Ok(Outcome::Passed)
}

fn docs() -> Result<Outcome> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    cargo::run(doc.env("RUSTDOCFLAGS", "--deny warnings")).map(|()| Outcome::Passed)
}

fn build() -> Result<Outcome> {
    for program in size::PROGRAMS {
        cargo::build_release(program)?;
    }
    Ok(Outcome::Passed)
}

/// On the release programs: they are what users run, and the size of the small one needs them anyway. Debug
/// assertions have their turn in the unit tests.
fn e2e() -> Result<Outcome> {
    let mut test = cargo(&["test", "--package", "larnax-e2e", "--no-fail-fast"]);
    test.env("LARNAX_PEERS", peers::folder()).env("LARNAX_PROGRAMS", cargo::target().join("release"));
    let mut outcome = cargo::run(&mut test);
    for (package, name) in WITH_PEERS {
        let mut test = cargo(&["test", "--package", package, "--features", "with-peers", "--test", name]);
        outcome = outcome.and(cargo::run(test.arg("--no-fail-fast").env("LARNAX_PEERS", peers::folder())));
    }
    outcome.map(|()| Outcome::Passed)
}
