//! `/proc/net/dev`: what each network interface receives and sends.

use std::path::PathBuf;

use super::file::{Buffer, KeptFile};
use super::parse::{fields, lines, name};
use super::reader::{Names, Reader, Roots, Slot, Slots};

/// What is told of an interface, per second, and its column in `/proc/net/dev`.
const FACTS: [(&str, usize); 8] = [
    ("rx_bytes", 0),
    ("rx_packets", 1),
    ("rx_errors", 2),
    ("rx_dropped", 3),
    ("tx_bytes", 8),
    ("tx_packets", 9),
    ("tx_errors", 10),
    ("tx_dropped", 11),
];
const COLUMNS: usize = 12;

/// The host's ends of containers' and virtual machines' interfaces. They come and go with those, and each would be a new
/// schema; their traffic also passes a bridge or a real interface, which are shown.
const ENDS: [&str; 7] = ["veth", "cali", "lxc", "vnet", "tap", "azv", "eni"];

struct Nic {
    label: Vec<u8>,
    slots: Option<[Slot; FACTS.len()]>,
    in_sum: bool,
}

/// Left out: what a machine says to itself is not its network, and whoever asks the agent for its page would change it.
const LOOPBACK: &str = "lo";

/// Reads `/proc/net/dev`. `net/all` is the sum of the interfaces with hardware behind them; where there is none (in a
/// container), of all that are shown.
pub(super) struct NetworkReader {
    file: KeptFile,
    classes: PathBuf,
    max_nics: usize,
    nics: Vec<Nic>,
    all: [Slot; FACTS.len()],
    changed: bool,
}

impl NetworkReader {
    pub(super) fn new(roots: &Roots, max_nics: usize) -> Self {
        Self {
            file: KeptFile::new(roots.net("dev")),
            classes: roots.sys.join("class/net"),
            max_nics,
            nics: Vec::new(),
            all: [Slot::NONE; FACTS.len()],
            changed: false,
        }
    }
}

impl Reader for NetworkReader {
    fn discover(&mut self, buffer: &mut Buffer, names: &mut Names) {
        self.changed = false;
        self.nics.clear();
        self.all = [Slot::NONE; FACTS.len()];
        let Some(bytes) = self.file.read(buffer) else { return };
        let mut found: Vec<(Vec<u8>, String, bool)> = Vec::new();
        for line in lines(bytes) {
            let Some((label, _)) = split(line) else { continue };
            let text = name(label);
            let hardware = self.classes.join(&text).join("device").exists();
            found.push((label.to_owned(), text, hardware));
        }
        let end = |text: &str| ENDS.iter().any(|kind| text.starts_with(kind));
        // Below the limit: first those with hardware, then the others in their order.
        let wanted = |i: &usize| found[*i].2 || !(end(&found[*i].1) || found[*i].1 == LOOPBACK);
        let mut ranked: Vec<usize> = (0..found.len()).filter(wanted).collect();
        ranked.sort_by_key(|&i| !found[i].2);
        names.refuse(FACTS.len() * ranked.len().saturating_sub(self.max_nics));
        ranked.truncate(self.max_nics);
        let any_hardware = ranked.iter().any(|&i| found[i].2);
        for (i, (label, text, hardware)) in found.into_iter().enumerate() {
            let show = ranked.contains(&i);
            let slots = show.then(|| FACTS.map(|(fact, _)| names.add(&format!("net/{text}/{fact}"))));
            let in_sum = show && (hardware || !any_hardware);
            self.nics.push(Nic { label, slots, in_sum });
        }
        if self.nics.iter().any(|nic| nic.in_sum) {
            self.all = FACTS.map(|(fact, _)| names.add(&format!("net/all/{fact}")));
        }
    }

    fn read(&mut self, buffer: &mut Buffer, slots: &mut Slots<'_>) {
        let Some(bytes) = self.file.read(buffer) else { return };
        let mut seen = 0;
        for line in lines(bytes) {
            let Some((label, mut counts)) = split(line) else { continue };
            let same = self.nics.get(seen).is_some_and(|nic| nic.label == label);
            let place = if same { Some(seen) } else { self.nics.iter().position(|nic| nic.label == label) };
            seen += 1;
            let Some(nic) = place.and_then(|place| self.nics.get(place)) else {
                self.changed = true;
                continue;
            };
            let Some(places) = nic.slots else { continue };
            let totals: [Option<u64>; COLUMNS] = std::array::from_fn(|_| counts.number());
            for ((slot, all), (_, column)) in places.into_iter().zip(self.all).zip(FACTS) {
                let Some(total) = totals[column] else { continue };
                slots.rate(slot, total, 1.0);
                if nic.in_sum {
                    slots.add(all, slot);
                }
            }
        }
        self.changed |= seen < self.nics.len();
    }

    fn changed(&mut self, _: &mut Buffer) -> bool {
        self.changed
    }
}

/// The interface and the rest of its line; `None` for the two lines of headings. Behind the colon may be no blank.
fn split(line: &[u8]) -> Option<(&[u8], super::parse::Fields<'_>)> {
    let colon = memchr::memchr(b':', line)?;
    let label = line.get(..colon)?.trim_ascii();
    let rest = line.get(colon + 1..)?;
    (!label.is_empty()).then(|| (label, fields(rest)))
}
