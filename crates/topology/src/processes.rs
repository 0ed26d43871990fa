//! The processes of this machine: who started them, where they are, and which sockets they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, RawDir, openat, readlinkat_raw};

use super::place::{self, Place};
use crate::listeners::owners::inode;
use larnax_collect::host::file::Buffer;
use larnax_collect::host::parse::number;
use larnax_collect::host::procfs::{Stat, list, open, with_path};

/// Processes known at most.
const MAX_PROCESSES: usize = 8192;
/// Processes that are new and looked at in one look: three files each, some 25 µs.
const MAX_NEW: usize = 64;
/// A known process is looked at again once in so many looks: its number may have been given to another one, and it may
/// have changed its cgroup or its parent.
const LOOK_AGAIN: u64 = 16;

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) parent: u32,
    /// When it started, in ticks since boot: tells it from a later one with the same number.
    pub(super) start: u64,
    /// Its network namespace, where that may be read; else a number that stands for its pod, which has one of its own.
    pub(super) namespace: Option<u64>,
    /// The path of its cgroup.
    pub(super) cgroup: String,
    /// What that says.
    pub(super) place: Place,
}

/// The processes, as of the last look.
pub(super) struct Processes {
    root: PathBuf,
    proc: Option<OwnedFd>,
    known: BTreeMap<u32, Process>,
    buffer: Buffer,
    looks: u64,
    /// Whether there are processes that were not looked at yet.
    behind: bool,
}

impl Processes {
    pub(super) fn new(root: PathBuf) -> Self {
        let (known, buffer) = (BTreeMap::new(), Buffer::default());
        Self { root, proc: None, known, buffer, looks: 0, behind: true }
    }

    /// Looks which there are, and at those that are new or due.
    pub(super) fn refresh(&mut self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.proc = self.proc.take().or_else(|| rustix::fs::open(&self.root, flags, Mode::empty()).ok());
        let Some(proc) = &self.proc else { return };
        // A directory that stays open goes on where the last reading of it ended.
        let _ = rustix::fs::seek(proc, rustix::fs::SeekFrom::Start(0));
        let mut there = BTreeSet::new();
        list(proc, |name| {
            there.extend(number(name).and_then(|pid| u32::try_from(pid).ok()));
            there.len() < MAX_PROCESSES
        });
        self.known.retain(|pid, _| there.contains(pid));
        self.looks += 1;
        let mut new = 0;
        self.behind = false;
        for pid in there {
            let known = self.known.contains_key(&pid);
            if known && u64::from(pid) % LOOK_AGAIN != self.looks % LOOK_AGAIN {
                continue;
            }
            if !known {
                new += 1;
                if new > MAX_NEW {
                    self.behind = true;
                    break;
                }
            }
            match look(proc, pid, &mut self.buffer) {
                Some(process) => drop(self.known.insert(pid, process)),
                None => drop(self.known.remove(&pid)),
            }
        }
    }

    pub(super) fn known(&self) -> &BTreeMap<u32, Process> {
        &self.known
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// The network namespace of this process.
    pub(super) fn own_namespace(&self) -> Option<u64> {
        let link = std::fs::read_link(self.root.join("self/ns/net")).ok()?;
        namespace(link.as_os_str().as_encoded_bytes())
    }

    /// The cgroup of this process.
    pub(super) fn own_cgroup(&self) -> String {
        let text = std::fs::read_to_string(self.root.join("self/cgroup")).unwrap_or_default();
        place::path(&text).to_owned()
    }

    /// Hands out the sockets that a process holds until `each` says false; every link that is read costs one of `budget`.
    /// Whether all were handed out. A process whose descriptors may not be read has none.
    pub(super) fn sockets(&self, pid: u32, budget: &mut usize, mut each: impl FnMut(u64) -> bool) -> bool {
        let Some(proc) = &self.proc else { return true };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Some(Ok(dir)) = with_path(pid, "fd", |path| openat(proc, path, flags, Mode::empty())) else {
            return true;
        };
        let mut space = [MaybeUninit::uninit(); 8192];
        let mut entries = RawDir::new(&dir, &mut space);
        while let Some(Ok(entry)) = entries.next() {
            let name: &CStr = entry.file_name();
            if number(name.to_bytes()).is_none() {
                continue;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let mut link = [0u8; 64];
            let Ok(len) = readlinkat_raw(&dir, name, &mut link) else { continue };
            if let Some(socket) = link.get(..len).and_then(inode)
                && !each(socket)
            {
                return false;
            }
        }
        true
    }
}

fn look(proc: &OwnedFd, pid: u32, buffer: &mut Buffer) -> Option<Process> {
    let stat = Stat::parse(open(proc, pid, "stat", buffer)?)?;
    let (parent, start) = (u32::try_from(stat.parent).ok()?, stat.start);
    let mut link = [0u8; 64];
    let len = with_path(pid, "ns/net", |path| readlinkat_raw(proc, path, &mut link));
    let len = len.and_then(Result::ok).unwrap_or(0);
    let readable = link.get(..len).and_then(namespace);
    let cgroup = open(proc, pid, "cgroup", buffer).unwrap_or_default();
    let text = String::from_utf8_lossy(cgroup);
    let path = place::path(&text);
    let place = Place::of(path);
    let namespace = readable.or_else(|| place.pod.as_deref().map(namespace_of_pod));
    Some(Process { parent, start, namespace, cgroup: path.to_owned(), place })
}

/// What tells the namespace of one pod from that of another where an agent may not read which it is: that of a process of somebody
/// else takes a right that agents on nodes don't have, its tables don't. No number of the kernel's, which has 32 bits.
fn namespace_of_pod(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish() | 1 << 63
}

/// The number in `net:[4026531833]`.
fn namespace(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"net:[")?.strip_suffix(b"]")?)
}
