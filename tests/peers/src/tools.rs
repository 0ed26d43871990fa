//! Fetching tools: Debian packages that are no use without what they depend on, such as compilers, also of other architectures.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::debian::{self, Apt};

/// Unpacks packages into `root` with all that they depend on and this machine hasn't installed, once: what is there stays as it is
/// until the folder is removed, for a compiler that changes by itself makes no program twice. `libc6:arm64` is of another architecture
/// than the machine's. Gives back the version of each package that was named, a line each.
///
/// # Errors
/// When a package can't be had, or `root` can't be written.
pub fn fetch_tools(packages: &[&str], root: &Path) -> Result<String> {
    fs::create_dir_all(root).with_context(|| format!("the tools' folder {}", root.display()))?;
    // Two commands at once would unpack over each other.
    let lock = File::create(root.join(".lock"))?;
    lock.lock()?;
    let stamp = root.join(".versions");
    let is_for = |have: &String| {
        let there = |package: &&str| have.lines().any(|line| line.starts_with(&format!("{package} ")));
        packages.iter().all(there)
    };
    if let Some(have) = fs::read_to_string(&stamp).ok().filter(is_for) {
        return Ok(have);
    }
    let foreign: BTreeSet<&str> =
        packages.iter().filter_map(|package| Some(package.split_once(':')?.1)).collect();
    let apt = Apt::with_fresh_lists(&root.join(".apt"), &foreign)?;
    let mut versions = String::new();
    let mut seen: BTreeSet<String> = packages.iter().map(|&package| package.to_owned()).collect();
    let mut wanted: Vec<String> = seen.iter().cloned().collect();
    while let Some(package) = wanted.pop() {
        let version = unpack(&apt, &package, root)?;
        if packages.contains(&package.as_str()) {
            versions.push_str(&format!("{package} {version}\n"));
        }
        for dependency in apt.dependencies(&package)? {
            if !debian::is_installed(&dependency) && seen.insert(dependency.clone()) {
                wanted.push(dependency);
            }
        }
    }
    // Last, so that what is half there is fetched again.
    fs::write(stamp, &versions)?;
    Ok(versions)
}

fn unpack(apt: &Apt, package: &str, root: &Path) -> Result<String> {
    let Some(version) = apt.candidate(package)? else {
        bail!("Debian's package lists don't know {package}, or not for this machine");
    };
    let folder = tempfile::tempdir_in(root)?;
    debian::unpack(&apt.download(package, folder.path())?, root)?;
    Ok(version)
}
