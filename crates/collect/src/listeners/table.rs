//! `/proc/net/tcp` and `/proc/net/tcp6`: the socket tables (kernel documentation, networking/proc_net_tcp).

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Listening sockets stand first in the tables, so the limit cuts off connections only.
const MAX_TABLE: u64 = 4 << 20;
/// The state of a listening socket (TCP_LISTEN in the kernel's tcp_states.h).
const LISTEN: &str = "0A";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// Where it listens.
    pub(super) addr: SocketAddr,
    /// Its number, by which its owner is found.
    pub(super) inode: u64,
}

/// The table's text as far as the limit; empty when it can't be read.
pub(super) fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is as good as what it would have been with a lower limit.
        let _ = file.take(MAX_TABLE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The listening sockets of a table. Lines that make no sense are left out.
pub(super) fn listening(table: &str, family: Family) -> impl Iterator<Item = Socket> {
    table.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        if fields.nth(1)? != LISTEN {
            return None;
        }
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Socket { addr: address(local, family)?, inode })
    })
}

/// As in `0100007F:1F90`: words of 32 bits as the machine has them in memory, then the port.
fn address(text: &str, family: Family) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits =
            ip.get(at * 8..at * 8 + 8).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match (family, ip.len()) {
        (Family::V4, 8) => Ipv4Addr::from(word(0)?).into(),
        (Family::V6, 32) => {
            let mut bytes = [0; 16];
            for (i, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(i)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn only_listening_sockets_are_taken() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 637 1 0 100\n\
            1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 638 1 0 100\n\
            2: 0100007F:1F9Z 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 639 1 0 100\n\
            3: 0100007F";
        let found: Vec<_> = listening(table, Family::V4).collect();
        assert_eq!(found, [Socket { addr: "127.0.0.1:8080".parse().unwrap(), inode: 637 }]);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn words_of_an_ipv6_address_are_in_the_machines_order() {
        let addr = address("B80D0120000000000000000001000000:0050", Family::V6);
        assert_eq!(addr, Some("[2001:db8::1]:80".parse().unwrap()));
        assert_eq!(address("0100007F:0050", Family::V6), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String, near in "([0-9A-Fa-f]{7,9}|[0-9A-F]{32}|:| |0A|é|\n){0,40}") {
            for family in [Family::V4, Family::V6] {
                listening(&text, family).count();
                listening(&near, family).count();
                address(&near, family);
            }
        }
    }
}
