//! `/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/sockstat`: TCP and UDP of the whole machine.

use std::time::Duration;

use super::file::{Buffer, KeptFile};
use super::parse::{fields, lines, number};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// What is wanted of one protocol: the label of its lines, and for each value the key, the metric and its kind.
struct Protocol {
    label: &'static str,
    wanted: &'static [(&'static str, &'static str, Kind)],
}

struct Table {
    protocol: &'static Protocol,
    slots: Vec<Slot>,
    /// The headings, and for each wanted key its column, as in the last read.
    header: Vec<u8>,
    columns: Vec<Option<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Level,
}
use Kind::{Level, Rate};

/// RFC 4022 and RFC 4113 name these counters.
static SNMP: [Protocol; 2] = [
    Protocol {
        label: "Tcp",
        wanted: &[
            ("ActiveOpens", "tcp/active_opens", Rate),
            ("PassiveOpens", "tcp/passive_opens", Rate),
            ("AttemptFails", "tcp/attempt_fails", Rate),
            ("EstabResets", "tcp/resets", Rate),
            ("CurrEstab", "tcp/established", Level),
            ("InSegs", "tcp/in_segments", Rate),
            ("OutSegs", "tcp/out_segments", Rate),
            ("RetransSegs", "tcp/retransmits", Rate),
            ("InErrs", "tcp/in_errors", Rate),
            ("OutRsts", "tcp/out_resets", Rate),
        ],
    },
    Protocol {
        label: "Udp",
        wanted: &[
            ("InDatagrams", "udp/in_datagrams", Rate),
            ("OutDatagrams", "udp/out_datagrams", Rate),
            ("NoPorts", "udp/no_ports", Rate),
            ("InErrors", "udp/in_errors", Rate),
            ("RcvbufErrors", "udp/receive_buffer_errors", Rate),
            ("SndbufErrors", "udp/send_buffer_errors", Rate),
        ],
    },
];

/// Linux' own counters.
static NETSTAT: [Protocol; 1] = [Protocol {
    label: "TcpExt",
    wanted: &[
        ("ListenOverflows", "tcp/listen_overflows", Rate),
        ("ListenDrops", "tcp/listen_drops", Rate),
        ("TCPTimeouts", "tcp/timeouts", Rate),
        ("TCPSynRetrans", "tcp/syn_retransmits", Rate),
        ("TCPMemoryPressures", "tcp/memory_pressures", Rate),
        ("TCPAbortOnMemory", "tcp/aborts_on_memory", Rate),
    ],
}];

/// Reads a file in which a line of headings is followed by a line of values.
pub(super) struct CountersReader {
    file: KeptFile,
    period: Duration,
    tables: Vec<Table>,
}

impl CountersReader {
    /// `/proc/net/snmp`: counters of events as `/proc/vmstat`, and as seldom.
    pub(super) fn snmp(roots: &Roots) -> Self {
        Self::new(KeptFile::new(roots.net("snmp")), Duration::from_secs(1), &SNMP)
    }

    /// `/proc/net/netstat`: the kernel sums some 140 counters over all CPUs for the few that are wanted, so it is read
    /// every 2 s.
    pub(super) fn netstat(roots: &Roots) -> Self {
        Self::new(KeptFile::new(roots.net("netstat")), Duration::from_secs(2), &NETSTAT)
    }

    fn new(file: KeptFile, period: Duration, protocols: &'static [Protocol]) -> Self {
        let table = |protocol| Table { protocol, slots: Vec::new(), header: Vec::new(), columns: Vec::new() };
        Self { file, period, tables: protocols.iter().map(table).collect() }
    }
}

impl Reader for CountersReader {
    fn period(&self) -> Duration {
        self.period
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        let bytes = self.file.read(buffer).unwrap_or_default();
        for table in &mut self.tables {
            let found = table.locate(bytes).is_some();
            let slots =
                table.protocol.wanted.iter().zip(&table.columns).map(|((_, name, _), column)| match column {
                    Some(_) if found => names.add(name),
                    _ => Slot::NONE,
                });
            table.slots = slots.collect();
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        for table in &mut self.tables {
            let Some(line) = table.locate(bytes) else { continue };
            for (column, text) in fields(line).enumerate() {
                let wanted = table.columns.iter().position(|place| *place == Some(column));
                let Some((at, value)) = wanted.zip(number(text)) else { continue };
                let (Some(slot), Some((_, _, kind))) = (table.slots.get(at), table.protocol.wanted.get(at))
                else {
                    continue;
                };
                match kind {
                    Rate => slots.rate(*slot, value, 1.0),
                    Level => slots.set(*slot, value as f64),
                }
            }
        }
    }
}

impl Table {
    /// The line of values (without its label); the columns are found anew when the headings have changed.
    fn locate<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut mine = lines(bytes)
            .filter_map(|line| line.strip_prefix(self.protocol.label.as_bytes())?.strip_prefix(b":"));
        let (header, values) = (mine.next()?, mine.next()?);
        if self.header != header {
            self.header = header.to_owned();
            let column = |key: &str| fields(header).position(|heading| heading == key.as_bytes());
            self.columns = self.protocol.wanted.iter().map(|(key, ..)| column(key)).collect();
        }
        Some(values)
    }
}

/// Protocol, key and metric of `/proc/net/sockstat` (IPv4). `mem` is in pages; it is told as it is, because only its
/// course matters.
const SOCKETS: [(&str, &str, &str); 9] = [
    ("sockets:", "used", "sockets/used"),
    ("TCP:", "inuse", "sockets/tcp_inuse"),
    ("TCP:", "orphan", "sockets/tcp_orphan"),
    ("TCP:", "tw", "sockets/tcp_timewait"),
    ("TCP:", "alloc", "sockets/tcp_alloc"),
    ("TCP:", "mem", "sockets/tcp_mem_pages"),
    ("UDP:", "inuse", "sockets/udp_inuse"),
    ("UDP:", "mem", "sockets/udp_mem_pages"),
    ("FRAG:", "memory", "sockets/fragment_memory"),
];

/// Reads `/proc/net/sockstat`.
pub(super) struct SocketsReader {
    file: KeptFile,
    slots: [Slot; SOCKETS.len()],
}

impl SocketsReader {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { file: KeptFile::new(roots.net("sockstat")), slots: [Slot::NONE; SOCKETS.len()] }
    }
}

impl Reader for SocketsReader {
    /// Numbers of sockets that are leaked or exhausted grow over seconds.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.slots = [Slot::NONE; SOCKETS.len()];
        let Some(bytes) = self.file.read(buffer) else { return };
        for (at, _) in levels(bytes) {
            self.slots[at] = names.add(SOCKETS[at].2);
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        for (at, level) in levels(bytes) {
            slots.set(self.slots[at], level as f64);
        }
    }
}

/// Places in [`SOCKETS`] and their values, as they stand in the file.
fn levels(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    lines(bytes).flat_map(|line| {
        let mut line = fields(line);
        let protocol = line.next().unwrap_or_default();
        std::iter::from_fn(move || Some((line.next()?, line.next()?))).filter_map(move |(key, value)| {
            let wanted = |(p, k, _): &(&str, &str, &str)| p.as_bytes() == protocol && k.as_bytes() == key;
            Some((SOCKETS.iter().position(wanted)?, number(value)?))
        })
    })
}
