//! Which processes belong to which component. Pure.

use std::collections::BTreeMap;

use super::infer::Known;
use super::processes::Process;

/// How far up a process' ancestors are looked at.
const MAX_ANCESTORS: usize = 32;

/// The component of each process that belongs to one, given the processes that listen where components are watched:
///
/// - a process that such a process started belongs to it, unless it is itself one of another component. The first process
///   of the machine or container has all as descendants and hands nothing down;
/// - so does a process that shares its container or its systemd service with one component alone. What shares `own`, the
///   observer's own cgroup, does not: in a container for everything, all processes are in one.
pub(super) fn members(
    processes: &BTreeMap<u32, Process>,
    listening: &BTreeMap<u32, Known>,
    own: &str,
) -> BTreeMap<u32, Known> {
    let mut members: BTreeMap<u32, Known> = BTreeMap::new();
    for pid in processes.keys() {
        if let Some(component) = by_ancestors(*pid, processes, listening) {
            members.insert(*pid, component);
        }
    }
    // None where several components share it.
    let mut shared: BTreeMap<&str, Option<Known>> = BTreeMap::new();
    for (pid, component) in &members {
        let process = processes.get(pid).filter(|process| process.place.is_of_one() && process.cgroup != own);
        if let Some(process) = process {
            let sole = shared.entry(&process.cgroup).or_insert(Some(*component));
            if *sole != Some(*component) {
                *sole = None;
            }
        }
    }
    for (pid, process) in processes {
        if let Some(Some(component)) = shared.get(process.cgroup.as_str()) {
            members.entry(*pid).or_insert(*component);
        }
    }
    members
}

fn by_ancestors(
    pid: u32,
    processes: &BTreeMap<u32, Process>,
    listening: &BTreeMap<u32, Known>,
) -> Option<Known> {
    if let Some(component) = listening.get(&pid) {
        return Some(*component);
    }
    let mut at = pid;
    for _ in 0..MAX_ANCESTORS {
        at = processes.get(&at)?.parent;
        if at <= 1 {
            return None;
        }
        if let Some(component) = listening.get(&at) {
            return Some(*component);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;

    fn processes(all: &[(u32, u32, &str)]) -> BTreeMap<u32, Process> {
        let process = |parent, cgroup: &str| Process {
            parent,
            cgroup: cgroup.to_owned(),
            place: Place::of(cgroup),
            ..Process::default()
        };
        all.iter().map(|(pid, parent, cgroup)| (*pid, process(*parent, cgroup))).collect()
    }

    #[test]
    fn descendants_belong_to_the_nearest_ancestor_that_listens() {
        let all =
            processes(&[(1, 0, ""), (2, 1, ""), (3, 2, ""), (4, 3, ""), (5, 4, ""), (6, 1, ""), (7, 7, "")]);
        let listening = BTreeMap::from([(1, 9), (2, 0), (4, 1)]);
        let found = members(&all, &listening, "");
        assert_eq!(found, BTreeMap::from([(1, 9), (2, 0), (3, 0), (4, 1), (5, 1)]));
    }

    #[test]
    fn a_service_of_one_component_is_its_own_but_neither_a_shared_one_nor_the_observers() {
        let (one, both, own) = ("/s/one.service", "/s/both.service", "/s/own.service");
        let all = processes(&[
            (10, 1, one),
            (11, 1, one),
            (20, 1, both),
            (21, 1, both),
            (22, 1, both),
            (30, 1, own),
            (31, 1, own),
            (40, 1, "/user.slice/session-3.scope"),
            (41, 1, "/user.slice/session-3.scope"),
        ]);
        let listening = BTreeMap::from([(10, 0), (20, 1), (21, 2), (30, 3), (40, 4)]);
        let found = members(&all, &listening, own);
        assert_eq!(found, BTreeMap::from([(10, 0), (11, 0), (20, 1), (21, 2), (30, 3), (40, 4)]));
    }
}
