//! Fetching peers: download Debian packages and unpack them in a folder, cached by version.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::debian::{self, Apt};
use crate::peers::{POSTGRESQL, Peer, Peers};
use crate::relocate::relocate;

/// How deep in the dependencies a missing library is looked for. stress-ng's are found at the first level on
/// a machine with a graphics stack, at the second on one without.
const DEPTH: usize = 4;

/// Fetches `peers` into `root`, with the shared libraries that this machine lacks. One answer per package:
/// the version that is now there, or why it isn't.
///
/// A package whose newest known version is there already costs no download. Without a network, one that is
/// there stays.
///
/// ```no_run
/// use std::path::Path;
///
/// use larnax_test_peers::{Peer, fetch};
///
/// for (package, fetched) in fetch(&[Peer::Prometheus, Peer::Promtool], Path::new("target/peers"))? {
///     match fetched {
///         Ok(version) => println!("{package} {version}"),
///         Err(error) => println!("{package}: {error:#}"),
///     }
/// }
/// # anyhow::Ok(())
/// ```
///
/// # Errors
/// When `root` can't be written.
pub fn fetch(peers: &[Peer], root: &Path) -> Result<Vec<(&'static str, Result<String>)>> {
    let stamps = root.join(".versions");
    fs::create_dir_all(&stamps).with_context(|| format!("the peers' folder {}", root.display()))?;
    // Two commands at once would unpack over each other.
    let lock = File::create(root.join(".lock"))?;
    lock.lock()?;
    let mut fetcher = Fetcher { root, stamps, apt: Apt::of_the_machine(), fresh: false };
    let mut packages: Vec<&'static str> = Vec::new();
    for package in peers.iter().map(|peer| peer.package()) {
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    Ok(packages
        .into_iter()
        .map(|package| {
            let programs: Vec<Peer> =
                peers.iter().copied().filter(|peer| peer.package() == package).collect();
            (package, fetcher.provide(package, &programs))
        })
        .collect())
}

struct Fetcher<'a> {
    root: &'a Path,
    stamps: PathBuf,
    apt: Apt,
    /// Whether lists of our own were already tried: once is enough for a machine without a network.
    fresh: bool,
}

impl Fetcher<'_> {
    fn provide(&mut self, package: &str, programs: &[Peer]) -> Result<String> {
        let resolved;
        let package = match package {
            POSTGRESQL => {
                resolved = self.server_of_the_release()?;
                &resolved
            }
            package => package,
        };
        let have = fs::read_to_string(self.stamps.join(package)).ok();
        let wanted = self.apt.candidate(package).ok().flatten();
        match (have, wanted) {
            (Some(have), wanted) if wanted.as_ref().is_none_or(|wanted| *wanted == have) => Ok(have),
            (Some(have), _) => self.unpack_with_libraries(package, programs).or(Ok(have)),
            (None, _) => self.unpack_with_libraries(package, programs),
        }
    }

    fn unpack_with_libraries(&mut self, package: &str, programs: &[Peer]) -> Result<String> {
        let version = self.unpack(package)?;
        for part in programs.iter().flat_map(|peer| peer.parts()) {
            self.unpack(part)?;
        }
        self.add_libraries(package, programs)?;
        for (peer, program) in self.programs(programs)? {
            relocate(peer, &program)?;
        }
        // Last, so that a half-fetched package is fetched again.
        fs::write(self.stamps.join(package), &version)?;
        Ok(version)
    }

    /// The package of the PostgreSQL that the release has.
    fn server_of_the_release(&mut self) -> Result<String> {
        let server = |apt: &Apt| {
            let names = apt.dependencies(POSTGRESQL).unwrap_or_default();
            names.into_iter().find(|name| {
                name.strip_prefix("postgresql-").is_some_and(|version| version.parse::<u32>().is_ok())
            })
        };
        // Without lists, the one that is there stays.
        let there = || {
            let stamps = fs::read_dir(&self.stamps).ok()?.flatten();
            let mut names = stamps.filter_map(|stamp| stamp.file_name().into_string().ok());
            names.find(|name| name.starts_with("postgresql-"))
        };
        if let Some(name) = server(&self.apt).or_else(there) {
            return Ok(name);
        }
        if !self.fresh {
            self.fresh = true;
            self.apt = Apt::with_fresh_lists(&self.root.join(".apt"), &BTreeSet::new())?;
        }
        server(&self.apt).context("the package lists don't know postgresql")
    }

    /// Downloads and unpacks one package; on old or absent lists a second time with fresh ones.
    fn unpack(&mut self, package: &str) -> Result<String> {
        match self.try_unpack(package) {
            Err(error) if !self.fresh => {
                self.fresh = true;
                self.apt = Apt::with_fresh_lists(&self.root.join(".apt"), &BTreeSet::new())
                    .with_context(|| format!("{error:#}"))?;
                self.try_unpack(package)
            }
            other => other,
        }
    }

    fn try_unpack(&self, package: &str) -> Result<String> {
        let Some(version) = self.apt.candidate(package)? else {
            bail!("the package lists don't know {package}");
        };
        let folder = tempfile::tempdir_in(self.root)?;
        let deb = self.apt.download(package, folder.path())?;
        debian::unpack(&deb, self.root)?;
        Ok(version)
    }

    /// Unpacks dependencies of `package`, level by level, until its programs find all their libraries. Only
    /// packages that the machine doesn't have are taken; most dependencies (fonts, scripts of the web page)
    /// no program is linked to, so nothing is taken once all libraries are found.
    fn add_libraries(&mut self, package: &str, programs: &[Peer]) -> Result<()> {
        let mut seen = BTreeSet::from([package.to_owned()]);
        let mut level = vec![package.to_owned()];
        for _ in 0..DEPTH {
            if self.missing_libraries(programs)?.is_empty() {
                return Ok(());
            }
            let mut next = Vec::new();
            for package in &level {
                for dependency in self.apt.dependencies(package)? {
                    if seen.insert(dependency.clone()) && !debian::is_installed(&dependency) {
                        next.push(dependency);
                    }
                }
            }
            for dependency in &next {
                self.unpack(dependency)?;
            }
            level = next;
        }
        let missing = self.missing_libraries(programs)?;
        if !missing.is_empty() {
            bail!("no dependency of {package} has {}", missing.join(", "));
        }
        Ok(())
    }

    fn missing_libraries(&self, programs: &[Peer]) -> Result<Vec<String>> {
        let library_path = Peers::under(self.root).library_path();
        let mut missing = Vec::new();
        for (_, program) in self.programs(programs)? {
            missing.extend(debian::missing_libraries(&program, &library_path)?);
        }
        Ok(missing)
    }

    /// The unpacked executables.
    fn programs(&self, peers: &[Peer]) -> Result<Vec<(Peer, PathBuf)>> {
        let unpacked = Peers::under(self.root);
        let found = peers.iter().map(|&peer| {
            let program = unpacked.program(peer);
            let program = program
                .with_context(|| format!("the package {} has no {}", peer.package(), peer.file_name()))?;
            Ok((peer, program))
        });
        found.collect()
    }
}
