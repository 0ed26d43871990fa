//! The least change of each metric that is worth anybody's attention.
//!
//! A machine that idles has tiny deviations: fifteen megabytes or five connections more are far outside what was learnt,
//! and of no interest. These are judgements, not fits: about what a person would call "a bit of load" on the smallest
//! machine that Larnax runs on (one core, 512 MiB).

/// The first part of a name, the last one, and the least change in the metric's own unit. What comes first wins.
const LEAST: [(&str, &str, f64); 42] = [
    // A twentieth of a processor.
    ("cpu", "", 0.05),
    ("load", "", 0.5),
    ("procs", "context_switches", 500.0),
    ("procs", "interrupts", 500.0),
    ("procs", "softirqs", 500.0),
    ("procs", "forks", 10.0),
    ("procs", "running", 2.0),
    ("procs", "blocked", 2.0),
    ("procs", "threads", 20.0),
    // Where the size of the memory or disk is known, a hundredth of it.
    ("mem", "percent", 1.0),
    ("mem", "swap_percent", 1.0),
    ("mem", "", 16e6),
    ("disk-usage", "percent", 1.0),
    ("disk-usage", "inodes_percent", 1.0),
    ("disk-usage", "", 64e6),
    // Pages per second; pgpgin and pgpgout are in kB.
    ("vm", "pgfault", 1_000.0),
    ("vm", "pgmajfault", 10.0),
    ("vm", "pgpgin", 256.0),
    ("vm", "pgpgout", 256.0),
    ("vm", "pswpin", 10.0),
    ("vm", "pswpout", 10.0),
    ("vm", "", 0.0),
    // Of each second, a fiftieth lost.
    ("psi", "", 0.02),
    ("disk-io", "read_bytes", 256e3),
    ("disk-io", "write_bytes", 256e3),
    ("disk-io", "read_ops", 10.0),
    ("disk-io", "write_ops", 10.0),
    ("disk-io", "", 0.05),
    ("net", "rx_bytes", 64e3),
    ("net", "tx_bytes", 64e3),
    ("net", "rx_packets", 50.0),
    ("net", "tx_packets", 50.0),
    // Segments per second, and everything else that counts connections.
    ("tcp", "in_segments", 50.0),
    ("tcp", "out_segments", 50.0),
    ("tcp", "", 5.0),
    ("udp", "", 20.0),
    ("sockets", "", 10.0),
    ("files", "open", 100.0),
    ("files", "percent", 1.0),
    ("cgroup", "cpu", 0.05),
    ("cgroup", "memory", 16e6),
    ("proc", "rss", 16e6),
];

/// The least change of the metric `name`; 0 where nothing is known: errors, drops, kills.
pub(super) fn least(name: &str) -> f64 {
    let first = name.split('/').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let known = LEAST.iter().find(|(f, l, _)| *f == first && (l.is_empty() || *l == last));
    known.map_or(0.0, |(.., least)| *least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_change_depends_on_the_kind_of_metric() {
        for (name, expected) in [
            ("cpu/0/user", 0.05),
            ("mem/percent", 1.0),
            ("mem/used", 16e6),
            ("vm/oom_kill", 0.0),
            ("net/eth0/rx_bytes", 64e3),
            ("net/eth0/rx_errors", 0.0),
            ("disk-io/all/queue", 0.05),
            ("no/such", 0.0),
        ] {
            assert_eq!(least(name), expected, "{name}");
        }
    }
}
