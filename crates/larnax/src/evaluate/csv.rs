//! Any CSV files: labels in a column, or in a file beside.

use std::path::{Path, PathBuf};

use anyhow::bail;
use larnax_collect::files::{FileOptions, FileSource};

use super::sets::{Stream, entries, listing, named, stem};
use crate::labels::Truth;

/// What follows the name of a file of rows in that of its labels: one for each row, or start and end of each event.
const LABEL: &str = "_label";
const WINDOWS: &str = "_windows";
/// Endings of files of rows: a text may be anything.
const TABLES: [&str; 2] = [".csv", ".tsv"];
/// How deep folders are looked into.
const MAX_DEPTH: usize = 8;

/// The labelled files of a folder and of those in it.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<Stream>> {
    let mut files = Vec::new();
    collect(folder, MAX_DEPTH, &mut files)?;
    let mut streams = Vec::new();
    for file in files {
        let Some(name) =
            stem(&file, &TABLES).filter(|name| !name.ends_with(LABEL) && !name.ends_with(WINDOWS))
        else {
            continue;
        };
        let beside = |ending: &str| named(file.parent()?, &format!("{name}{ending}"));
        let truth = if let Some(labels) = beside(LABEL) {
            Truth::rows(&labels)?
        } else if let Some(windows) = beside(WINDOWS) {
            Truth::windows(&windows)?
        } else if has_label(&file) {
            Truth::Column
        } else {
            continue;
        };
        let place = file.parent().and_then(|parent| parent.strip_prefix(folder).ok());
        let name = place.unwrap_or(Path::new("")).join(name).to_string_lossy().into_owned();
        streams.push(Stream { name, train: None, file, truth, named: Vec::new() });
    }
    if streams.is_empty() {
        bail!(
            "{}: expected CSV files with a column `label` or `is_anomaly`, or with NAME{LABEL}.csv or NAME{WINDOWS}.csv \
             beside NAME.csv; found no such file among {}",
            folder.display(),
            listing(folder)
        );
    }
    Ok(streams)
}

/// Files, but not those that links lead to: a link may lead back.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in entries(folder)? {
        if entry.is_dir() && !entry.is_symlink() && depth > 0 {
            collect(&entry, depth - 1, files)?;
        } else if entry.is_file() {
            files.push(entry);
        }
    }
    Ok(())
}

/// Whether the rows say themselves what is anomalous. What can't be read as rows of numbers (an index, say) is left out.
fn has_label(file: &Path) -> bool {
    let first = |mut source: FileSource| Ok(source.next_record(&mut Vec::new())?.map(|r| r.label.is_some()));
    match FileSource::open(file, &FileOptions::default()).and_then(first) {
        Ok(labelled) => labelled.unwrap_or(false),
        Err(error) => {
            eprintln!("larnax: {error}; it is left out");
            false
        }
    }
}
