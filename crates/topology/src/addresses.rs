//! The addresses that a network namespace has: `/proc/<pid>/net/fib_trie` and `/proc/<pid>/net/if_inet6`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use larnax_collect::host::parse::{fields, lines};

/// Addresses of one namespace at most.
const MAX_ADDRESSES: usize = 1024;

/// The IPv4 addresses of a `fib_trie`, without those of loopback: the leaves (`|-- 10.0.0.7`) that a line
/// `/32 host LOCAL` follows.
pub(super) fn of_fib_trie(bytes: &[u8], into: &mut BTreeSet<IpAddr>) {
    let mut leaf = None;
    for line in lines(bytes) {
        let mut fields = fields(line);
        match fields.next() {
            Some(b"|--") => {
                leaf =
                    fields.next().and_then(|text| std::str::from_utf8(text).ok()?.parse::<Ipv4Addr>().ok());
            }
            Some(b"/32") if fields.next() == Some(b"host") && fields.next() == Some(b"LOCAL") => {
                add(leaf.map(IpAddr::V4), into);
            }
            _ => {}
        }
    }
}

/// The IPv6 addresses of an `if_inet6`, without those of loopback: 32 digits at the start of each line.
pub(super) fn of_if_inet6(bytes: &[u8], into: &mut BTreeSet<IpAddr>) {
    for line in lines(bytes) {
        let digits = fields(line).next().filter(|digits| digits.len() == 32);
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let number = text.and_then(|text| u128::from_str_radix(text, 16).ok());
        add(number.map(|number| Ipv6Addr::from(number).into()), into);
    }
}

fn add(ip: Option<IpAddr>, into: &mut BTreeSet<IpAddr>) {
    if let Some(ip) = ip.filter(|ip| !ip.is_loopback() && into.len() < MAX_ADDRESSES) {
        into.insert(ip);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn local_addresses_are_the_leaves_that_are_of_the_host() {
        let trie = b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 127.0.0.0/8 2 0 2\n        \
            |-- 127.0.0.1\n              /32 host LOCAL\n     |-- 10.1.0.0\n        /24 link UNICAST\n     |-- 10.1.0.7\n        \
            /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n";
        let inet6 = b"00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000002 04 40 00 82     eth0\n";
        let mut found = BTreeSet::new();
        of_fib_trie(trie, &mut found);
        of_if_inet6(inet6, &mut found);
        let expected: Vec<IpAddr> = ["10.1.0.7", "fd00::2"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, near in "(\\|-- |/32 |host |LOCAL|10\\.0\\.0\\.1|[0-9a-f]{32}|\n){0,30}") {
            let mut found = BTreeSet::new();
            for bytes in [&bytes[..], near.as_bytes()] {
                of_fib_trie(bytes, &mut found);
                of_if_inet6(bytes, &mut found);
            }
        }
    }
}
