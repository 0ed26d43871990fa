//! What goes over the network of a cluster: all frames on the bridge that joins its pods, by who talks to whom.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use larnax_test_kubernetes::BRIDGE;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::cargo;

/// As much of a frame as its headers may take.
const HEADERS: usize = 14 + 60 + 60;
const ETHERNET: usize = 14;
/// What of IP and above a frame on a wire has room for. Between pods of one machine the kernel cuts nothing into frames.
const ROOM: usize = 1500;
/// What waits to be read when a burst comes, in bytes.
const BUFFER: usize = 8 << 20;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Who asks whom where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) client: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    pub(super) port: u16,
}

/// What went over the wire, in bytes of Ethernet frames without their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) to_server: u64,
    pub(super) to_client: u64,
    pub(super) frames: u64,
    /// Of TCP, that were opened.
    pub(super) connections: u64,
}

impl Count {
    pub(super) fn bytes(self) -> u64 {
        self.to_server + self.to_client
    }

    pub(super) fn add(&mut self, other: Count) {
        self.to_server += other.to_server;
        self.to_client += other.to_client;
        self.frames += other.frames;
        self.connections += other.connections;
    }

    fn since(self, before: Count) -> Count {
        Count {
            to_server: self.to_server - before.to_server,
            to_client: self.to_client - before.to_client,
            frames: self.frames - before.frames,
            connections: self.connections - before.connections,
        }
    }
}

pub(super) type Flows = BTreeMap<Flow, Count>;

/// Counts from its start until it is dropped.
#[derive(Debug)]
pub(super) struct Wire {
    flows: Arc<Mutex<Flows>>,
    ended: Arc<AtomicBool>,
    counting: Option<JoinHandle<()>>,
}

impl Wire {
    /// # Errors
    /// Where there is no cluster with nodes, or this is not root.
    pub(super) fn start() -> Result<Wire> {
        // So that the bridge shows also what it passes on from pod to pod.
        cargo::run(Command::new("ip").args(["link", "set", "dev", BRIDGE, "promisc", "on"]))?;
        let index = std::fs::read_to_string(format!("/sys/class/net/{BRIDGE}/ifindex"))?;
        let index: usize = index.trim().parse()?;
        let taps = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll);
        let tap = taps.context("frames can't be seen")?;
        setsockopt(&tap, sockopt::ReceiveTimeout, &TimeVal::new(0, 200_000))?;
        setsockopt(&tap, sockopt::RcvBufForce, &BUFFER)?;
        let (flows, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (counted, until) = (Arc::clone(&flows), Arc::clone(&ended));
        let counting = thread::spawn(move || count(&tap, index, &counted, &until));
        Ok(Wire { flows, ended, counting: Some(counting) })
    }

    /// What was counted until now.
    pub(super) fn flows(&self) -> Flows {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(counting) = self.counting.take() {
            let _ = counting.join();
        }
    }
}

/// What was added.
pub(super) fn since(now: &Flows, before: &Flows) -> Flows {
    let added = now.iter().map(|(flow, count)| {
        let before = before.get(flow).copied().unwrap_or_default();
        (*flow, count.since(before))
    });
    added.filter(|(_, count)| count.frames > 0).collect()
}

fn count(tap: &OwnedFd, index: usize, flows: &Mutex<Flows>, ended: &AtomicBool) {
    let mut frame = [0; HEADERS];
    while !ended.load(Relaxed) {
        match recvfrom::<LinkAddr>(tap.as_raw_fd(), &mut frame) {
            Ok((length, Some(from))) if from.ifindex() == index => {
                if let Some((flow, count)) = seen(&frame[..length]) {
                    flows.lock().unwrap_or_else(PoisonError::into_inner).entry(flow).or_default().add(count);
                }
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Of a frame of TCP or UDP over IPv4, of which the headers are there.
fn seen(frame: &[u8]) -> Option<(Flow, Count)> {
    let ip = frame.get(ETHERNET..)?;
    if frame[12..14] != [0x08, 0x00] || ip.len() < 20 || ip[0] >> 4 != 4 {
        return None;
    }
    let (total, ip_header) = (usize::from(number(ip, 2)?), usize::from(ip[0] & 0x0f) * 4);
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
    let (from, to, above) = (address(12), address(16), ip.get(ip_header..)?);
    let (header, opens) = match ip[9] {
        TCP => (usize::from(above.get(12)? >> 4) * 4, above.get(13)? & (SYN | ACK) == SYN),
        UDP => (8, false),
        _ => return None,
    };
    // Longer than a frame on a wire: there it would be several, each with headers of its own.
    let headers = ip_header + header;
    let content = total.saturating_sub(headers);
    let frames = content.div_ceil(ROOM.saturating_sub(headers).max(1)).max(1);
    let bytes = (frames * (ETHERNET + headers) + content) as u64;
    let (from_port, to_port) = (number(above, 0)?, number(above, 2)?);
    // Ports that are given to clients are the higher ones.
    let asks = to_port <= from_port;
    let flow = if asks {
        Flow { client: from, server: to, port: to_port }
    } else {
        Flow { client: to, server: from, port: from_port }
    };
    let count = Count {
        to_server: if asks { bytes } else { 0 },
        to_client: if asks { 0 } else { bytes },
        frames: frames as u64,
        connections: opens.into(),
    };
    Some((flow, count))
}

/// Two bytes, the higher one first.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [u8; 4] = [10, 213, 1, 11];
    const SERVER: [u8; 4] = [10, 213, 2, 12];

    fn frame(protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16), content: usize, flags: u8) -> Vec<u8> {
        let header = if protocol == TCP { 20 } else { 8 };
        let mut frame = vec![0; ETHERNET];
        frame[12..].copy_from_slice(&[0x08, 0x00]);
        let [high, low] = ((20 + header + content) as u16).to_be_bytes();
        frame.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(from.0.iter().chain(&to.0));
        frame.extend(from.1.to_be_bytes().into_iter().chain(to.1.to_be_bytes()));
        if protocol == TCP {
            frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags]);
        }
        frame.resize(HEADERS, 0);
        frame
    }

    #[test]
    fn both_ways_of_a_connection_are_one_flow_and_its_opening_is_counted_once() {
        let there = seen(&frame(TCP, (CLIENT, 40_000), (SERVER, 8080), 0, SYN)).unwrap();
        let back = seen(&frame(TCP, (SERVER, 8080), (CLIENT, 40_000), 100, SYN | ACK)).unwrap();
        assert_eq!(there.0, Flow { client: CLIENT.into(), server: SERVER.into(), port: 8080 });
        assert_eq!(there.0, back.0);
        assert_eq!(there.1, Count { to_server: 54, to_client: 0, frames: 1, connections: 1 });
        assert_eq!(back.1, Count { to_server: 0, to_client: 154, frames: 1, connections: 0 });
    }

    #[test]
    fn what_the_kernel_would_cut_into_frames_on_a_wire_has_the_headers_of_each() {
        let (_, count) = seen(&frame(TCP, (CLIENT, 40_000), (SERVER, 8080), 3_000, ACK)).unwrap();
        assert_eq!((count.frames, count.to_server), (3, 3 * 54 + 3_000));
        let (_, count) = seen(&frame(UDP, (CLIENT, 40_000), (SERVER, 53), 40, 0)).unwrap();
        assert_eq!((count.frames, count.to_server), (1, 14 + 20 + 8 + 40));
    }

    #[test]
    fn what_is_no_traffic_of_pods_or_breaks_off_is_left_out() {
        let whole = frame(TCP, (CLIENT, 40_000), (SERVER, 8080), 0, ACK);
        for length in 0..ETHERNET + 20 + 14 {
            assert_eq!(seen(&whole[..length]), None, "{length}");
        }
        let mut other = whole;
        other[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(seen(&other), None);
    }

    #[test]
    fn of_two_looks_the_difference_remains() {
        let flow = Flow { client: CLIENT.into(), server: SERVER.into(), port: 8080 };
        let count = |bytes| Count { to_server: bytes, frames: bytes, ..Count::default() };
        let flows = |bytes| Flows::from([(flow, count(bytes))]);
        assert_eq!(since(&flows(5), &flows(3)), flows(2));
        assert_eq!(since(&flows(5), &flows(5)), Flows::new());
    }
}
