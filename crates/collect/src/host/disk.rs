//! `/sys/block/<disk>/stat` and `/proc/diskstats`: what each disk reads and writes, and how busy it is with it.

use std::path::PathBuf;

use super::file::{Buffer, KeptFile};
use super::parse::{Fields, fields, lines, name};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// What is told of a disk, the place of its counter (behind the name in `/proc/diskstats`), and what one count is in the
/// metric's unit (kernel documentation, admin-guide/iostats): sectors have 512 bytes there whatever the disk says, times are
/// in milliseconds. `io_time` is the fraction of time with any request, `read_time`, `write_time` and `queue` are
/// average numbers of requests under way.
const FACTS: [(&str, usize, f64); 8] = [
    ("read_ops", 0, 1.0),
    ("read_bytes", 2, 512.0),
    ("read_time", 3, 1e-3),
    ("write_ops", 4, 1.0),
    ("write_bytes", 6, 512.0),
    ("write_time", 7, 1e-3),
    (IO_TIME, 9, 1e-3),
    ("queue", 10, 1e-3),
];
const IO_TIME: &str = "io_time";
const COLUMNS: usize = 11;

/// Disks that stand on their own: their sum is `disk-io/all`. An eMMC's `boot` partitions are listed as disks too.
const DISKS: [&str; 8] = ["sd", "hd", "vd", "xvd", "nvme", "mmcblk", "pmem", "dasd"];
/// Devices on top of those: shown, but not in the sum, which would count their work twice.
const LAYERS: [&str; 3] = ["dm-", "md", "bcache"];

struct Disk {
    label: Vec<u8>,
    /// Empty for a device that isn't shown: a partition, or a loop or RAM device that was never used.
    slots: Option<[Slot; FACTS.len()]>,
    /// Its own `stat` in sysfs, where there is one.
    stat: Option<KeptFile>,
    /// Whether it becomes a metric once it is used.
    waits: bool,
    in_sum: bool,
}

/// Reads whole devices, not partitions: from sysfs each by itself, which on a machine with a few disks costs a third of
/// `/proc/diskstats` with all its loop devices and partitions; from that where there is no sysfs.
pub(super) struct DiskReader {
    table: KeptFile,
    blocks: PathBuf,
    max_disks: usize,
    disks: Vec<Disk>,
    all: [Slot; FACTS.len()],
}

impl DiskReader {
    pub(super) fn new(roots: &Roots, max_disks: usize) -> Self {
        Self {
            table: KeptFile::new(roots.proc.join("diskstats")),
            blocks: roots.sys.join("block"),
            max_disks,
            disks: Vec::new(),
            all: [Slot::NONE; FACTS.len()],
        }
    }
}

impl Reader for DiskReader {
    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.disks.clear();
        self.all = [Slot::NONE; FACTS.len()];
        let Some(bytes) = self.table.read(buffer) else { return };
        let sysfs = self.blocks.is_dir();
        let mut shown = 0;
        for line in lines(bytes) {
            let Some((label, counts)) = split(line) else { continue };
            let text = name(label);
            // A `/` in a device's name (cciss/c0d0) is a `!` in sysfs.
            let dir = self.blocks.join(text.replace('/', "!"));
            let whole = if sysfs { dir.exists() } else { !is_partition(&text) };
            let starts = |kinds: &[&str]| kinds.iter().any(|kind| text.starts_with(kind));
            let disk = starts(&DISKS) && !text.contains("boot");
            let used = is_used(&counts);
            let wanted = whole && (disk || starts(&LAYERS) || used);
            let show = wanted && shown < self.max_disks;
            if wanted && !show {
                names.refuse(FACTS.len());
            }
            let slots = show.then(|| FACTS.map(|(fact, ..)| names.add(&format!("disk-io/{text}/{fact}"))));
            let stat = Some(dir.join("stat")).filter(|stat| show && stat.exists()).map(KeptFile::new);
            shown += usize::from(show);
            self.disks.push(Disk {
                label: label.to_owned(),
                slots,
                stat,
                waits: whole && !used,
                in_sum: disk,
            });
        }
        if self.disks.iter().any(|disk| disk.in_sum && disk.slots.is_some()) {
            self.all = FACTS.map(|(fact, ..)| names.add(&format!("disk-io/all/{fact}")));
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let mut left = false;
        for disk in &mut self.disks {
            match &mut disk.stat {
                Some(stat) => {
                    if let Some(bytes) = stat.read(buffer) {
                        disk.fill(&counts(&mut fields(bytes.trim_ascii_end())), self.all, slots);
                    }
                }
                None => left |= disk.slots.is_some(),
            }
        }
        if !left {
            return;
        }
        let Some(bytes) = self.table.read(buffer) else { return };
        for (at, line) in lines(bytes).enumerate() {
            let Some((label, counts)) = split(line) else { continue };
            if let Some(disk) = find(&self.disks, at, label).filter(|disk| disk.stat.is_none()) {
                disk.fill(&counts, self.all, slots);
            }
        }
    }

    fn changed(&mut self, buffer: &mut Buffer) -> bool {
        let Some(bytes) = self.table.read(buffer) else { return false };
        let mut seen = 0;
        for (at, line) in lines(bytes).enumerate() {
            let Some((label, counts)) = split(line) else { continue };
            seen += 1;
            match find(&self.disks, at, label) {
                Some(disk) if disk.slots.is_some() || !disk.waits || !is_used(&counts) => {}
                _ => return true,
            }
        }
        seen != self.disks.len()
    }
}

impl Disk {
    fn fill(&self, counts: &Counts, all: [Slot; FACTS.len()], slots: &mut Slots<'_>) {
        let Some(places) = self.slots else { return };
        for ((slot, all), (fact, column, unit)) in places.into_iter().zip(all).zip(FACTS) {
            let Some(total) = counts[column] else { continue };
            slots.rate(slot, total, unit);
            if fact == IO_TIME {
                // Counted a little apart from our own clock, so a disk that never rests could read as 1.001. The
                // whole is as busy as its busiest disk: a sum of fractions would mean nothing.
                slots.cap(slot, 1.0);
                if self.in_sum {
                    slots.set(all, slots.get(all).max(slots.get(slot)));
                }
            } else if self.in_sum {
                slots.add(all, slot);
            }
        }
    }
}

/// The disk of a line, which is where it was at discovery unless one before it has come or gone.
fn find<'d>(disks: &'d [Disk], at: usize, label: &[u8]) -> Option<&'d Disk> {
    let there = disks.get(at).filter(|disk| disk.label == label);
    there.or_else(|| disks.iter().find(|disk| disk.label == label))
}

/// The counters of a device, as far as they are numbers.
type Counts = [Option<u64>; COLUMNS];

fn counts(fields: &mut Fields<'_>) -> Counts {
    std::array::from_fn(|_| fields.number())
}

/// The name and the counters of one line; `None` for a line without a name.
fn split(line: &[u8]) -> Option<(&[u8], Counts)> {
    let mut line = fields(line);
    let label = line.nth(2)?;
    Some((label, counts(&mut line)))
}

fn is_used(counts: &Counts) -> bool {
    counts.iter().any(|count| count.is_some_and(|count| count > 0))
}

/// Whether a name is that of a partition, where there is no sysfs to ask: `sda1`, `nvme0n1p2`, `mmcblk0p1`.
fn is_partition(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    match stem.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => true,
        _ => ["sd", "hd", "vd", "xvd"].iter().any(|kind| {
            stem.strip_prefix(kind)
                .is_some_and(|letters| !letters.is_empty() && letters.chars().all(|c| c.is_ascii_lowercase()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_disks_by_name() {
        for partition in ["sda1", "vdb12", "xvda1", "nvme0n1p1", "mmcblk0p2"] {
            assert!(is_partition(partition), "{partition}");
        }
        for disk in ["sda", "vdaa", "nvme0n1", "mmcblk0", "dm-0", "md127", "loop3", "zram0", "sr0", ""] {
            assert!(!is_partition(disk), "{disk}");
        }
    }
}
