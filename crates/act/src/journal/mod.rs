//! The journal: what was heard, begun and done, written down before the next step, so that a change is made at most once.
//!
//! A file of lines, each with a checksum. A line is on the disk before the step after it begins (`fdatasync`). A torn last line is of a
//! step after which nothing happened yet, and is dropped. Rejected: a database. The edge has none, and a few lines per action need none.

mod entries;
mod record;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_core::Timestamp;

use entries::Entries;
pub use entries::Entry;
pub use record::Record;

use crate::ActError;

/// Above this it is written anew without what may be forgotten.
const ROOM: u64 = 4 << 20;

/// A larger file isn't a journal of ours.
const MAX_FILE: u64 = 256 << 20;

/// Of more commands than this nothing more is heard until some can be forgotten.
const MOST_ENTRIES: usize = 10_000;

/// An agent that was killed while it started a program leaves the lock to that program until it runs, for a moment: so often it is tried,
const LOCK_TRIES: u32 = 20;

/// and so long it is waited in between.
const LOCK_PAUSE: Duration = Duration::from_millis(25);

/// The file `journal` in a folder, and what stands in it.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    /// How much of the file is whole lines that are on the disk.
    length: u64,
    /// When it is written anew.
    room: u64,
    /// A write failed: what is on the disk isn't known any more.
    broken: bool,
    entries: Entries,
    notices: Vec<String>,
    /// Held as long as the journal is open.
    _lock: File,
}

impl Journal {
    /// Opens the journal of a folder, which is made if it isn't there. What may be forgotten is; a damaged file is kept aside as
    /// `journal.damaged`, and what can be read of it is taken over.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, ActError> {
        fs::create_dir_all(folder).map_err(ActError::file(folder, "made"))?;
        let lock = lock(folder)?;
        let path = folder.join("journal");
        let bytes = read(&path)?;
        let mut entries = Entries::default();
        let lost = take_in(&bytes, &mut entries);
        let mut notices = Vec::new();
        if lost > 0 {
            let aside = folder.join("journal.damaged");
            fs::copy(&path, &aside).map_err(ActError::file(&aside, "written"))?;
            notices.push(format!(
                "{} has damaged lines, {lost} of them; the file is kept as {}, and what can be read of it is known",
                path.display(),
                aside.display()
            ));
        }
        entries.forget(now);
        let (file, length) = write_anew(folder, &entries).map_err(ActError::file(&path, "written"))?;
        let room = ROOM.max(2 * length);
        Ok(Self {
            folder: folder.to_owned(),
            file,
            length,
            room,
            broken: false,
            entries,
            notices,
            _lock: lock,
        })
    }

    /// What a person should know: damage that was found. Once.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// What is known of a command.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All commands that are remembered.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Commands of which nobody knows yet what came of them.
    pub fn open_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries().filter(|entry| entry.report.is_none())
    }

    /// The largest number that was seen of an epoch.
    pub fn authority(&self, epoch: &str) -> Option<u64> {
        self.entries.authority(epoch)
    }

    /// Whether no more commands can be remembered. Nothing new may be done then.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MOST_ENTRIES
    }

    /// Writes records down. When it returns they are on the disk, all of them; on an error none of them counts.
    pub fn append(&mut self, records: &[Record], now: Timestamp) -> io::Result<()> {
        if self.broken || self.length > self.room {
            self.rewrite(now)?;
        }
        let mut lines = Vec::new();
        for record in records {
            record::line(record, &mut lines)?;
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // After a failed sync nobody knows what is on the disk, and a later sync need not say so: the file is written anew.
            self.broken = true;
            return Err(error);
        }
        self.length += lines.len() as u64;
        for record in records {
            self.entries.apply(record.clone());
        }
        Ok(())
    }

    /// Takes in a record that could not be written down. It is written when the file can be written anew.
    pub fn remember(&mut self, record: Record) {
        self.entries.apply(record);
    }

    fn rewrite(&mut self, now: Timestamp) -> io::Result<()> {
        self.entries.forget(now);
        (self.file, self.length) = write_anew(&self.folder, &self.entries)?;
        self.room = ROOM.max(2 * self.length);
        self.broken = false;
        Ok(())
    }
}

/// Writes a new file beside the old one, which takes its place when it is on the disk. Its end is where the next line goes.
fn write_anew(folder: &Path, entries: &Entries) -> io::Result<(File, u64)> {
    let mut lines = Vec::new();
    for record in entries.records() {
        record::line(&record, &mut lines)?;
    }
    let new = folder.join("journal.new");
    let mut file = File::create(&new)?;
    file.write_all(&lines)?;
    file.sync_all()?;
    fs::rename(&new, folder.join("journal"))?;
    File::open(folder)?.sync_all()?;
    Ok((file, lines.len() as u64))
}

/// Two agents on one journal would each do what the other has done.
fn lock(folder: &Path) -> Result<File, ActError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(ActError::file(&path, "opened"))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(ActError::file(&path, "locked")(error)),
        }
    }
    Err(ActError::InUse { folder: folder.to_owned() })
}

fn read(path: &Path) -> Result<Vec<u8>, ActError> {
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_FILE => {
            let error = io::Error::other(format!("it has {} bytes, more than any journal", found.len()));
            return Err(ActError::file(path, "read")(error));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        _ => {}
    }
    fs::read(path).map_err(ActError::file(path, "read"))
}

/// Takes in whole lines. Says how many are damaged; a torn last one is not.
fn take_in(bytes: &[u8], entries: &mut Entries) -> usize {
    let mut lost = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let known = record::read(whole).is_some_and(|record| entries.apply(record));
        lost += usize::from(!known);
    }
    lost
}

#[cfg(test)]
mod tests;
