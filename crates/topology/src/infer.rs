//! Who calls whom, from the socket tables of one moment. Pure.
//!
//! A connection between two processes of one namespace stands in its table twice, once from each end. The end whose port
//! nobody listens on is the client. Which component has a socket is told by the process that holds it; in a namespace of
//! its own (a pod's), also by the namespace, so that even a socket that no process has any more (TIME_WAIT) has an
//! owner there. In a shared namespace the client of a connection in TIME_WAIT can't be known: the table has only its port,
//! which said nothing but while the connection was open. That somebody called is still worth knowing: it is a reason to look
//! again soon ([`Found::missed`]).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::listeners::table::{LISTEN, Row, SYN_RECV, TIME_WAIT};

/// A component, by its place in the list of those that are known.
pub(super) type Known = usize;

/// The sockets and addresses of a network namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    /// Its addresses beside those of loopback.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// The component that alone uses it, where there is one.
    pub(super) sole: Option<Known>,
    rows: Vec<Row>,
    /// Places in `rows`.
    listeners: HashMap<u16, Vec<usize>>,
}

impl Namespace {
    /// With its table; IPv4 addresses in the clothes of IPv6 are undressed.
    pub(super) fn new(rows: impl Iterator<Item = Row>, addresses: BTreeSet<IpAddr>) -> Self {
        let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let rows: Vec<Row> =
            rows.map(|row| Row { local: plain(row.local), remote: plain(row.remote), ..row }).collect();
        let mut listeners: HashMap<u16, Vec<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.state == LISTEN) {
            listeners.entry(row.local.port()).or_default().push(place);
        }
        Self { addresses, sole: None, rows, listeners }
    }

    /// Who listens at an address of this namespace: that address itself before all addresses. A listener on all addresses
    /// of IPv6 is reached over IPv4 too, unless told otherwise, which the table does not say.
    pub(super) fn listener(&self, at: SocketAddr) -> Option<&Row> {
        let all = self.listeners.get(&at.port())?;
        let rows = || all.iter().filter_map(|place| self.rows.get(*place));
        let wide = |row: &&Row| row.local.ip().is_unspecified();
        rows()
            .find(|row| row.local == at)
            .or_else(|| rows().filter(wide).find(|row| row.local.is_ipv4() == at.is_ipv4()))
            .or_else(|| rows().filter(wide).find(|row| row.local.is_ipv6()))
    }

    /// All that listen.
    pub(super) fn listening(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state == LISTEN)
    }

    /// The ends of connections whose port nobody listens on.
    pub(super) fn clients(&self) -> impl Iterator<Item = &Row> {
        self.connections().filter(|row| self.listener(row.local).is_none())
    }

    fn connections(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.state != LISTEN && row.state != SYN_RECV)
    }

    fn has(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }
}

/// Components on other machines.
#[derive(Debug, Default)]
pub(super) struct Remote {
    exact: HashMap<SocketAddr, Known>,
    /// None where several share the address.
    by_ip: HashMap<IpAddr, Option<Known>>,
}

impl Remote {
    pub(super) fn add(&mut self, at: SocketAddr, component: Known) {
        self.exact.insert(at, component);
        let sole = self.by_ip.entry(at.ip()).or_insert(Some(component));
        if *sole != Some(component) {
            *sole = None;
        }
    }

    /// The component at an address: the one that is watched there, or the only one that is watched on that machine.
    fn at(&self, at: SocketAddr) -> Option<Known> {
        self.exact.get(&at).copied().or_else(|| self.at_ip(at.ip()))
    }

    fn at_ip(&self, ip: IpAddr) -> Option<Known> {
        self.by_ip.get(&ip).copied().flatten()
    }
}

/// What one look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Caller and callee.
    pub(super) calls: BTreeSet<(Known, Known)>,
    /// Components that somebody called of whom nothing is left to be seen.
    pub(super) missed: BTreeSet<Known>,
    /// Private addresses of which nothing is known here, and whom somebody there calls.
    pub(super) elsewhere: BTreeSet<(IpAddr, Known)>,
}

/// The machine at one moment.
pub(super) struct Scene<'a> {
    /// The first is the observer's own.
    pub(super) namespaces: &'a [Namespace],
    /// What is watched elsewhere.
    pub(super) remote: &'a Remote,
    /// The component that holds a socket.
    pub(super) owner: &'a dyn Fn(u64) -> Option<Known>,
}

impl Scene<'_> {
    /// Who calls whom.
    pub(super) fn calls(&self) -> Found {
        let mut found = Found::default();
        for here in self.namespaces {
            for row in here.connections() {
                match here.listener(row.local) {
                    None => self.client(here, row, &mut found),
                    Some(listener) => self.server(here, row, listener, &mut found),
                }
            }
        }
        found
    }

    /// Whether this client's end is of a connection that could be one between components.
    pub(super) fn may_matter(&self, here: &Namespace, row: &Row) -> bool {
        let ip = row.remote.ip();
        match self.there(here, ip) {
            Some(there) => there.listener(row.remote).is_some(),
            None => self.remote.at(row.remote).is_some(),
        }
    }

    fn client(&self, here: &Namespace, row: &Row, found: &mut Found) {
        let Some(callee) = self.component_at(here, row.remote) else { return };
        match self.holder(here, row.inode) {
            Some(caller) if caller != callee => drop(found.calls.insert((caller, callee))),
            Some(_) => {}
            None if row.inode == 0 => drop(found.missed.insert(callee)),
            // A process that is not watched.
            None => {}
        }
    }

    fn server(&self, here: &Namespace, row: &Row, listener: &Row, found: &mut Found) {
        let Some(callee) = self.holder(here, listener.inode) else { return };
        let ip = row.remote.ip();
        if here.has(ip) {
            // The other end stands, or stood, in this same table.
            if row.state == TIME_WAIT && here.sole.is_none() {
                found.missed.insert(callee);
            }
            return;
        }
        let caller = match self.namespaces.iter().find(|other| other.addresses.contains(&ip)) {
            Some(other) => other.sole,
            None => {
                if !self.remote.by_ip.contains_key(&ip) && is_private(ip) {
                    found.elsewhere.insert((ip, callee));
                }
                self.remote.at_ip(ip)
            }
        };
        if let Some(caller) = caller.filter(|caller| *caller != callee) {
            found.calls.insert((caller, callee));
        }
    }

    /// The component that one reaches at an address from a namespace.
    fn component_at(&self, here: &Namespace, at: SocketAddr) -> Option<Known> {
        match self.there(here, at.ip()) {
            Some(there) => there.listener(at).and_then(|row| self.holder(there, row.inode)),
            None => self.remote.at(at),
        }
    }

    /// The namespace of this machine that has an address, seen from one.
    fn there<'a>(&'a self, here: &'a Namespace, ip: IpAddr) -> Option<&'a Namespace> {
        if here.has(ip) {
            return Some(here);
        }
        self.namespaces.iter().find(|other| other.addresses.contains(&ip))
    }

    fn holder(&self, namespace: &Namespace, inode: u64) -> Option<Known> {
        (self.owner)(inode).filter(|_| inode != 0).or(namespace.sole)
    }
}

/// Whether an address can be one of the same platform. Others are of customers, whom nobody needs to hear of.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        // And 100.64.0.0/10 (RFC 6598), from which some clusters give their pods addresses.
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests;
