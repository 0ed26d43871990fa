//! What a request costs: some cpu, some memory, a little disk.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::graph::Route;
use crate::random::Random;

/// Rounds of a unit of work: about 50 µs on a machine of 2020.
const ROUNDS: u32 = 20_000;
/// Sessions that are remembered; the oldest is forgotten.
const SESSIONS: usize = 512;
/// The longest session, in bytes.
const LONGEST_SESSION: u64 = 4096;
/// A journal of this size is begun anew, and the one before is kept beside it.
const JOURNAL_BYTES: u64 = 64 << 10;

/// The state that requests leave behind.
pub(super) struct Work {
    random: Random,
    sessions: VecDeque<Vec<u8>>,
    journal: PathBuf,
    open: Option<(File, u64)>,
    line: String,
}

impl Work {
    /// With a journal in `folder`.
    pub(super) fn new(folder: PathBuf, random: Random) -> Self {
        Self {
            random,
            sessions: VecDeque::new(),
            journal: folder.join("journal"),
            open: None,
            line: String::new(),
        }
    }

    /// Does the work of one request.
    pub(super) fn request(&mut self, route: &Route) {
        let rounds = f64::from(route.work * ROUNDS) * self.random.lognormal(1.0, 0.25);
        let sum = burn(rounds as u32, self.random.bits());
        let session = 256 + (self.random.bits() % (LONGEST_SESSION - 256)) as usize;
        if self.sessions.len() >= SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(vec![sum as u8; session]);
        self.line.clear();
        let _ = writeln!(self.line, "{} {sum:016x} {session}", route.path);
        // A disk that is full costs the journal, not the customer.
        if self.write().is_err() {
            self.open = None;
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        if self.open.as_ref().is_none_or(|(_, written)| *written > JOURNAL_BYTES) {
            if self.open.is_some() {
                fs::rename(&self.journal, self.journal.with_extension("old"))?;
            }
            let fresh = OpenOptions::new().create(true).truncate(true).write(true).open(&self.journal)?;
            self.open = Some((fresh, 0));
        }
        if let Some((file, written)) = &mut self.open {
            file.write_all(self.line.as_bytes())?;
            *written += self.line.len() as u64;
        }
        Ok(())
    }
}

/// Arithmetic that can't be left out.
fn burn(rounds: u32, seed: u64) -> u64 {
    let mut x = seed | 1;
    for i in 0..rounds {
        x = std::hint::black_box(x ^ u64::from(i)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn a_journal_that_was_removed_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut work = Work::new(folder.path().to_owned(), Random::new(1, "test"));
        let route = Route { work: 0, ..Service::Stock.routes()[0] };
        work.request(&route);
        let journal = folder.path().join("journal");
        fs::remove_file(&journal).unwrap();
        for _ in 0..3_000 {
            work.request(&route);
        }
        assert!(journal.is_file());
    }

    #[test]
    fn what_requests_leave_behind_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut work = Work::new(folder.path().to_owned(), Random::new(1, "test"));
        let route = Route { work: 0, ..Service::Stock.routes()[0] };
        for _ in 0..10_000 {
            work.request(&route);
        }
        assert_eq!(work.sessions.len(), SESSIONS);
        let files = fs::read_dir(folder.path()).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes > JOURNAL_BYTES && bytes < 3 * JOURNAL_BYTES, "{bytes}");
    }
}
