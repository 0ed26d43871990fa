//! `/proc/net/tcp` and `/proc/net/tcp6`: the socket tables (kernel documentation, networking/proc_net_tcp).

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use larnax_collect::host::parse::{fields, lines, number};

/// Listening sockets stand first in the tables, so the limit cuts off connections only.
pub(crate) const MAX_TABLE: usize = 4 << 20;
/// The state of a listening socket (this and the next as in the kernel's tcp_states.h).
pub(crate) const LISTEN: u8 = 0x0A;
/// The state of a connection that has ended on this side, and is kept so that late packets find nothing else.
pub(crate) const TIME_WAIT: u8 = 0x06;
/// The state of a connection that somebody has begun to open to this side.
pub(crate) const SYN_RECV: u8 = 0x03;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
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

/// A line of a table: a listening socket or one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// This end.
    pub(crate) local: SocketAddr,
    /// The other end.
    pub(crate) remote: SocketAddr,
    /// As the kernel numbers it.
    pub(crate) state: u8,
    /// Its number, by which its owner is found; 0 when no process has it any more.
    pub(crate) inode: u64,
}

/// The table's text as far as the limit; empty when it can't be read.
pub(super) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is as good as what it would have been with a lower limit.
        let _ = file.take(MAX_TABLE as u64).read_to_end(&mut bytes);
    }
    bytes
}

/// The listening sockets of a table.
pub(super) fn listening(table: &[u8], family: Family) -> impl Iterator<Item = Socket> {
    rows(table, family)
        .filter(|row| row.state == LISTEN)
        .map(|row| Socket { addr: row.local, inode: row.inode })
}

/// The lines of a table. Those that make no sense are left out.
pub(crate) fn rows(table: &[u8], family: Family) -> impl Iterator<Item = Row> {
    lines(table).filter_map(move |line| {
        let mut fields = fields(line);
        let local = address(fields.nth(1)?, family)?;
        let remote = address(fields.next()?, family)?;
        let state = fields.next().and_then(hex)?.try_into().ok()?;
        let inode = fields.nth(5).and_then(number)?;
        Some(Row { local, remote, state, inode })
    })
}

/// As in `0100007F:1F90`: words of 32 bits as the machine has them in memory, then the port.
fn address(text: &[u8], family: Family) -> Option<SocketAddr> {
    let (ip, port) = text.split_at(text.iter().position(|byte| *byte == b':')?);
    let port = hex(port.get(1..)?)?.try_into().ok()?;
    let word = |at: usize| ip.get(at * 8..at * 8 + 8).and_then(hex).map(u32::to_ne_bytes);
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

/// A number of up to 32 bits in hexadecimal, without a sign.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
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
        let found: Vec<_> = listening(table.as_bytes(), Family::V4).collect();
        assert_eq!(found, [Socket { addr: "127.0.0.1:8080".parse().unwrap(), inode: 637 }]);
        let connection = rows(table.as_bytes(), Family::V4).nth(1).unwrap();
        let ends = ["127.0.0.1:8081", "127.0.0.1:39321"].map(|end| end.parse().unwrap());
        assert_eq!(connection, Row { local: ends[0], remote: ends[1], state: 1, inode: 638 });
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn words_of_an_ipv6_address_are_in_the_machines_order() {
        let addr = address(b"B80D0120000000000000000001000000:0050", Family::V6);
        assert_eq!(addr, Some("[2001:db8::1]:80".parse().unwrap()));
        assert_eq!(address(b"0100007F:0050", Family::V6), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: Vec<u8>, near in "([0-9A-Fa-f]{7,9}|[0-9A-F]{32}|:| |0A|é|\n){0,40}") {
            for family in [Family::V4, Family::V6] {
                rows(&text, family).count();
                rows(near.as_bytes(), family).count();
                address(near.as_bytes(), family);
            }
        }
    }
}
