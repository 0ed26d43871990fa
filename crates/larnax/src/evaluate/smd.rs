//! The layout of the Server Machine Dataset, which others share: a machine has rows to learn from, rows to judge, labels,
//! and which metrics were anomalous. Either one folder for each machine, or, as published, one folder for each of these.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::labels;
use super::sets::{ENDINGS, Stream, Truth, entries, listing, named, stem};

const TRAIN: &str = "train";
const TEST: &str = "test";
const LABEL: &str = "test_label";
const INTERPRETATION: &str = "interpretation_label";

/// The machines of a folder.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<Stream>> {
    let mut streams = Vec::new();
    if folder.join(TEST).is_dir() && folder.join(LABEL).is_dir() {
        for file in entries(&folder.join(TEST))? {
            let Some(name) = stem(&file, &ENDINGS).map(str::to_owned) else { continue };
            let part = |part: &str| named(&folder.join(part), &name);
            streams.push(stream(&name, part(TRAIN), file, part(LABEL), part(INTERPRETATION))?);
        }
    } else {
        let inside = entries(folder)?.into_iter().filter(|entry| entry.is_dir());
        for machine in std::iter::once(folder.to_owned()).chain(inside) {
            let Some(test) = named(&machine, TEST) else { continue };
            let name = machine.canonicalize().ok();
            let name = name.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
            let part = |part: &str| named(&machine, part);
            let name = name.as_deref().unwrap_or(TEST);
            streams.push(stream(name, part(TRAIN), test, part(LABEL), part(INTERPRETATION))?);
        }
    }
    if streams.is_empty() {
        bail!(
            "{}: expected the layout of SMD, a folder for each machine with `test.csv` and `test_label.txt`, or the \
             folders `test` and `test_label` with a file for each machine; found {}",
            folder.display(),
            listing(folder)
        );
    }
    Ok(streams)
}

fn stream(
    name: &str,
    train: Option<PathBuf>,
    file: PathBuf,
    label: Option<PathBuf>,
    interpretation: Option<PathBuf>,
) -> anyhow::Result<Stream> {
    let Some(label) = label else {
        bail!("{}: expected labels for it in a file `{LABEL}.txt`, found none", file.display());
    };
    let named = interpretation.map_or(Ok(Vec::new()), |file| labels::interpretation(&file))?;
    let truth = Truth::Rows(labels::rows(&label)?);
    Ok(Stream { name: name.to_owned(), train, file, truth, named })
}
