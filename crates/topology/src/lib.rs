//! Who calls whom and who runs where, from the kernel's socket tables: without traces, without root for one's own
//! processes, and without a packet sent.
//!
//! A component is known by an address where it is watched. The process that listens there, those that it started and those
//! that share its container or service are the component; every port that they listen on is its own. A connection from one of
//! them to a port of another is a call. Other components may be on other machines: a connection to the address where they
//! are watched is a call too, and one with a machine on which only one component is watched. A caller at another private address is told
//! as that address: whoever knows who is there, as a platform does, can say who called.
//!
//! What can't be seen: connections that begin and end between two looks (they are caught now and then, so what was seen is
//! kept for half an hour, and while there are signs of missed ones it is looked more often, see
//! [`Observer::next_look`]); callers behind a proxy or an address translation, which are seen as calls to the proxy or
//! not at all; processes of other users, for an agent without the right to look at them; UDP.

mod addresses;
mod infer;
pub mod listeners;
mod members;
mod memory;
mod network;
mod place;
mod processes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use larnax_core::{Component, ComponentId, Edge, EdgeKind, Timestamp, TopologyDelta};
use larnax_http::Url;
use rustix::time::{ClockId, clock_gettime};

use infer::{Found, Known, Namespace, Remote, Scene};
use members::members;
use memory::{Memory, Spans};
use network::Network;
use place::Place;
use processes::Processes;

/// Descriptors read in one look, about 1 µs each; the rest is read at the next.
const MAX_LINKS: usize = 2048;
/// A socket whose owner was not found among all processes is looked for again after so many looks.
const SEARCH_AGAIN: u32 = 16;
/// Callers of whom only the address is known, told after one look: some 60 bytes each.
const MAX_ELSEWHERE: usize = 256;
/// Sockets remembered as those of nobody known.
const MAX_STRANGERS: usize = 16_384;

/// The share of one core that looking may take, and while there is something to be caught; by [`Observer::cost`].
const SHARE: f64 = 1e-4;
const SHARE_TO_CATCH: f64 = 1e-3;
/// The shortest and longest time between looks.
const SELDOM: (f64, f64) = (15.0, 120.0);
const OFTEN: (f64, f64) = (1.0, 15.0);
/// Looks in quick succession that are not worth more: at 1 s, a call of 10 ms every second has shown up with 55% by then,
/// and one of 10 ms ten times a second surely.
const QUICK_LOOKS: u32 = 80;

/// A component and an address where it is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTarget {
    /// Which.
    pub component: Component,
    /// Where.
    pub address: SocketAddr,
}

impl KnownTarget {
    /// From the URL that is scraped; none where its host is a name other than `localhost`: names are not looked up.
    pub fn of_url(component: Component, url: &Url) -> Option<Self> {
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let ip =
            if host == "localhost" { Ipv4Addr::LOCALHOST.into() } else { host.parse::<IpAddr>().ok()? };
        Some(Self { component, address: SocketAddr::new(ip.to_canonical(), url.port()) })
    }
}

/// How an observer looks.
#[derive(Clone, Debug)]
pub struct ObserverOptions {
    /// The name of the agent, which its deltas carry.
    pub by: String,
    /// This machine as a component: what local components run on. None tells no `runs_on`.
    pub node: Option<Component>,
    /// Where the proc file system is.
    pub proc: PathBuf,
    /// Whether the observer is in a pod beside what it watches: the network namespace is that of one component, whose processes can't be
    /// seen from here.
    pub beside: bool,
    /// How long an edge is kept after it was last seen.
    pub keep: Duration,
    /// How long a delta holds; it is told again when half of that is over.
    pub ttl: Duration,
}

impl ObserverOptions {
    /// The defaults.
    pub fn new(by: String, node: Option<Component>) -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self { by, node, proc: PathBuf::from("/proc"), beside: false, keep: minutes(30), ttl: minutes(10) }
    }
}

/// Looks at the sockets of this machine now and then.
pub struct Observer {
    options: ObserverOptions,
    processes: Processes,
    network: Network,
    memory: Memory,
    /// The process that holds a socket.
    holders: HashMap<u64, u32>,
    /// Sockets that no known component holds, given its processes.
    strangers: HashSet<u64>,
    members: BTreeMap<u32, Known>,
    /// The member to begin with.
    resume: u32,
    search: Search,
    places: BTreeMap<ComponentId, Place>,
    components: Vec<ComponentId>,
    quick_looks: u32,
    /// Whether looking again soon may show more.
    promising: bool,
    cost: f64,
}

/// For the processes that listen where components are watched.
#[derive(Default)]
struct Search {
    wanted: HashSet<u64>,
    /// The process to go on with.
    next: u32,
    /// Sockets that were not found, and how many looks ago.
    in_vain: HashMap<u64, u32>,
}

/// A component's listener on this machine.
struct Home {
    component: Known,
    /// Place among the namespaces of this look.
    namespace: usize,
    inode: u64,
}

impl Observer {
    /// One that has seen nothing yet. Touches nothing.
    pub fn new(options: ObserverOptions) -> Self {
        Self {
            processes: Processes::new(options.proc.clone()),
            network: Network::new(options.proc.clone()),
            options,
            memory: Memory::default(),
            holders: HashMap::new(),
            strangers: HashSet::new(),
            members: BTreeMap::new(),
            resume: 0,
            search: Search::default(),
            places: BTreeMap::new(),
            components: Vec::new(),
            quick_looks: QUICK_LOOKS,
            promising: true,
            cost: 0.0,
        }
    }

    /// Looks once. Gives the whole topology of what is known here when it has changed, and when half of the time is over
    /// that it holds for.
    ///
    /// Blocks for the reading of procfs, which is bounded: see [`Observer::cost`].
    pub fn look(&mut self, known: &[KnownTarget], now: Timestamp) -> Option<TopologyDelta> {
        let began = thread_cpu();
        let delta = self.look_now(known, now);
        // The mean of the last few looks.
        let cost = thread_cpu() - began;
        self.cost = if self.cost == 0.0 { cost } else { 0.75 * self.cost + 0.25 * cost };
        delta
    }

    /// CPU time of a look, in seconds; the mean of the last few.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// When it is worth looking again: so that looking takes a ten-thousandth of a core, every 15 s to 2 min; sooner, for a
    /// bounded number of looks, while there are processes that were not looked at yet or calls whose callers were missed.
    pub fn next_look(&self) -> Duration {
        let quick = self.promising && self.quick_looks > 0;
        let (share, (least, most)) = if quick { (SHARE_TO_CATCH, OFTEN) } else { (SHARE, SELDOM) };
        Duration::from_secs_f64((self.cost / share).clamp(least, most))
    }

    fn look_now(&mut self, known: &[KnownTarget], now: Timestamp) -> Option<TopologyDelta> {
        self.processes.refresh();
        let own = self.processes.own_namespace();
        let mut namespaces = self.network.read(self.processes.known(), own);
        let components = self.number(known);
        let (homes, remote) = place_targets(known, &components, &namespaces);
        let shared = usize::from(!self.options.beside);
        for (at, namespace) in namespaces.iter_mut().enumerate().skip(shared) {
            let mut here = homes.iter().filter(|home| home.namespace == at).map(|home| home.component);
            let first = here.next();
            namespace.sole = first.filter(|first| here.all(|other| other == *first));
        }
        self.forget_closed(&namespaces);
        self.search_listeners(&homes);
        let listening =
            homes.iter().filter_map(|home| self.holders.get(&home.inode).map(|pid| (*pid, home.component)));
        let members = members(self.processes.known(), &listening.collect(), &self.processes.own_cgroup());
        if members != self.members {
            self.members = members;
            self.strangers.clear();
        }
        self.attribute(&homes, &namespaces, &remote);

        let at_home: HashMap<u64, Known> = homes.iter().map(|home| (home.inode, home.component)).collect();
        let owner = |inode: u64| {
            let member = || self.holders.get(&inode).and_then(|pid| self.members.get(pid)).copied();
            at_home.get(&inode).copied().or_else(member)
        };
        let found = Scene { namespaces: &namespaces, remote: &remote, owner: &owner }.calls();
        self.plan_next(&found);
        self.tell(known, &homes, &found, now)
    }

    /// Gives each component its number: its place among them.
    fn number(&mut self, known: &[KnownTarget]) -> HashMap<ComponentId, Known> {
        let ids: BTreeSet<&ComponentId> = known.iter().map(|target| &target.component.id).collect();
        if !ids.iter().copied().eq(&self.components) {
            self.components = ids.into_iter().cloned().collect();
            self.places.retain(|id, _| self.components.binary_search(id).is_ok());
            self.quick_looks = QUICK_LOOKS;
        }
        self.components.iter().cloned().zip(0..).collect()
    }

    /// Forgets sockets that are no longer there: their numbers will be given to others.
    fn forget_closed(&mut self, namespaces: &[Namespace]) {
        let there: HashSet<u64> =
            namespaces.iter().flat_map(|n| n.listening().chain(n.clients())).map(|row| row.inode).collect();
        let processes = self.processes.known();
        self.holders.retain(|inode, pid| there.contains(inode) && processes.contains_key(pid));
        self.strangers.retain(|inode| there.contains(inode));
        self.search.in_vain.retain(|inode, looks| {
            *looks += 1;
            *looks <= SEARCH_AGAIN && there.contains(inode)
        });
    }

    /// Looks among all processes, those with the lowest numbers first, for those that listen where components are watched. Of
    /// a parent and the children that have inherited the socket this finds the parent.
    fn search_listeners(&mut self, homes: &[Home]) {
        let unknown = |inode: &u64| {
            *inode != 0 && !self.holders.contains_key(inode) && !self.search.in_vain.contains_key(inode)
        };
        let wanted: HashSet<u64> = homes.iter().map(|home| home.inode).filter(unknown).collect();
        if !wanted.is_subset(&self.search.wanted) {
            self.search.next = 0;
        }
        self.search.wanted = wanted;
        let mut budget = MAX_LINKS;
        let wanted = &mut self.search.wanted;
        for pid in self.processes.known().range(self.search.next..).map(|(pid, _)| *pid) {
            if wanted.is_empty() {
                return;
            }
            self.search.next = pid;
            // A process with more descriptors than are read in one look is passed over by the next.
            let whole = budget == MAX_LINKS;
            self.processes.sockets(pid, &mut budget, |socket| {
                if wanted.remove(&socket) {
                    self.holders.insert(socket, pid);
                }
                !wanted.is_empty()
            });
            if budget == 0 {
                self.search.next = pid.saturating_add(u32::from(whole));
                return;
            }
        }
        if !self.processes.is_behind() {
            self.search.in_vain.extend(wanted.drain().map(|socket| (socket, 0)));
        }
        self.search.next = 0;
    }

    /// Finds the processes of components that hold sockets which may matter: listeners, and the client's end of connections
    /// to a listener of this machine or to a component elsewhere.
    fn attribute(&mut self, homes: &[Home], namespaces: &[Namespace], remote: &Remote) {
        let scene = Scene { namespaces, remote, owner: &|_| None };
        let shared = namespaces.iter().filter(|namespace| namespace.sole.is_none());
        let rows = shared.flat_map(|namespace| {
            let clients = namespace.clients().filter(|row| scene.may_matter(namespace, row));
            namespace.listening().chain(clients)
        });
        let at_home: HashSet<u64> = homes.iter().map(|home| home.inode).collect();
        let mut wanted: HashSet<u64> = rows
            .map(|row| row.inode)
            .filter(|inode| {
                *inode != 0
                    && !at_home.contains(inode)
                    && !self.holders.contains_key(inode)
                    && !self.strangers.contains(inode)
            })
            .collect();
        let mut budget = MAX_LINKS;
        // Where the last look had to stop, the next goes on, so that a process with many descriptors hides no other.
        let (before, from) = (self.members.range(..self.resume), self.members.range(self.resume..));
        for pid in from.chain(before).map(|(pid, _)| pid) {
            if wanted.is_empty() {
                break;
            }
            if budget == 0 {
                self.resume = *pid;
                break;
            }
            self.processes.sockets(*pid, &mut budget, |socket| {
                if wanted.remove(&socket) {
                    self.holders.insert(socket, *pid);
                }
                !wanted.is_empty()
            });
        }
        if budget > 0 && self.strangers.len() < MAX_STRANGERS {
            self.strangers.extend(wanted);
        }
    }

    /// Looks soon again while that promises something, but not for ever.
    fn plan_next(&mut self, found: &Found) {
        self.promising =
            self.processes.is_behind() || !self.search.wanted.is_empty() || !found.missed.is_empty();
        self.quick_looks = match self.promising {
            true => self.quick_looks.saturating_sub(1),
            false => QUICK_LOOKS.min(self.quick_looks + 1),
        };
    }

    fn tell(
        &mut self,
        known: &[KnownTarget],
        homes: &[Home],
        found: &Found,
        now: Timestamp,
    ) -> Option<TopologyDelta> {
        let id = |component: &Known| self.components.get(*component).cloned();
        let mut edges = Vec::new();
        for (from, to) in &found.calls {
            if let Some((from, to)) = id(from).zip(id(to)) {
                edges.push(Edge { from, to, kind: EdgeKind::Calls });
            }
        }
        for (ip, to) in found.elsewhere.iter().take(MAX_ELSEWHERE) {
            let from = ComponentId::of_address(*ip);
            edges.extend(id(to).map(|to| Edge { from, to, kind: EdgeKind::Calls }));
        }
        for home in homes {
            let Some(from) = id(&home.component) else { continue };
            let process = self.holders.get(&home.inode).and_then(|pid| self.processes.known().get(pid));
            if let Some(process) = process {
                self.places.insert(from.clone(), process.place.clone());
            }
            if let Some(node) = self.options.node.as_ref().filter(|node| node.id != from) {
                edges.push(Edge { from, to: node.id.clone(), kind: EdgeKind::RunsOn });
            }
        }
        let mut components: BTreeMap<&ComponentId, Component> = BTreeMap::new();
        for target in known {
            components.entry(&target.component.id).or_insert_with(|| {
                let mut component = target.component.clone();
                for (name, value) in self.places.get(&component.id).into_iter().flat_map(Place::labels) {
                    component.labels.entry(name.to_owned()).or_insert_with(|| value.clone());
                }
                component
            });
        }
        let mut components: Vec<Component> = components.into_values().collect();
        let node = self.options.node.iter().filter(|node| !self.components.contains(&node.id));
        components.extend(node.cloned());
        let spans = Spans { keep: self.options.keep, ttl: self.options.ttl };
        self.memory.update(&self.options.by, components, edges, spans, now)
    }
}

/// Which targets are on this machine, by their listeners, and which are not.
fn place_targets(
    known: &[KnownTarget],
    numbers: &HashMap<ComponentId, Known>,
    namespaces: &[Namespace],
) -> (Vec<Home>, Remote) {
    let (mut homes, mut remote) = (Vec::new(), Remote::default());
    for target in known {
        let Some(component) = numbers.get(&target.component.id).copied() else { continue };
        let at = SocketAddr::new(target.address.ip().to_canonical(), target.address.port());
        let here = |namespace: &Namespace| namespace.addresses.contains(&at.ip());
        let place = if at.ip().is_loopback() { Some(0) } else { namespaces.iter().position(here) };
        match place.and_then(|place| namespaces.get(place).map(|namespace| (place, namespace))) {
            Some((place, namespace)) => {
                let inode = namespace.listener(at).map(|row| row.inode);
                homes.extend(inode.map(|inode| Home { component, namespace: place, inode }));
            }
            None => remote.add(at, component),
        }
    }
    (homes, remote)
}

/// CPU time of the calling thread, in seconds.
fn thread_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests;
