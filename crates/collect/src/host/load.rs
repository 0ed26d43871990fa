//! `/proc/loadavg` and `/proc/sys/fs/file-nr`: how much waits to run, and how many files are open.

use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::{decimal, fields, number};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// The load averages of 1, 5 and 15 minutes, and the number of threads.
pub(super) struct LoadReader {
    file: KeptFile,
    averages: [Slot; 3],
    threads: Slot,
}

impl LoadReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("loadavg")),
            averages: [Slot::NONE; 3],
            threads: Slot::NONE,
        }
    }
}

impl Reader for LoadReader {
    /// The kernel computes load averages each 5 s (LOAD_FREQ); the number of threads is worth a look each second.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.averages = [Slot::NONE; 3];
        if self.file.read(buffer).is_some() {
            self.averages = ["load/1", "load/5", "load/15"].map(|name| names.add(name));
            self.threads = names.add("procs/threads");
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        let mut line = fields(bytes);
        for slot in self.averages {
            if let Some(load) = line.next().and_then(decimal).filter(|load| *load >= 0.0) {
                slots.set(slot, load);
            }
        }
        // As in `3/412`: running and all.
        let threads = line.next().and_then(|both| both.split(|b| *b == b'/').nth(1)).and_then(number);
        if let Some(threads) = threads {
            slots.set(self.threads, threads as f64);
        }
    }
}

/// Open files of the machine, and which part of the limit they are.
pub(super) struct FilesReader {
    file: KeptFile,
    open: Slot,
    fraction: Slot,
}

impl FilesReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("sys/fs/file-nr")),
            open: Slot::NONE,
            fraction: Slot::NONE,
        }
    }
}

impl Reader for FilesReader {
    /// A leak of descriptors is a matter of minutes, and the kernel sums over all CPUs for each read.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        if self.file.read(buffer).is_some() {
            self.open = names.add("files/open");
            self.fraction = names.add("files/percent");
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        let mut line = fields(bytes.trim_ascii_end());
        let (Some(open), _, limit) = (line.number(), line.next(), line.number()) else { return };
        slots.set(self.open, open as f64);
        if let Some(limit) = limit.filter(|limit| *limit > 0) {
            slots.set(self.fraction, 100.0 * open as f64 / limit as f64);
        }
    }
}
