//! The layout of the Server Machine Dataset, which others share: a machine has rows to learn from, rows to judge, labels,
//! and which metrics were anomalous. Either one folder for each machine, or, as published, one folder for each of these.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::sets::{ENDINGS, Named, Stream, entries, listing, named, stem};
use crate::labels::{self, Truth};

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
    let named = interpretation.map_or(Ok(Vec::new()), |file| interpreted(&file))?;
    let truth = Truth::rows(&label)?;
    Ok(Stream { name: name.to_owned(), train, file, truth, named })
}

/// `first-end:metric,metric,…` of each event: rows from 0, the end not among them, and metrics from 1 (as in SMD).
fn interpreted(file: &Path) -> anyhow::Result<Vec<Named>> {
    let text = labels::text(file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            named_in(line).with_context(|| {
                let found: String = line.chars().take(60).collect();
                format!(
                    "{}:{}: found `{found}`, expected rows and metrics as `60-75:1,4`",
                    file.display(),
                    i + 1
                )
            })
        })
        .collect()
}

fn named_in(line: &str) -> Option<Named> {
    let (rows, metrics) = line.trim().split_once(':')?;
    let (first, end) = rows.split_once('-')?;
    let (first, end): (usize, usize) = (first.trim().parse().ok()?, end.trim().parse().ok()?);
    let metrics: Option<Vec<usize>> =
        metrics.split(',').map(|metric| metric.trim().parse::<usize>().ok()?.checked_sub(1)).collect();
    let mut metrics = metrics?;
    metrics.sort_unstable();
    metrics.dedup();
    // An event of one row is written with its row twice.
    Some(Named { rows: first..end.max(first.checked_add(1)?), metrics })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_count_from_one_and_an_event_has_at_least_a_row() {
        assert_eq!(named_in("60-75:2,1,2"), Some(Named { rows: 60..75, metrics: vec![0, 1] }));
        assert_eq!(named_in("7-7:3"), Some(Named { rows: 7..8, metrics: vec![2] }));
        for wrong in ["60-75", "60:1", "60-75:0", "60-75:x", "-1-3:1"] {
            assert_eq!(named_in(wrong), None, "{wrong}");
        }
    }
}
