//! References that are generated from the code and committed, so that they can be read where they are.

use anyhow::Result;

use crate::cargo::{self, cargo};

/// One generated reference: the arguments of the cargo command that writes it, and of the one that fails when
/// it is out of step.
struct Reference {
    write: &'static [&'static str],
    check: &'static [&'static str],
}

/// A new reference is a new row.
const REFERENCES: &[Reference] = &[
    Reference {
        write: &["run", "--package", "larnax-spec", "--features", "schema", "--example", "generate"],
        check: &["test", "--package", "larnax-spec", "--features", "schema", "--test", "reference"],
    },
    Reference {
        write: &["run", "--package", "larnax-edge-role", "--features", "openapi", "--example", "openapi"],
        check: &["test", "--package", "larnax-edge-role", "--features", "openapi", "--test", "openapi"],
    },
    Reference {
        write: &["run", "--package", "larnax-hub", "--features", "openapi", "--example", "openapi"],
        check: &["test", "--package", "larnax-hub", "--features", "openapi", "--test", "openapi"],
    },
    Reference {
        write: &["run", "--package", "larnax-kube", "--example", "resources"],
        check: &["test", "--package", "larnax-kube", "--test", "resources"],
    },
];

/// Writes all references anew.
pub(crate) fn write() -> Result<()> {
    REFERENCES.iter().try_for_each(|reference| cargo::run(&mut cargo(reference.write)))
}

/// Fails when a committed reference isn't what the code generates.
pub(crate) fn check() -> Result<()> {
    REFERENCES.iter().try_for_each(|reference| cargo::run(&mut cargo(reference.check)))
}
