//! Control groups, version 1 and 2: what services, pods and containers use of the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::{Picker, fields, lines, name, number};
use super::pattern::CgroupPattern;
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// Version 1 says that there is no limit by the largest number of whole pages; anything near it is none.
const NO_LIMIT: u64 = 1 << 60;
/// Directories that one walk looks into at most, and how deep.
const MAX_WALK: usize = 4096;
const MAX_DEPTH: usize = 16;

/// Where the control groups are. With version 1 each controller has a tree of its own; in hybrid mode version 2 is
/// mounted beside them, but holds no controllers.
enum Layout {
    V2(PathBuf),
    V1 {
        cpu: Option<PathBuf>,
        usage: Option<PathBuf>,
        memory: Option<PathBuf>,
        pids: Option<PathBuf>,
        io: Option<PathBuf>,
    },
}

impl Layout {
    fn find(sys: &Path) -> Self {
        let root = sys.join("fs/cgroup");
        if root.join("cgroup.controllers").exists() {
            return Self::V2(root);
        }
        let tree = |names: &[&str]| names.iter().map(|name| root.join(name)).find(|path| path.is_dir());
        Self::V1 {
            cpu: tree(&["cpu", "cpu,cpuacct", "cpuacct,cpu"]),
            usage: tree(&["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]),
            memory: tree(&["memory"]),
            pids: tree(&["pids"]),
            io: tree(&["blkio"]),
        }
    }

    /// The trees to look for groups in.
    fn trees(&self) -> Vec<&Path> {
        match self {
            Self::V2(root) => vec![root],
            Self::V1 { cpu, usage, memory, pids, io } => {
                let trees: BTreeSet<&Path> =
                    [cpu, usage, memory, pids, io].into_iter().filter_map(Option::as_deref).collect();
                trees.into_iter().collect()
            }
        }
    }
}

/// Paths of groups (from the root, `""` for it itself) that match any pattern, in order.
fn matching(layout: &Layout, patterns: &[CgroupPattern]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for tree in layout.trees() {
        let mut left = MAX_WALK;
        walk(tree, &mut Vec::new(), patterns, &mut left, &mut found);
    }
    found
}

fn walk(
    dir: &Path,
    path: &mut Vec<String>,
    patterns: &[CgroupPattern],
    left: &mut usize,
    found: &mut BTreeSet<String>,
) {
    let tests = patterns.iter().map(|pattern| pattern.test(path));
    let (matches, below) = tests.fold((false, false), |all, one| (all.0 || one.0, all.1 || one.1));
    if matches {
        found.insert(path.iter().flat_map(|name| ["/", name]).collect());
    }
    if !below || path.len() >= MAX_DEPTH || *left == 0 {
        return;
    }
    *left -= 1;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if let (true, Ok(name)) = (is_dir, entry.file_name().into_string()) {
            path.push(name);
            walk(&entry.path(), path, patterns, left, found);
            path.pop();
        }
    }
}

/// How many metrics a group has at most.
const FACTS: usize = 8;

/// What is told of a group.
#[derive(Clone, Copy)]
struct Facts {
    /// CPU seconds per second: 1 is one CPU in full use.
    cpu: Slot,
    /// Fraction of time in which it had to wait for its CPU quota, summed over its threads' CPUs.
    throttled: Slot,
    /// Bytes, with the page cache charged to it.
    memory: Slot,
    memory_max: Slot,
    memory_percent: Slot,
    pids: Slot,
    /// Per second.
    read_bytes: Slot,
    write_bytes: Slot,
}

struct Group {
    path: String,
    usage: Option<KeptFile>,
    throttling: Option<KeptFile>,
    memory: Option<KeptFile>,
    memory_max: Option<KeptFile>,
    pids: Option<KeptFile>,
    io: Option<KeptFile>,
    /// Whether its memory was limited when its metrics were named.
    limited: bool,
    facts: Facts,
}

/// Reads the groups that match the patterns each second; whether there are others by now is looked up every few seconds,
/// which walks directories and allocates.
pub(super) struct CgroupReader {
    layout: Layout,
    patterns: Vec<CgroupPattern>,
    max_groups: usize,
    groups: Vec<Group>,
    cpu_stat: Picker,
    changed: bool,
}

/// Keys of `cpu.stat`: microseconds in version 2, and nanoseconds in version 1.
const CPU_STAT: [&str; 3] = ["usage_usec", "throttled_usec", "throttled_time"];

impl CgroupReader {
    pub(super) fn new(roots: &Roots, patterns: Vec<CgroupPattern>, max_groups: usize) -> Self {
        Self {
            layout: Layout::find(&roots.sys),
            patterns,
            max_groups,
            groups: Vec::new(),
            cpu_stat: Picker::new(CPU_STAT),
            changed: false,
        }
    }

    fn open(&self, path: String) -> Group {
        let below = path.trim_start_matches('/');
        let file = |tree: &Path, file: &str| Some(KeptFile::new(tree.join(below).join(file)));
        let none = Facts {
            cpu: Slot::NONE,
            throttled: Slot::NONE,
            memory: Slot::NONE,
            memory_max: Slot::NONE,
            memory_percent: Slot::NONE,
            pids: Slot::NONE,
            read_bytes: Slot::NONE,
            write_bytes: Slot::NONE,
        };
        let (usage, throttling, memory, memory_max, pids, io) = match &self.layout {
            Layout::V2(root) => (
                None,
                file(root, "cpu.stat"),
                file(root, "memory.current"),
                file(root, "memory.max"),
                file(root, "pids.current"),
                file(root, "io.stat"),
            ),
            Layout::V1 { cpu, usage, memory, pids, io } => {
                let in_tree =
                    |tree: &Option<PathBuf>, name| tree.as_deref().and_then(|tree| file(tree, name));
                // The recursive figures came with Linux 4.13.
                let io = io.as_deref().and_then(|tree| {
                    let recursive = "blkio.throttle.io_service_bytes_recursive";
                    let there = tree.join(below).join(recursive).exists();
                    file(tree, if there { recursive } else { "blkio.throttle.io_service_bytes" })
                });
                (
                    in_tree(usage, "cpuacct.usage"),
                    in_tree(cpu, "cpu.stat"),
                    in_tree(memory, "memory.usage_in_bytes"),
                    in_tree(memory, "memory.limit_in_bytes"),
                    in_tree(pids, "pids.current"),
                    io,
                )
            }
        };
        Group { path, usage, throttling, memory, memory_max, pids, io, limited: false, facts: none }
    }
}

impl Reader for CgroupReader {
    /// Some six files for each of up to 64 groups would alone cost more than all else at 100 ms.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.changed = false;
        let paths = matching(&self.layout, &self.patterns);
        names.refuse(FACTS * paths.len().saturating_sub(self.max_groups));
        let mut groups: Vec<Group> =
            paths.into_iter().take(self.max_groups).map(|path| self.open(path)).collect();
        for group in &mut groups {
            let values = group.values(&mut self.cpu_stat, buffer);
            let place = name(group.path.as_bytes());
            let mut add = |there: bool, fact: &str| match there {
                true => names.add(&format!("cgroup{place}/{fact}")),
                false => Slot::NONE,
            };
            group.limited = values.memory_max.is_some();
            group.facts = Facts {
                cpu: add(values.cpu.is_some(), "cpu"),
                throttled: add(values.throttled.is_some(), "throttled"),
                memory: add(values.memory.is_some(), "memory"),
                memory_max: add(group.limited, "memory_max"),
                memory_percent: add(group.limited && values.memory.is_some(), "memory_percent"),
                pids: add(values.pids.is_some(), "pids"),
                read_bytes: add(values.io.is_some(), "read_bytes"),
                write_bytes: add(values.io.is_some(), "write_bytes"),
            };
        }
        self.groups = groups;
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        for group in &mut self.groups {
            let values = group.values(&mut self.cpu_stat, buffer);
            self.changed |= values.memory_max.is_some() != group.limited;
            let facts = group.facts;
            if let Some(nanos) = values.cpu {
                slots.rate(facts.cpu, nanos, 1e-9);
            }
            if let Some(nanos) = values.throttled {
                slots.rate(facts.throttled, nanos, 1e-9);
            }
            if let Some(bytes) = values.memory {
                slots.set(facts.memory, bytes as f64);
            }
            if let Some(most) = values.memory_max {
                slots.set(facts.memory_max, most as f64);
                let percent = values.memory.map_or(f64::NAN, |bytes| 100.0 * bytes as f64 / most as f64);
                slots.set(facts.memory_percent, percent);
            }
            if let Some(pids) = values.pids {
                slots.set(facts.pids, pids as f64);
            }
            if let Some((read, written)) = values.io {
                slots.rate(facts.read_bytes, read, 1.0);
                slots.rate(facts.write_bytes, written, 1.0);
            }
        }
    }

    fn changed(&mut self, _: &mut Buffer) -> bool {
        if self.changed || self.patterns.is_empty() {
            return self.changed;
        }
        let now = matching(&self.layout, &self.patterns);
        !now.iter().take(self.max_groups).eq(self.groups.iter().map(|group| &group.path))
    }
}

/// What the files of one group say: totals in nanoseconds and bytes, levels in bytes.
#[derive(Default)]
struct Values {
    cpu: Option<u64>,
    throttled: Option<u64>,
    memory: Option<u64>,
    memory_max: Option<u64>,
    pids: Option<u64>,
    io: Option<(u64, u64)>,
}

impl Group {
    fn values(&mut self, cpu_stat: &mut Picker, buffer: &mut Buffer) -> Values {
        let mut one = |file: &mut Option<KeptFile>| number(file.as_mut()?.read(buffer)?.trim_ascii());
        let mut values = Values {
            cpu: one(&mut self.usage),
            memory: one(&mut self.memory),
            // `max` is no number: no limit.
            memory_max: one(&mut self.memory_max).filter(|most| (1..NO_LIMIT).contains(most)),
            pids: one(&mut self.pids),
            ..Values::default()
        };
        if let Some(bytes) = self.throttling.as_mut().and_then(|file| file.read(buffer)) {
            let mut found = [None; CPU_STAT.len()];
            cpu_stat.pick(bytes, &mut found);
            let nanos = |micros: Option<u64>| micros.and_then(|micros| micros.checked_mul(1000));
            values.cpu = values.cpu.or(nanos(found[0]));
            values.throttled = nanos(found[1]).or(found[2]);
        }
        // A group that has not yet touched a disk has an empty file: nothing read, nothing written.
        values.io = self.io.as_mut().and_then(|file| file.read_even_empty(buffer)).map(transferred);
        values
    }
}

/// Bytes read and written over all devices: `8:0 rbytes=1 wbytes=2 …` (version 2), `8:0 Read 1` (version 1).
fn transferred(bytes: &[u8]) -> (u64, u64) {
    let (mut read, mut written) = (0u64, 0u64);
    for line in lines(bytes) {
        let mut line = fields(line).skip(1).peekable();
        let direction = line.peek().copied();
        match direction {
            Some(b"Read") => read = read.saturating_add(line.nth(1).and_then(number).unwrap_or(0)),
            Some(b"Write") => written = written.saturating_add(line.nth(1).and_then(number).unwrap_or(0)),
            _ => {
                for field in line {
                    let value = |key: &[u8]| field.strip_prefix(key).and_then(number).unwrap_or(0);
                    read = read.saturating_add(value(b"rbytes="));
                    written = written.saturating_add(value(b"wbytes="));
                }
            }
        }
    }
    (read, written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn transfers_are_summed_over_devices_in_both_versions() {
        assert_eq!(transferred(b"8:0 rbytes=10 wbytes=4 rios=1\n259:0 rbytes=1 wbytes=2 rios=1\n"), (11, 6));
        assert_eq!(transferred(b"8:0 Read 10\n8:0 Write 4\n8:0 Total 14\n259:0 Read 1\nTotal 15\n"), (11, 4));
        assert_eq!(transferred(b""), (0, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, near in "(8:0 |Read |Write |rbytes=|wbytes=|9{1,25}|\n){0,30}") {
            transferred(&bytes);
            transferred(near.as_bytes());
        }
    }
}
