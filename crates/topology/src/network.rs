//! The network namespaces of this machine, read from procfs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::addresses::{of_fib_trie, of_if_inet6};
use super::infer::Namespace;
use super::processes::Process;
use crate::listeners::table::{Family, MAX_TABLE, rows};
use larnax_collect::host::file::Buffer;

/// Namespaces beside the own one that are read in one look, some 100 µs each; where there are more, in turn.
const MAX_NAMESPACES: usize = 16;
/// The addresses of a namespace are read again once in so many looks: they hardly ever change.
const LOOK_AGAIN: u64 = 16;

/// Reads sockets and addresses.
pub(super) struct Network {
    root: PathBuf,
    buffer: Buffer,
    addresses: HashMap<u64, (u64, BTreeSet<IpAddr>)>,
    looks: u64,
}

impl Network {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, buffer: Buffer::up_to(MAX_TABLE), addresses: HashMap::new(), looks: 0 }
    }

    /// The namespaces, the observer's own first. The tables of another one are seen through any process in it.
    pub(super) fn read(&mut self, processes: &BTreeMap<u32, Process>, own: Option<u64>) -> Vec<Namespace> {
        self.looks += 1;
        let mut others: BTreeMap<u64, u32> = BTreeMap::new();
        for (pid, process) in processes {
            if let Some(id) = process.namespace.filter(|id| Some(*id) != own) {
                others.entry(id).or_insert(*pid);
            }
        }
        self.addresses.retain(|id, _| Some(*id) == own || others.contains_key(id));
        let turns = others.len().div_ceil(MAX_NAMESPACES).max(1);
        let turn = (self.looks % turns as u64) as usize;
        let mut all = vec![self.namespace(own.unwrap_or_default(), &self.root.join("self/net"))];
        for (id, pid) in others.into_iter().skip(turn * MAX_NAMESPACES).take(MAX_NAMESPACES) {
            all.push(self.namespace(id, &self.root.join(format!("{pid}/net"))));
        }
        all
    }

    fn namespace(&mut self, id: u64, folder: &Path) -> Namespace {
        let old = self.addresses.get(&id).is_none_or(|(read, _)| self.looks - read >= LOOK_AGAIN);
        if old {
            let mut found = BTreeSet::new();
            if let Some(bytes) = fill(&mut self.buffer, &folder.join("fib_trie")) {
                of_fib_trie(bytes, &mut found);
            }
            if let Some(bytes) = fill(&mut self.buffer, &folder.join("if_inet6")) {
                of_if_inet6(bytes, &mut found);
            }
            self.addresses.insert(id, (self.looks, found));
        }
        let mut all = Vec::new();
        for (file, family) in [("tcp", Family::V4), ("tcp6", Family::V6)] {
            if let Some(bytes) = fill(&mut self.buffer, &folder.join(file)) {
                all.extend(rows(bytes, family));
            }
        }
        let addresses = self.addresses.get(&id).map(|(_, found)| found.clone());
        Namespace::new(all.into_iter(), addresses.unwrap_or_default())
    }
}

fn fill<'b>(buffer: &'b mut Buffer, path: &Path) -> Option<&'b [u8]> {
    buffer.fill(&File::open(path).ok()?)
}
