//! What a folder holds: streams and their labels.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::args::{EvaluateArgs, Format, Train};
use super::{csv, nab, smd};
use crate::labels::Truth;

/// Endings of files of rows or labels, and of compressed ones.
pub(super) const ENDINGS: [&str; 3] = [".csv", ".txt", ".tsv"];
const COMPRESSED: [&str; 2] = [".gz", ".zst"];
/// Names of a folder that a message shows.
const SHOWN: usize = 8;

/// One series of rows to be judged.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Where it is in the set; what its scores are called.
    pub(super) name: String,
    /// What is learnt first.
    pub(super) train: Option<PathBuf>,
    /// What is judged.
    pub(super) file: PathBuf,
    pub(super) truth: Truth,
    /// Which metrics people named in which rows.
    pub(super) named: Vec<Named>,
}

/// The metrics that people named for an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) rows: Range<usize>,
    /// As positions.
    pub(super) metrics: Vec<usize>,
}

/// The streams of a folder, in order of their names.
pub(super) fn find(args: &EvaluateArgs) -> anyhow::Result<Vec<Stream>> {
    let folder = &args.folder;
    if !folder.is_dir() {
        bail!("{}: not a folder; expected the folder of a data set", folder.display());
    }
    let mut streams = match args.format {
        Format::Nab => nab::find(folder)?,
        Format::Smd => smd::find(folder)?,
        Format::Csv => csv::find(folder)?,
    };
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = streams.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let (one, other) = (pair[0].file.display(), pair[1].file.display());
        bail!("{one} and {other} are both called `{}`; expected a name for each", pair[0].name);
    }
    if args.train == Train::No {
        streams.iter_mut().for_each(|stream| stream.train = None);
    }
    Ok(streams)
}

/// The entries of a folder in order of their names.
pub(super) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cant = || format!("{}: can't be listed", folder.display());
    let mut entries = Vec::new();
    for entry in folder.read_dir().with_context(cant)? {
        entries.push(entry.with_context(cant)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// What is in a folder, for messages about what was expected there.
pub(super) fn listing(folder: &Path) -> String {
    let entries = entries(folder).unwrap_or_default();
    let names: Vec<String> = entries
        .iter()
        .take(SHOWN)
        .filter_map(|entry| Some(format!("`{}`", entry.file_name()?.to_string_lossy())))
        .collect();
    match entries.len() {
        0 => "nothing".to_owned(),
        count if count > SHOWN => format!("{} and {} more", names.join(", "), count - SHOWN),
        _ => names.join(", "),
    }
}

/// A file's name without one of the endings, compressed or not; none for another file.
pub(super) fn stem<'a>(file: &'a Path, endings: &[&str]) -> Option<&'a str> {
    let name = file.file_name()?.to_str()?;
    let name = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    endings.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty())
}

/// The file of a folder with this name, whatever its ending.
pub(super) fn named(folder: &Path, name: &str) -> Option<PathBuf> {
    let endings = ENDINGS.iter().flat_map(|ending| {
        std::iter::once("").chain(COMPRESSED).map(move |compressed| format!("{name}{ending}{compressed}"))
    });
    endings.map(|file| folder.join(file)).find(|file| file.is_file())
}
