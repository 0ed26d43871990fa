//! What procfs says of this process and of others.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// What this process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Of user and system together, since the start.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) open_files: f64,
    pub(crate) threads: f64,
}

/// What this process uses now; zeros for what the system doesn't say.
pub(crate) fn usage() -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
    // Without the one that reads the folder.
    let open_files = fs::read_dir("/proc/self/fd").map_or(0, |all| all.count().saturating_sub(1));
    Usage {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: pages * rustix::param::page_size() as f64,
        open_files: open_files as f64,
        threads: stat("self").and_then(|stat| stat.field(20)).unwrap_or_default() as f64,
    }
}

/// When a living process started, in clock ticks since the machine did; none when it is gone, or dead and not waited for.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = stat(&pid.to_string())?;
    if stat.is_dead() { None } else { stat.field(22) }
}

/// Seconds of a clock that is the same for all processes of this start of the machine, and that nobody sets.
pub(crate) fn clock() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// What tells this start of the machine from others: ticks alone would not.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Sends a signal; whether there was somebody to take it.
pub(crate) fn send(pid: u32, signal: Signal) -> bool {
    // Neither 0 (all of this group) nor what would be a group when negated.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Bytes that could be taken without anybody noticing, as the kernel estimates; none when it doesn't.
pub(crate) fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// `/proc/PID/stat` after the command's name, which may hold anything.
struct Stat(String);

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(Stat(rest.trim().to_owned()))
}

impl Stat {
    /// A number by its place in proc_pid_stat(5), at least 3.
    fn field(&self, number: usize) -> Option<u64> {
        self.0.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
    }

    fn is_dead(&self) -> bool {
        self.0.starts_with(['Z', 'X'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_has_started() {
        let usage = usage();
        assert!(usage.cpu_seconds > 0.0 && usage.resident_bytes > 1e5, "{usage:?}");
        assert!(usage.open_files >= 3.0 && usage.threads >= 1.0, "{usage:?}");
        assert!(started(std::process::id()).is_some_and(|ticks| ticks > 0));
        assert!(!boot().is_empty() && available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn who_is_not_there_has_no_start_and_takes_no_signal() {
        assert_eq!(started(u32::MAX), None);
        assert!(!send(u32::MAX, Signal::TERM) && !send(0, Signal::TERM) && !send(1, Signal::TERM));
    }

    #[test]
    fn a_dead_child_that_nobody_waited_for_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        assert!(started(child.id()).is_some());
        child.kill().unwrap();
        while started(child.id()).is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
    }
}
