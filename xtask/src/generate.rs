//! References that are generated from the code and committed, so that they can be read where they are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo::{self, cargo, root};

/// A program that writes references: the example `generate` of a package, which writes its files into the folder that is its
/// only argument.
struct Generator {
    package: &'static str,
    features: &'static str,
    /// The committed folder, from the root of the repository.
    into: &'static str,
}

const GENERATORS: &[Generator] = &[
    Generator { package: "larnax-spec", features: "schema", into: "docs/reference" },
    Generator { package: "larnax-edge-role", features: "openapi", into: "docs/reference" },
];

/// Writes all references anew.
pub(crate) fn write() -> Result<()> {
    for generator in GENERATORS {
        for (path, text) in generator.run()? {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            println!("wrote {}", shown(&path));
        }
    }
    Ok(())
}

/// Whether the committed references are what the code generates; names those that aren't.
pub(crate) fn check() -> Result<bool> {
    let mut in_step = true;
    for generator in GENERATORS {
        for (path, text) in generator.run()? {
            if fs::read(&path).ok().as_ref() != Some(&text) {
                eprintln!("{} is out of step with {}", shown(&path), generator.package);
                in_step = false;
            }
        }
    }
    Ok(in_step)
}

impl Generator {
    /// What it generates: committed path and content of each file.
    fn run(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let folder = tempfile::tempdir()?;
        let mut run = cargo(&["run", "--quiet", "--package", self.package, "--features", self.features]);
        run.args(["--example", "generate", "--"]).arg(folder.path());
        cargo::output(&mut run)?;
        let mut files = Vec::new();
        collect(folder.path(), &root().join(self.into), &mut files)?;
        Ok(files)
    }
}

/// Reads all files under `folder`, with the path that each has under `into`.
fn collect(folder: &Path, into: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let (path, into) = entry.map(|entry| (entry.path(), into.join(entry.file_name())))?;
        if path.is_dir() {
            collect(&path, &into, files)?;
        } else {
            files.push((into, fs::read(path)?));
        }
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
