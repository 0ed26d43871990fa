//! `/proc/pressure`: which part of the time work stood still for want of CPU, memory or disk (PSI, Linux 4.20).

use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::{fields, lines, number};
use super::reader::{Names, Reader, Roots, Slot, Slots};

const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];
const KINDS: [&str; 2] = ["some", "full"];

/// Reads the `total=` microseconds and gives fractions of time, 0 to 1. The averages beside them (10 s and more) would
/// show a stall late and long after its end.
pub(super) struct PressureReader {
    files: [KeptFile; 3],
    slots: [[Slot; 2]; 3],
}

impl PressureReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            files: RESOURCES.map(|resource| KeptFile::new(roots.proc.join("pressure").join(resource))),
            slots: [[Slot::NONE; 2]; 3],
        }
    }
}

impl Reader for PressureReader {
    /// The shortest window that the kernel's own triggers on pressure take
    /// (Linux, Documentation/accounting/psi.rst).
    fn period(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.slots = [[Slot::NONE; 2]; 3];
        for ((file, slots), resource) in self.files.iter_mut().zip(&mut self.slots).zip(RESOURCES) {
            let Some(bytes) = file.read(buffer) else { continue };
            for (kind, _) in totals(bytes) {
                slots[kind] = names.add(&format!("psi/{resource}/{}", KINDS[kind]));
            }
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        for (file, places) in self.files.iter_mut().zip(self.slots) {
            if places == [Slot::NONE; 2] {
                continue;
            }
            let Some(bytes) = file.read(buffer) else { continue };
            for (kind, micros) in totals(bytes) {
                slots.rate(places[kind], micros, 1e-6);
                // Counted a little apart from our own clock, so a full stall could read as 1.001.
                slots.cap(places[kind], 1.0);
            }
        }
    }
}

/// The kinds (places in [`KINDS`]) and totals in microseconds of one pressure file.
fn totals(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    lines(bytes).filter_map(|line| {
        let mut line = fields(line);
        let kind = line.next()?;
        let kind = KINDS.iter().position(|known| known.as_bytes() == kind)?;
        let total = line.find_map(|field| field.strip_prefix(b"total="))?;
        Some((kind, number(total)?))
    })
}
