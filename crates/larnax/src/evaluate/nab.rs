//! The layout of the Numenta Anomaly Benchmark: `data/CATEGORY/FILE.csv` and `labels/combined_windows.json`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context, bail};

use super::sets::{Stream, listing};
use crate::labels::{self, Truth};

/// The streams that the labels name.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<Stream>> {
    let file = folder.join("labels").join("combined_windows.json");
    if !file.is_file() || !folder.join("data").is_dir() {
        bail!(
            "{}: expected the layout of NAB, `data` with CSV files and `labels/combined_windows.json`; found {}",
            folder.display(),
            listing(folder)
        );
    }
    let windows: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&labels::text(&file)?)
        .with_context(|| {
            format!("{}: expected, for each file, a list of [start, end] of its windows", file.display())
        })?;
    if windows.is_empty() {
        bail!("{}: names no file; expected one list of windows for each file in `data`", file.display());
    }
    windows.into_iter().map(|(name, windows)| stream(folder, name, &windows)).collect()
}

fn stream(folder: &Path, name: String, windows: &[(String, String)]) -> anyhow::Result<Stream> {
    // Scores are written under this name.
    if !Path::new(&name).components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("labels/combined_windows.json: `{name}` is outside of the folder `data`");
    }
    let file = folder.join("data").join(&name);
    if !file.is_file() {
        bail!("{}: there is no such file, but labels/combined_windows.json names it", file.display());
    }
    let windows = windows
        .iter()
        .map(|(start, end)| {
            labels::window(start, end).with_context(|| {
                format!("labels/combined_windows.json: {name}: `{start}` to `{end}` is no stretch of time")
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Stream { name, train: None, file, truth: Truth::Windows(windows), named: Vec::new() })
}
