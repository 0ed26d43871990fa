//! Processes of this machine, as `/proc` shows them.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal, test_kill_process,
};

use crate::ActError;

/// Programs that are started for a change have its key in this variable.
pub(crate) const KEY: &str = "LARNAX_KEY";

/// As much of a process's environment is read.
const MAX_ENVIRONMENT: u64 = 1 << 20;

/// A pid file may be older than its process by so much: the clock ticks in hundredths, and the start of the machine is known to the
/// second.
const OLDER: Duration = Duration::from_secs(2);

/// A process that runs, or stands still. One that has ended and wasn't waited for is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// When it began, in clock ticks since the machine did. With the number, this names it for good.
    pub(crate) start: u64,
    /// Whether it was told to stand still.
    pub(crate) stopped: bool,
    /// The number of its process group's first process.
    pub(crate) group: i32,
}

impl Process {
    /// The one that has this number now.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, so what follows is looked for behind its last parenthesis (proc_pid_stat(5)).
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let start = fields.nth(16)?.parse().ok()?;
        let ended = matches!(state, "Z" | "X");
        (!ended).then_some(Self { pid, start, stopped: matches!(state, "T" | "t"), group })
    }

    /// Whether it is still the same and has not ended.
    pub(crate) fn lives(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.start == self.start)
    }

    /// Sends a signal to this process and to no other that may have got its number since. False if it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool, ActError> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(false) };
        // The handle is of whoever has the number now; if that is the one that was meant, it stays the one.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Some(handle),
            Err(Errno::SRCH) => return Ok(false),
            // Linux before 5.3, or a sandbox that doesn't know the call: then a number that changes hands in the next microseconds is a
            // risk that `kill` has always had.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => return Err(self.cant(error)),
        };
        if !self.lives() {
            return Ok(false);
        }
        let sent = match handle {
            Some(handle) => pidfd_send_signal(&handle, signal),
            None => kill_process(pid, signal),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(self.cant(error)),
        }
    }

    fn cant(&self, error: Errno) -> ActError {
        ActError::cannot(format!("the signal can't be sent to process {}: {error}", self.pid))
    }

    /// All that were started for a change, whoever's children they are now.
    pub(crate) fn started_for(key: &str) -> Vec<Self> {
        let wanted = format!("{KEY}={key}");
        let own = getpid().as_raw_nonzero().get();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| *pid != own && has_variable(*pid, wanted.as_bytes()))
            .filter_map(Self::find)
            .collect()
    }
}

fn has_variable(pid: i32, wanted: &[u8]) -> bool {
    let mut environment = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(MAX_ENVIRONMENT).read_to_end(&mut environment));
    read.is_ok() && environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

/// The process that a pid file names; none if it has ended. One that is younger than the file has only got the number since: an error,
/// because nobody can say then where the meant one is.
pub(crate) fn of_pid_file(path: &Path) -> Result<Option<Process>, ActError> {
    let mut text = String::new();
    let file = File::open(path).map_err(ActError::file(path, "read"))?;
    let written = file.metadata().and_then(|found| found.modified()).map_err(ActError::file(path, "read"))?;
    file.take(64).read_to_string(&mut text).map_err(ActError::file(path, "read"))?;
    let first = text.lines().next().unwrap_or_default().trim();
    let own = getpid().as_raw_nonzero().get();
    let pid = match first.parse::<i32>() {
        Ok(pid) if pid > 1 && pid != own => pid,
        Ok(pid) => {
            return Err(ActError::cannot(format!(
                "{} names process {pid}, which is the machine's or the agent's own; nothing is done to it",
                path.display()
            )));
        }
        Err(_) => {
            let found: String = first.chars().take(20).collect();
            return Err(ActError::cannot(format!(
                "{} holds `{found}`, expected the number of a process",
                path.display()
            )));
        }
    };
    // Where /proc hides the processes of others, one that isn't found may live all the same.
    if Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::PERM)) {
        return Err(ActError::cannot(format!(
            "process {pid} belongs to a user whose processes the agent may not signal"
        )));
    }
    let Some(process) = Process::find(pid) else { return Ok(None) };
    match began(&process) {
        Some(began) if began > written + OLDER => Err(ActError::cannot(format!(
            "process {pid} is younger than {}: it only got the number of the one that was meant; write the file anew",
            path.display()
        ))),
        _ => Ok(Some(process)),
    }
}

/// When a process began, by the wall clock.
fn began(process: &Process) -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let since_boot = Duration::from_millis(process.start.saturating_mul(1_000) / ticks);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot))?.checked_add(since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_lives() {
        let own = Process::find(getpid().as_raw_nonzero().get()).unwrap();
        assert!(own.lives() && !own.stopped);
        assert!(!Process { start: own.start + 1, ..own }.lives());
    }

    #[test]
    fn a_pid_file_that_names_no_process_of_a_service_is_refused_with_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let own = getpid().as_raw_nonzero().to_string();
        for (text, expected) in [
            ("1\n", "machine's"),
            ("-5", "machine's"),
            ("", "expected"),
            ("orders", "`orders`"),
            (&own, "agent's own"),
        ] {
            fs::write(&path, text).unwrap();
            let message = of_pid_file(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        fs::remove_file(&path).unwrap();
        assert!(of_pid_file(&path).unwrap_err().to_string().contains("can't be read"));
    }

    #[test]
    fn a_process_younger_than_its_pid_file_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, child.id().to_string()).unwrap();
        assert_eq!(of_pid_file(&path).unwrap().unwrap().pid, child.id() as i32);
        let before = SystemTime::now() - Duration::from_secs(3_600);
        File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        assert!(of_pid_file(&path).unwrap_err().to_string().contains("younger"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of_pid_file(&path).unwrap(), None);
    }
}
