//! `/proc/meminfo` and `/proc/vmstat`: how much memory is used for what, and how hard the kernel works for it.

use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::Picker;
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// Keys of `/proc/meminfo` and the metrics they give, in bytes. `total`s only serve percentages.
const MEMORY: [(&str, &str); 20] = [
    ("MemTotal", ""),
    ("SwapTotal", ""),
    ("SwapFree", ""),
    ("MemFree", "mem/free"),
    ("MemAvailable", "mem/available"),
    ("Buffers", "mem/buffers"),
    ("Cached", "mem/cached"),
    ("Active", "mem/active"),
    ("Inactive", "mem/inactive"),
    ("Dirty", "mem/dirty"),
    ("Writeback", "mem/writeback"),
    ("AnonPages", "mem/anon"),
    ("Mapped", "mem/mapped"),
    ("Shmem", "mem/shmem"),
    ("Slab", "mem/slab"),
    ("SUnreclaim", "mem/slab_unreclaimable"),
    ("KernelStack", "mem/kernel_stack"),
    ("PageTables", "mem/page_tables"),
    ("Committed_AS", "mem/committed"),
    ("Unevictable", "mem/unevictable"),
];
const TOTAL: usize = 0;
const SWAP_TOTAL: usize = 1;
const SWAP_FREE: usize = 2;
const FREE: usize = 3;
const AVAILABLE: usize = 4;

/// Reads `/proc/meminfo`.
pub(super) struct MemoryReader {
    file: KeptFile,
    picker: Picker,
    slots: [Slot; MEMORY.len()],
    used: Slot,
    percent: Slot,
    swap_used: Slot,
    swap_percent: Slot,
}

impl MemoryReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("meminfo")),
            picker: Picker::new(MEMORY.iter().map(|(key, _)| *key)),
            slots: [Slot::NONE; MEMORY.len()],
            used: Slot::NONE,
            percent: Slot::NONE,
            swap_used: Slot::NONE,
            swap_percent: Slot::NONE,
        }
    }

    fn pick(&mut self, buffer: &mut Buffer) -> Option<[Option<u64>; MEMORY.len()]> {
        let mut found = [None; MEMORY.len()];
        self.picker.pick(self.file.read(buffer)?, &mut found);
        Some(found)
    }
}

impl Reader for MemoryReader {
    /// Memory fills over many collections at 100 ms.
    fn period(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        let Some(found) = self.pick(buffer) else { return };
        for ((slot, value), (_, name)) in self.slots.iter_mut().zip(found).zip(MEMORY) {
            *slot = if value.is_some() && !name.is_empty() { names.add(name) } else { Slot::NONE };
        }
        if found[TOTAL].is_some() {
            self.used = names.add("mem/used");
            self.percent = names.add("mem/percent");
        }
        if found[SWAP_TOTAL].is_some() {
            self.swap_used = names.add("mem/swap_used");
            self.swap_percent = names.add("mem/swap_percent");
        }
        if let Some(total) = found[TOTAL] {
            for slot in self.slots.iter().chain([&self.used, &self.swap_used]) {
                names.share(*slot, total as f64 * 1024.0);
            }
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(found) = self.pick(buffer) else { return };
        let bytes = |at: usize| found.get(at).copied().flatten().map(|kib| kib as f64 * 1024.0);
        for (at, slot) in self.slots.iter().enumerate() {
            if let Some(value) = bytes(at) {
                slots.set(*slot, value);
            }
        }
        // Used is what could not be had without swapping; kernels before 3.14 don't know what is available.
        if let (Some(total), Some(available)) = (bytes(TOTAL), bytes(AVAILABLE).or(bytes(FREE))) {
            let used = (total - available).max(0.0);
            slots.set(self.used, used);
            slots.set(self.percent, 100.0 * used / total);
        }
        if let (Some(total), Some(free)) = (bytes(SWAP_TOTAL), bytes(SWAP_FREE)) {
            let used = (total - free).max(0.0);
            slots.set(self.swap_used, used);
            slots.set(self.swap_percent, if total > 0.0 { 100.0 * used / total } else { 0.0 });
        }
    }
}

/// Keys of `/proc/vmstat` and the metrics they add to, per second.
const EVENTS: [(&str, &str); 14] = [
    ("pgpgin", "vm/pgpgin"),
    ("pgpgout", "vm/pgpgout"),
    ("pswpin", "vm/pswpin"),
    ("pswpout", "vm/pswpout"),
    ("pgfault", "vm/pgfault"),
    ("pgmajfault", "vm/pgmajfault"),
    ("workingset_refault_anon", "vm/refault_anon"),
    ("workingset_refault_file", "vm/refault_file"),
    ("pgscan_kswapd", "vm/pgscan_kswapd"),
    ("pgscan_direct", "vm/pgscan_direct"),
    ("allocstall_normal", "vm/allocstall_normal"),
    ("allocstall_movable", "vm/allocstall_movable"),
    ("compact_stall", "vm/compact_stall"),
    ("oom_kill", "vm/oom_kill"),
];

/// Reads `/proc/vmstat`, the most expensive file here: the kernel sums about 170 counters over all CPUs.
pub(super) struct EventsReader {
    file: KeptFile,
    picker: Picker,
    slots: [Slot; EVENTS.len()],
}

impl EventsReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("vmstat")),
            picker: Picker::new(EVENTS.iter().map(|(key, _)| *key)),
            slots: [Slot::NONE; EVENTS.len()],
        }
    }

    fn pick(&mut self, buffer: &mut Buffer) -> Option<[Option<u64>; EVENTS.len()]> {
        let mut found = [None; EVENTS.len()];
        self.picker.pick(self.file.read(buffer)?, &mut found);
        Some(found)
    }
}

impl Reader for EventsReader {
    /// Counters of events, told per second: what they tell is there a second later too.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        let Some(found) = self.pick(buffer) else { return };
        for ((slot, value), (_, name)) in self.slots.iter_mut().zip(found).zip(EVENTS) {
            *slot = if value.is_some() { names.add(name) } else { Slot::NONE };
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(found) = self.pick(buffer) else { return };
        for (slot, total) in self.slots.iter().zip(found) {
            if let Some(total) = total {
                slots.rate(*slot, total, 1.0);
            }
        }
    }
}
