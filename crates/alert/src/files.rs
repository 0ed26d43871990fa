//! Whole small files, written atomically.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Replaces `path` by what `fill` writes: to a file beside it first, synced, renamed, the folder synced. A crash leaves
/// the old file or the new one, never a mixture. Returns the new file, open for reading and writing, and whether its name
/// is durable: if not, a power failure may still bring the old file back.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<(File, io::Result<()>)> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written: io::Result<File> = (|| {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        let mut writer = BufWriter::new(&file);
        fill(&mut writer)?;
        writer.flush()?;
        drop(writer);
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(file)
    })();
    if written.is_err() {
        // Gives the space back. That it may fail as well changes nothing: the next attempt truncates the file.
        let _ = fs::remove_file(&temporary);
    }
    let synced = path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
    written.map(|file| (file, synced))
}
