//! CSV files as the sets have them: no quotes, plain or compressed with zstd.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use larnax_core::Timestamp;

/// A file's lines, each cut at its commas.
pub(super) struct Table {
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let mut text = String::new();
        if path.extension().is_some_and(|extension| extension == "zst") {
            ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
                .with_context(|| path.display().to_string())?
                .read_to_string(&mut text)?;
        } else {
            text = String::from_utf8(bytes)?;
        }
        let rows = text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
        Ok(Self { rows })
    }

    /// The first line.
    pub(super) fn head(&self) -> &[String] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// The place of a column, whatever its case.
    pub(super) fn place(&self, name: &str) -> Result<usize> {
        let place = self.head().iter().position(|head| head.eq_ignore_ascii_case(name));
        place.with_context(|| format!("no column `{name}`"))
    }

    /// A column below `head` lines of heading; what is no number is a gap.
    pub(super) fn numbers(&self, column: usize, head: usize) -> Vec<f64> {
        let cell = |row: &Vec<String>| row.get(column).and_then(|cell| cell.parse().ok()).unwrap_or(f64::NAN);
        self.rows.iter().skip(head).map(cell).collect()
    }
}

/// `2022-08-22 03:51:19` and whatever follows, as UTC.
pub(super) fn utc(text: &str) -> Result<Timestamp> {
    let seconds = text.get(..19).with_context(|| format!("`{text}` is no time"))?;
    Ok((seconds.replace(' ', "T") + "Z").parse()?)
}

/// The folders in a folder, in order.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut folders: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
