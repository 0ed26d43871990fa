//! `/proc/<pid>`: what groups of processes use, by name.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use regex_lite::Regex;
use rustix::fs::{Mode, OFlags, openat, statat};

use super::file::Buffer;
use super::parse::{Picker, number};
use super::procfs::{Stat, is_procfs, list, open, with_path};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// A group of processes under one name.
#[derive(Clone, Debug)]
pub struct ProcessGroup {
    /// The name in its metrics: `proc/<name>/cpu`.
    pub name: String,
    /// A process belongs to it when its short name (`comm`) or its command line (arguments with blanks between)
    /// matches. Larnax itself never does.
    pub pattern: Regex,
}

/// Groups fit into the bits of a number; more are refused.
pub(super) const MAX_GROUPS: usize = 64;
/// Processes looked at in one scan, and members read. What is above isn't counted.
const MAX_PROCESSES: usize = 32_768;
const MAX_MEMBERS: usize = 1024;
/// A process that belongs to no group is looked at again once in so many scans, because it may have become another
/// program (exec) or its number may have been given to another process.
const LOOK_AGAIN: u64 = 16;
/// A command line is matched up to this length.
const MAX_COMMAND: usize = 4096;

const FACTS: [&str; 8] =
    ["count", "rss", "threads", "fds", "cpu", "read_bytes", "write_bytes", "ctx_switches"];
/// From here on the facts are counters.
const FIRST_RATE: usize = 4;
const RATES: usize = 4;

struct Process {
    pid: u32,
    /// When it started, in ticks since boot: tells it from a later one with the same number.
    start: u64,
    /// The groups it belongs to, one bit each.
    groups: u64,
    /// Ticks of CPU, bytes read and written, context switches.
    totals: [Option<u64>; RATES],
    /// Seen in one scan only so far.
    young: bool,
}

/// Scans the processes every 1.5 s. Counters are summed as growth per process, so that one that ends takes nothing away.
pub(super) struct ProcessReader {
    root: PathBuf,
    groups: Vec<ProcessGroup>,
    /// This process, as procfs numbers it: its command line may hold the patterns, and would match them.
    own: Option<u64>,
    slots: Vec<[Slot; FACTS.len()]>,
    sums: Vec<[f64; FACTS.len()]>,
    known: Vec<Process>,
    next: Vec<Process>,
    pids: Vec<u32>,
    command: String,
    io: Picker,
    status: Picker,
    scans: u64,
    /// Ticks of CPU per second, and bytes per page.
    ticks: f64,
    page: f64,
}

impl ProcessReader {
    pub(super) fn new(roots: &Roots, groups: Vec<ProcessGroup>) -> Self {
        Self {
            root: roots.proc.clone(),
            groups,
            own: None,
            slots: Vec::new(),
            sums: Vec::new(),
            known: Vec::new(),
            next: Vec::new(),
            pids: Vec::new(),
            command: String::new(),
            io: Picker::new(["read_bytes", "write_bytes"]),
            status: Picker::new(["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]),
            scans: 0,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            page: rustix::param::page_size() as f64,
        }
    }

    /// The process as it is now, with its place in the groups looked up where it is new, changed or due.
    fn look(
        &mut self,
        proc: &OwnedFd,
        pid: u32,
        before: Option<Process>,
        buffer: &mut Buffer,
    ) -> Option<Process> {
        let due =
            before.as_ref().is_none_or(|b| b.young || u64::from(pid) % LOOK_AGAIN == self.scans % LOOK_AGAIN);
        if let Some(stranger) = before.as_ref().filter(|before| before.groups == 0 && !due) {
            return Some(Process { totals: [None; RATES], young: false, ..*stranger });
        }
        let stat = Stat::parse(open(proc, pid, "stat", buffer)?)?;
        let start = stat.start;
        let before = before.filter(|before| before.start == start);
        let mut groups = before.as_ref().map_or(0, |before| before.groups);
        if before.is_none() || due {
            self.command.clear();
            append(&mut self.command, stat.comm);
            groups = matches(&self.groups, &self.command);
            if let Some(line) = open(proc, pid, "cmdline", buffer) {
                self.command.clear();
                append(&mut self.command, line.get(..MAX_COMMAND).unwrap_or(line));
                groups |= matches(&self.groups, self.command.trim_end());
            }
        }
        let young = before.is_none();
        // One that wasn't there at the last scan has used all that it has since then. One that was there, but has only
        // now become a member, starts at what it has.
        let totals = match before {
            None if self.scans > 0 => [Some(0); RATES],
            None => [None; RATES],
            Some(before) => before.totals,
        };
        Some(Process { pid, start, groups, totals, young })
    }

    /// Adds what a member uses to the sums of its groups.
    fn count(&mut self, proc: &OwnedFd, process: &mut Process, buffer: &mut Buffer) {
        let Some(stat) = open(proc, process.pid, "stat", buffer).and_then(Stat::parse) else { return };
        let levels = [1.0, stat.pages as f64 * self.page, stat.threads as f64];
        let mut io = [None; 2];
        let mut switches = [None; 2];
        let cpu = Some(stat.ticks);
        // Only the owner of a process (or root) may read this.
        if let Some(bytes) = open(proc, process.pid, "io", buffer) {
            self.io.pick(bytes, &mut io);
        }
        // Those of the first thread; the kernel gives the others one by one, which would cost too much.
        if let Some(bytes) = open(proc, process.pid, "status", buffer) {
            self.status.pick(bytes, &mut switches);
        }
        let switches = switches[0].zip(switches[1]).map(|(a, b)| a.saturating_add(b));
        let totals = [cpu, io[0], io[1], switches];
        let fds = descriptors(proc, process.pid);
        let mut values = [f64::NAN; FACTS.len()];
        values[..3].copy_from_slice(&levels);
        values[3] = fds.map_or(f64::NAN, |fds| fds as f64);
        for (i, (now, before)) in totals.into_iter().zip(process.totals).enumerate() {
            if let (Some(now), Some(before)) = (now, before) {
                values[FIRST_RATE + i] = now.saturating_sub(before) as f64;
            }
        }
        process.totals = totals;
        for (group, sums) in self.sums.iter_mut().enumerate() {
            if process.groups & (1 << group) == 0 {
                continue;
            }
            for (sum, value) in sums.iter_mut().zip(values) {
                // A sum is NaN from the start, so that what no member tells stays missing.
                if value.is_finite() {
                    *sum = if sum.is_finite() { *sum + value } else { value };
                }
            }
        }
    }
}

impl Reader for ProcessReader {
    fn period(&self) -> Duration {
        Duration::from_millis(1500)
    }

    fn discover(&mut self, _: &mut Buffer, names: &mut Names) {
        let groups = self.groups.iter();
        self.slots =
            groups.map(|group| FACTS.map(|fact| names.add(&format!("proc/{}/{fact}", group.name)))).collect();
        self.sums = vec![[f64::NAN; FACTS.len()]; self.slots.len()];
        let own = std::fs::read_link(self.root.join("self")).ok();
        self.own = own.and_then(|own| number(own.as_os_str().as_encoded_bytes()));
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(proc) = rustix::fs::open(&self.root, flags, Mode::empty()) else { return };
        self.pids.clear();
        let (pids, own) = (&mut self.pids, self.own);
        list(&proc, |name| {
            if let Some(pid) =
                number(name).filter(|pid| Some(*pid) != own).and_then(|pid| pid.try_into().ok())
            {
                pids.push(pid);
            }
            pids.len() < MAX_PROCESSES
        });
        self.pids.sort_unstable();
        self.sums.fill([f64::NAN; FACTS.len()]);

        let (pids, mut known) = (std::mem::take(&mut self.pids), std::mem::take(&mut self.known));
        let mut next = std::mem::take(&mut self.next);
        let mut members = 0;
        let mut old = known.drain(..).peekable();
        for &pid in &pids {
            while old.next_if(|process| process.pid < pid).is_some() {}
            let before = old.next_if(|process| process.pid == pid);
            let Some(mut process) = self.look(&proc, pid, before, buffer) else { continue };
            if process.groups != 0 && members < MAX_MEMBERS {
                members += 1;
                self.count(&proc, &mut process, buffer);
            }
            next.push(process);
        }
        drop(old);
        (self.pids, self.known, self.next) = (pids, next, known);
        self.scans += 1;

        for (places, sums) in self.slots.iter().zip(&self.sums) {
            let none = sums[0].is_nan();
            for (i, (slot, sum)) in places.iter().zip(sums).enumerate() {
                let scale = match i {
                    FIRST_RATE => self.ticks * slots.elapsed,
                    _ if i > FIRST_RATE => slots.elapsed,
                    _ => 1.0,
                };
                // A group without processes uses nothing: a service that has stopped is seen by that.
                slots.set(*slot, if none { 0.0 } else { sum / scale });
            }
        }
    }
}

fn matches(groups: &[ProcessGroup], text: &str) -> u64 {
    let bits = groups.iter().take(MAX_GROUPS).enumerate();
    bits.fold(0, |bits, (i, group)| if group.pattern.is_match(text) { bits | 1 << i } else { bits })
}

/// Adds bytes as text: zero bytes, which separate arguments, become blanks, and what isn't UTF-8 is left out.
fn append(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| if c == '\0' { ' ' } else { c }));
    }
}

/// How many descriptors a process has open. Since Linux 6.2 the size of the directory says it; before, they are counted.
fn descriptors(proc: &OwnedFd, pid: u32) -> Option<u64> {
    const MOST: u64 = 65_536;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    with_path(pid, "fd", |path| {
        let size = statat(proc, path, rustix::fs::AtFlags::empty()).ok()?.st_size;
        // Other file systems (in tests) give directories a size in bytes; procfs before 6.2 gives none.
        if size > 0 && is_procfs(proc) {
            return u64::try_from(size).ok();
        }
        let dir = openat(proc, path, flags, Mode::empty()).ok()?;
        let mut count = 0;
        list(&dir, |name| {
            count += u64::from(number(name).is_some());
            count < MOST
        });
        Some(count)
    })?
}
