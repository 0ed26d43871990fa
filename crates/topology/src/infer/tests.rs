#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use super::*;
use crate::listeners::table::{Family, rows};

const HEAD: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/// Lines as the kernel writes them: local end, remote end, state, inode.
fn table(sockets: &[(&str, &str, u8, u64)]) -> String {
    let end = |end: &str| match end.parse().unwrap() {
        SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()),
        SocketAddr::V6(v6) => {
            let words = v6.ip().octets();
            let words = words.chunks_exact(4).map(|w| u32::from_ne_bytes(w.try_into().unwrap()));
            let words: String = words.map(|word| format!("{word:08X}")).collect();
            format!("{words}:{:04X}", v6.port())
        }
    };
    let line = |(at, (local, remote, state, inode)): (usize, &(&str, &str, u8, u64))| {
        format!(
            "{at:4}: {} {} {state:02X} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000 20 4 30 10 -1\n",
            end(local),
            end(remote)
        )
    };
    let lines: String = sockets.iter().enumerate().map(line).collect();
    format!("{HEAD}{lines}")
}

fn namespace(v4: &str, v6: &str, addresses: &[&str]) -> Namespace {
    let all = rows(v4.as_bytes(), Family::V4).chain(rows(v6.as_bytes(), Family::V6));
    Namespace::new(all, addresses.iter().map(|ip| ip.parse().unwrap()).collect())
}

fn calls(namespaces: &[Namespace], remote: &Remote, owners: &[(u64, Known)]) -> Found {
    let owners: HashMap<u64, Known> = owners.iter().copied().collect();
    Scene { namespaces, remote, owner: &|inode| owners.get(&inode).copied() }.calls()
}

fn found(calls: &[(Known, Known)], missed: &[Known]) -> Found {
    Found {
        calls: calls.iter().copied().collect(),
        missed: missed.iter().copied().collect(),
        elsewhere: BTreeSet::new(),
    }
}

/// Recorded on Linux 6.18: a server on 127.0.0.1:7101 (inode 4321), a client's connection to it (4400) and the server's end
/// (4401), one that the client closed and one that the server closed.
const RECORDED: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:1BBD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4321 1 00000000a378ebaa 100 0 0 10 0                      
   1: 0100007F:8E8A 0100007F:1BBD 01 00000000:00000000 00:00000000 00000000  1000        0 4400 1 00000000b8a9c1d2 20 4 30 10 -1                     
   2: 0100007F:1BBD 0100007F:8E8A 01 00000000:00000000 00:00000000 00000000     0        0 4401 1 00000000e4f5a6b7 20 4 0 10 -1                      
   3: 0100007F:8E8C 0100007F:1BBD 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000                                      
   4: 0100007F:1BBD 0100007F:8E90 06 00000000:00000000 03:00000B2C 00000000     0        0 0 3 0000000000000000                                      
";

#[cfg(target_endian = "little")]
#[test]
fn the_end_whose_port_nobody_listens_on_calls_the_other() {
    let namespaces = [namespace(RECORDED, "", &[])];
    let all = calls(&namespaces, &Remote::default(), &[(4321, 1), (4400, 0), (4401, 1)]);
    assert_eq!(all, found(&[(0, 1)], &[1]));
    // A client that is not watched calls, but is nobody; one that has ended is missed.
    let unknown = calls(&namespaces, &Remote::default(), &[(4321, 1)]);
    assert_eq!(unknown, found(&[], &[1]));
    assert_eq!(calls(&namespaces, &Remote::default(), &[(4400, 0)]), found(&[], &[]));
    assert_eq!(calls(&namespaces, &Remote::default(), &[(4321, 1), (4400, 1)]), found(&[], &[1]));
}

#[test]
fn a_listener_on_all_addresses_is_reached_by_any_and_one_on_that_address_goes_before() {
    let v4 = table(&[
        ("0.0.0.0:80", "0.0.0.0:0", 0x0A, 10),
        ("10.0.0.7:80", "0.0.0.0:0", 0x0A, 11),
        ("127.0.0.1:40000", "127.0.0.1:80", 1, 20),
        ("10.0.0.7:40001", "10.0.0.7:80", 4, 21),
        ("127.0.0.1:40002", "127.0.0.1:81", 8, 22),
    ]);
    let v6 = table(&[
        ("[::]:81", "[::]:0", 0x0A, 12),
        ("[::ffff:127.0.0.1]:40003", "[::ffff:127.0.0.1]:80", 2, 23),
        ("[::1]:40004", "[::1]:81", 1, 24),
    ]);
    let namespaces = [namespace(&v4, &v6, &["10.0.0.7"])];
    let servers = [(10, 0), (11, 1), (12, 2)];
    for (client, server) in [(20, 0), (21, 1), (22, 2), (23, 0), (24, 2)] {
        let owners = [&servers[..], &[(client, 9)]].concat();
        assert_eq!(calls(&namespaces, &Remote::default(), &owners), found(&[(9, server)], &[]), "{client}");
    }
}

#[test]
fn what_is_watched_elsewhere_is_called_by_its_address_or_as_the_only_one_of_its_machine() {
    let v4 = table(&[
        ("0.0.0.0:80", "0.0.0.0:0", 0x0A, 10),
        ("10.0.0.7:40000", "10.0.0.8:9100", 1, 20),
        ("10.0.0.7:40001", "10.0.0.8:5432", 1, 21),
        ("10.0.0.7:40002", "10.0.0.9:1", 1, 22),
        ("10.0.0.7:40003", "10.0.0.9:5432", 1, 23),
        ("10.0.0.7:80", "10.0.0.8:55555", 1, 24),
        ("10.0.0.7:80", "10.0.0.9:55555", 1, 25),
    ]);
    let namespaces = [namespace(&v4, "", &["10.0.0.7"])];
    let mut remote = Remote::default();
    for (at, component) in [("10.0.0.8:9100", 5), ("10.0.0.9:1", 6), ("10.0.0.9:2", 7)] {
        remote.add(at.parse().unwrap(), component);
    }
    for (client, expected) in [(20, Some(5)), (21, Some(5)), (22, Some(6)), (23, None)] {
        let expected: Vec<_> = expected.map(|callee| (0, callee)).into_iter().collect();
        assert_eq!(calls(&namespaces, &remote, &[(client, 0)]), found(&expected, &[]), "{client}");
    }
    // Who calls from a machine with two components is not known.
    assert_eq!(calls(&namespaces, &remote, &[(10, 1), (24, 1), (25, 1)]), found(&[(5, 1)], &[]));
}

#[test]
fn in_a_namespace_of_its_own_a_component_is_known_without_its_process_even_when_the_connection_has_ended() {
    let api = table(&[
        ("0.0.0.0:80", "0.0.0.0:0", 0x0A, 10),
        ("10.1.0.2:40000", "10.1.0.3:80", 6, 0),
        ("127.0.0.1:40001", "127.0.0.1:80", 6, 0),
    ]);
    let orders = table(&[
        ("0.0.0.0:80", "0.0.0.0:0", 0x0A, 30),
        ("10.1.0.3:80", "10.1.0.4:40000", 6, 0),
        // By the address of a service, which is none of ours.
        ("10.1.0.3:40000", "10.96.0.1:443", 1, 31),
    ]);
    let web = table(&[]);
    let mut namespaces = [
        namespace("", "", &[]),
        namespace(&api, "", &["10.1.0.2"]),
        namespace(&orders, "", &["10.1.0.3"]),
        namespace(&web, "", &["10.1.0.4"]),
    ];
    for (at, component) in [(1, 0), (2, 1), (3, 2)] {
        namespaces[at].sole = Some(component);
    }
    assert_eq!(calls(&namespaces, &Remote::default(), &[]), found(&[(0, 1), (2, 1)], &[]));
}

mod any {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_table_makes_it_panic_and_nobody_calls_itself(
            ends in prop::collection::vec((0..4u8, 0..5u16, 0..4u8, 0..5u16, 0..12u8, 0..9u64), 0..30),
            sole in prop::option::of(0..3usize),
        ) {
            let at = |ip: u8, port: u16| format!("10.0.0.{ip}:{port}");
            let lines: Vec<_> = ends.iter().map(|e| (at(e.0, e.1), at(e.2, e.3), e.4, e.5)).collect();
            let lines: Vec<_> = lines.iter().map(|(a, b, state, inode)| (a.as_str(), b.as_str(), *state, *inode)).collect();
            let mut namespaces = [
                namespace(&table(&lines), "", &["10.0.0.1"]),
                namespace(&table(&lines), "", &["10.0.0.2"]),
            ];
            namespaces[1].sole = sole;
            let owner = |inode: u64| inode.is_multiple_of(2).then_some(inode as usize % 3);
            let mut remote = Remote::default();
            remote.add("10.0.0.3:2".parse().unwrap(), 1);
            let found = Scene { namespaces: &namespaces, remote: &remote, owner: &owner }.calls();
            prop_assert!(found.calls.iter().all(|(from, to)| from != to));
        }
    }
}
