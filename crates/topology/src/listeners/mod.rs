//! Which TCP listeners this machine has, and whose they are: what could be watched. Nothing is connected to.

pub(crate) mod owners;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Listeners reported at most.
const MAX_LISTENERS: usize = 1024;

/// A local TCP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it can be reached from this machine: a listener on all addresses stands with its loopback address.
    pub addr: SocketAddr,
    /// The number and the short name of the process that listens, where this process may see it (its own user's, or
    /// all as root).
    pub process: Option<(u32, String)>,
}

/// The TCP listeners of this network namespace, by address, each address once. `proc` is the root of procfs.
///
/// One look costs a read of the socket tables and of the descriptors of all processes that may be read (bounded): for a
/// command or every minute, not for each sample. What can't be read is left out; without procfs there are none.
pub fn listeners(proc: &Path) -> Vec<Listener> {
    let mut found: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for (file, family) in [("net/tcp", table::Family::V4), ("net/tcp6", table::Family::V6)] {
        for socket in table::listening(&table::read(&proc.join(file)), family) {
            if found.len() < MAX_LISTENERS {
                found.entry(reachable(socket.addr)).or_insert(socket.inode);
            }
        }
    }
    let mut owners = owners::of(proc, found.values().copied());
    let mut all: Vec<Listener> =
        found.into_iter().map(|(addr, inode)| Listener { addr, process: owners.remove(&inode) }).collect();
    drop_twins(&mut all);
    all
}

/// The address at which a listener is reached from this machine.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 => v4,
    };
    let ip = match ip {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, addr.port())
}

/// A service that listens on both loopback addresses with one port is one service: its IPv4 address is enough. Where
/// both owners are unknown they are taken to be the same.
fn drop_twins(all: &mut Vec<Listener>) {
    let first: Vec<(u16, Option<u32>)> = all
        .iter()
        .filter(|listener| listener.addr.ip() == Ipv4Addr::LOCALHOST)
        .map(|listener| (listener.addr.port(), listener.process.as_ref().map(|process| process.0)))
        .collect();
    all.retain(|listener| {
        let owner = listener.process.as_ref().map(|process| process.0);
        listener.addr.ip() != Ipv6Addr::LOCALHOST || !first.contains(&(listener.addr.port(), owner))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(addr: &str, pid: Option<u32>) -> Listener {
        Listener { addr: addr.parse().unwrap(), process: pid.map(|pid| (pid, "x".to_owned())) }
    }

    #[test]
    fn a_wildcard_and_a_mapped_address_become_what_one_connects_to() {
        let cases = [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("[::ffff:0.0.0.0]:80", "127.0.0.1:80"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ];
        for (found, expected) in cases {
            assert_eq!(reachable(found.parse().unwrap()), expected.parse().unwrap(), "{found}");
        }
    }

    #[test]
    fn one_service_on_both_loopbacks_is_told_once_but_two_services_are_two() {
        let mut all = vec![
            listener("127.0.0.1:80", Some(1)),
            listener("[::1]:80", Some(1)),
            listener("127.0.0.1:81", Some(1)),
            listener("[::1]:81", Some(2)),
            listener("[::1]:82", None),
        ];
        drop_twins(&mut all);
        let addrs: Vec<_> = all.iter().map(|listener| listener.addr.to_string()).collect();
        assert_eq!(addrs, ["127.0.0.1:80", "127.0.0.1:81", "[::1]:81", "[::1]:82"]);
    }

    #[test]
    fn without_procfs_there_are_none() {
        assert_eq!(listeners(Path::new("/nowhere")), []);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_of_this_process_is_found_with_its_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listeners(Path::new("/proc"));
        let mine = found.iter().find(|found| found.addr == listener.local_addr().unwrap()).unwrap();
        let (pid, name) = mine.process.as_ref().unwrap();
        assert_eq!(*pid, std::process::id());
        assert!(!name.is_empty() && name.len() <= 15);
    }
}
