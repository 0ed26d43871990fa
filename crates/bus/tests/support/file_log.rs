//! A log in a file, for tests and for measuring: one line for each event, synced before an append returns.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use larnax_bus::{Cursor, Cursors, cloudevents};
use larnax_core::{Appended, EventLog, LogError, Logged, RawEvent, Timestamp};

pub struct FileLog {
    epoch: String,
    state: Mutex<State>,
}

struct State {
    file: File,
    events: Vec<Logged>,
    ids: HashSet<String>,
}

fn failed(error: std::io::Error) -> LogError {
    LogError { message: format!("the log's file: {error}"), temporary: true }
}

impl FileLog {
    /// Opens or creates it; the epoch is the file's name.
    pub fn open(path: &Path) -> FileLog {
        let file = File::options().read(true).append(true).create(true).open(path).unwrap();
        let mut state = State { file, events: Vec::new(), ids: HashSet::new() };
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            state.note(cloudevents::parse(&line.unwrap(), Timestamp::default()).unwrap());
        }
        let epoch = path.file_stem().unwrap().to_str().unwrap().to_owned();
        FileLog { epoch, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, event: RawEvent) {
        self.ids.insert(event.id.clone());
        let sequence = self.events.len() as u64 + 1;
        self.events.push(Logged { sequence, event });
    }
}

impl EventLog for FileLog {
    fn append(&self, events: &[RawEvent]) -> Result<Appended, LogError> {
        let mut state = self.state();
        let mut lines = String::new();
        let mut new: Vec<&RawEvent> = Vec::new();
        for event in events {
            if !state.ids.contains(&event.id) && !new.iter().any(|other| other.id == event.id) {
                lines.push_str(&event.json);
                lines.push('\n');
                new.push(event);
            }
        }
        state.file.write_all(lines.as_bytes()).and_then(|()| state.file.sync_data()).map_err(failed)?;
        for event in &new {
            state.note((*event).clone());
        }
        Ok(Appended { new: new.len(), last: state.events.len() as u64 })
    }

    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Logged>, LogError> {
        let state = self.state();
        let start = usize::try_from(sequence).unwrap_or(usize::MAX).min(state.events.len());
        Ok(state.events[start..].iter().take(limit).cloned().collect())
    }

    fn bounds(&self) -> Result<(u64, u64), LogError> {
        let last = self.state().events.len() as u64;
        Ok((last.min(1), last))
    }

    fn epoch(&self) -> Result<String, LogError> {
        Ok(self.epoch.clone())
    }
}

/// Cursors in a folder, a file each.
pub struct FileCursors(pub PathBuf);

impl Cursors for FileCursors {
    fn load(&self, reader: &str) -> Result<Cursor, LogError> {
        match fs::read(self.0.join(reader)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap()),
            Err(_) => Ok(Cursor::default()),
        }
    }

    fn save(&self, reader: &str, cursor: &Cursor) -> Result<(), LogError> {
        let fresh = self.0.join(format!("{reader}.new"));
        fs::write(&fresh, serde_json::to_vec(cursor).unwrap()).map_err(failed)?;
        fs::rename(fresh, self.0.join(reader)).map_err(failed)
    }
}
