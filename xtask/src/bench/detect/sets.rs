//! Sets of labelled data, and `larnax evaluate` over them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::cargo;

/// A folder of labelled data.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) folder: PathBuf,
    /// How `larnax evaluate` is to read it.
    pub(super) arguments: &'static [&'static str],
}

/// Public sets: what they are called here, the folder that holds them, and how it is read.
const PUBLIC: [(&str, &str, &[&str]); 4] = [
    ("smd", "smd", &["--format", "smd"]),
    ("smd-untrained", "smd", &["--format", "smd", "--train", "no"]),
    ("asd", "asd", &["--format", "smd", "--step", "5m"]),
    ("nab", "nab", &["--format", "nab"]),
];

/// The public sets that a folder has: `smd`, `asd` and `nab` in it, or the half `dev` of each.
pub(super) fn public(folder: &Path) -> Vec<Set> {
    let find = |&(name, place, arguments): &(&'static str, &str, &'static [&'static str])| {
        let whole = folder.join(place);
        let folder = [whole.join("dev"), whole].into_iter().find(|folder| folder.is_dir())?;
        Some(Set { name, folder, arguments })
    };
    PUBLIC.iter().filter_map(find).collect()
}

/// What `larnax evaluate` says of a set as a whole.
pub(super) fn evaluate(larnax: &Path, set: &Set, detector: &str) -> Result<Value> {
    let mut command = Command::new(larnax);
    command.arg("evaluate").arg(&set.folder).args(set.arguments).args(["--detector", detector, "-o", "json"]);
    let report: Value = serde_json::from_str(&cargo::output(&mut command)?)?;
    Ok(report["all"].clone())
}
