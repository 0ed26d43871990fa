//! What a process costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU and memory of one process over a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time per second of wall-clock time, user and system, in milliseconds.
    pub(crate) cpu_ms_per_second: f64,
    /// Resident memory at the end, in KiB, pages of files included.
    pub(crate) resident_kib: u64,
    /// The same with shared pages divided by how many share them.
    pub(crate) proportional_kib: u64,
}

/// A window that has begun.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    began: Instant,
    cpu: Duration,
}

impl Meter {
    /// Begins a window of process `pid`.
    pub(crate) fn begin(pid: u32) -> Result<Meter> {
        Ok(Meter { pid, began: Instant::now(), cpu: cpu_time(pid)? })
    }

    /// What the process cost since then.
    pub(crate) fn end(&self) -> Result<Cost> {
        let (cpu, wall) = (cpu_time(self.pid)? - self.cpu, self.began.elapsed());
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            value.with_context(|| format!("no {name} in smaps_rollup"))
        };
        Ok(Cost {
            cpu_ms_per_second: cpu.as_secs_f64() * 1000.0 / wall.as_secs_f64(),
            resident_kib: field("Rss:")?,
            proportional_kib: field("Pss:")?,
        })
    }
}

/// The CPU time of all threads of a process, those that have ended included, by its CPU-time clock, in
/// nanoseconds. `/proc/PID/stat` counts in ticks of 10 ms, which is a tenth of a percent of a window of two
/// minutes for Prometheus, but all of it for a program that uses 0.1 ms per second;
/// `/proc/PID/task/*/schedstat` forgets threads that have ended.
fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?));
    let time = clock.and_then(ClockId::now).with_context(|| format!("the CPU time of process {pid}"))?;
    Ok(Duration::from(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_still_counts() {
        let meter = Meter::begin(std::process::id()).unwrap();
        let burnt = Duration::from_millis(2);
        let thread = std::thread::spawn(move || {
            let began = cpu_time(std::process::id()).unwrap();
            while cpu_time(std::process::id()).unwrap() - began < burnt {}
        });
        thread.join().unwrap();
        assert!(cpu_time(std::process::id()).unwrap() - meter.cpu >= burnt);
        assert!(meter.end().unwrap().resident_kib > 0);
    }
}
