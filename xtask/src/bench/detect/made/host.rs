//! Half an hour of a real, quiet machine, with faults laid over it.

use std::io::Read as _;
use std::ops::Range;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

use super::noise::Noise;
use super::short;
use crate::cargo::root;

/// All host metrics of a quiet machine, every second; its README says where it comes from.
const RECORDING: &str = "crates/larnax/tests/fixtures/quiet-host.csv.gz";

/// The recording with faults.
pub(super) struct Host {
    pub(super) text: String,
    pub(super) rows: usize,
    pub(super) faults: Vec<Range<usize>>,
}

/// The first onset, the distance of onsets and how long a fault lasts, in rows: seconds.
const FIRST: usize = 400;
const EVERY: usize = 175;
const LASTS: usize = 30;

/// What each fault adds to which metrics.
const FAULTS: [&[(&str, f64)]; 8] = [
    &[
        ("cpu/user", 0.85),
        ("cpu/0/user", 0.85),
        ("cpu/1/user", 0.85),
        ("cpu/busy", 0.9),
        ("cpu/idle", -0.85),
        ("load/1", 1.5),
    ],
    &[
        ("mem/used", 1.5e9),
        ("mem/free", -1.5e9),
        ("mem/available", -1.5e9),
        ("mem/anon", 1.5e9),
        ("mem/percent", 6.0),
    ],
    &[
        ("disk-io/vda/write_bytes", 1.5e8),
        ("disk-io/all/write_bytes", 1.5e8),
        ("disk-io/vda/write_ops", 600.0),
        ("psi/io/some", 0.4),
    ],
    &[("procs/forks", 900.0), ("procs/context_switches", 9_000.0), ("cpu/system", 0.3), ("vm/pgfault", 9e4)],
    &[
        ("net/eth0/rx_bytes", 4e7),
        ("net/all/rx_bytes", 4e7),
        ("net/eth0/rx_packets", 3e4),
        ("cpu/softirq", 0.08),
    ],
    &[("tcp/retransmits", 40.0), ("tcp/timeouts", 12.0), ("tcp/syn_retransmits", 6.0)],
    &[("procs/blocked", 6.0), ("cpu/iowait", 0.45), ("disk-io/vda/queue", 8.0), ("disk-io/vda/io_time", 0.9)],
    &[("sockets/used", 4_000.0), ("files/open", 9_000.0), ("tcp/established", 3_900.0)],
];

/// The same rows each time.
pub(super) fn make() -> Result<Host> {
    let path = root().join(RECORDING);
    let mut recorded = String::new();
    let file = std::fs::File::open(&path).with_context(|| path.display().to_string())?;
    GzDecoder::new(file).read_to_string(&mut recorded).with_context(|| path.display().to_string())?;
    let mut lines = recorded.lines();
    let head = lines.next().with_context(|| format!("{RECORDING} is empty"))?;
    let columns: Vec<&str> = head.split(',').collect();
    let places = FAULTS.iter().map(|fault| {
        let place = |(name, by): &(&str, f64)| {
            let at = columns.iter().position(|column| column == name);
            Ok((at.with_context(|| format!("{RECORDING} has no {name}"))?, *by))
        };
        fault.iter().map(place).collect::<Result<Vec<_>>>()
    });
    let places: Vec<_> = places.collect::<Result<_>>()?;
    let faults: Vec<Range<usize>> =
        (0..FAULTS.len()).map(|i| FIRST + i * EVERY..FIRST + i * EVERY + LASTS).collect();
    let (mut noise, mut rows) = (Noise(29), 0);
    let mut text = format!("{head}\n");
    for line in lines {
        let fault = faults.iter().position(|fault| fault.contains(&rows));
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        for (at, by) in fault.and_then(|fault| places.get(fault)).into_iter().flatten() {
            let Some(cell) = cells.get_mut(*at) else { continue };
            if let Ok(value) = cell.parse::<f64>() {
                *cell = short((value + by * (1.0 + 0.1 * noise.normal())).max(0.0));
            }
        }
        text.push_str(&cells.join(","));
        text.push('\n');
        rows += 1;
    }
    Ok(Host { text, rows, faults })
}
