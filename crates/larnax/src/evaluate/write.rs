//! Scores in files, for other scorers.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::args::Format;
use super::figures::Outcome;
use crate::walk::Told;

/// Refuses a folder in which scores would be mixed up with what is judged.
pub(super) fn check(out: &Path, folder: &Path) -> anyhow::Result<()> {
    let place = std::path::absolute(out)?;
    let there = place.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    let inside =
        folder.canonicalize().is_ok_and(|folder| there.is_some_and(|there| there.starts_with(folder)));
    if inside {
        bail!("--scores {}: is inside of {}; expected a folder elsewhere", out.display(), folder.display());
    }
    Ok(())
}

/// Writes the scores of one stream, one for each row.
pub(super) fn scores(out: &Path, format: Format, outcome: &Outcome) -> anyhow::Result<()> {
    let path = match format {
        Format::Nab => out.join(&outcome.name),
        Format::Smd | Format::Csv => out.join(format!("{}.csv", outcome.name)),
    };
    write(&path, format, outcome).with_context(|| format!("{}: the scores can't be written", path.display()))
}

fn write(path: &PathBuf, format: Format, outcome: &Outcome) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = BufWriter::new(File::create(path)?);
    let notes = &outcome.notes;
    if format != Format::Nab {
        for score in &notes.scores {
            writeln!(file, "{score}")?;
        }
        return file.flush();
    }
    let opened = emissions(&notes.opened, notes.scores.len());
    let alerts = emissions(&notes.alerts, notes.scores.len());
    writeln!(file, "timestamp,anomaly_score,alert_score,state_score")?;
    for (((time, opened), alert), &state) in
        notes.time_texts.iter().zip(opened).zip(alerts).zip(&notes.scores)
    {
        writeln!(file, "{time},{opened},{alert},{}", unit(state))?;
    }
    file.flush()
}

/// One score between 0 and 1 for each row: 0 but where something was told.
pub(super) fn emissions(told: &[Told], rows: usize) -> Vec<f64> {
    let mut scores = vec![0.0f64; rows];
    for told in told {
        if let Some(score) = scores.get_mut(told.row) {
            *score = score.max(unit(told.peak));
        }
    }
    scores
}

/// A score between 0 and 1 as NAB wants it, with 0.5 where ours is 1.
pub(super) fn unit(score: f64) -> f64 {
    score / (1.0 + score)
}
