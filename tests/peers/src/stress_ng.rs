//! Real load.

use std::time::Duration;

use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;

/// How long stress-ng may take beyond its time to end its workers.
const GRACE: Duration = Duration::from_secs(15);

/// A running stress-ng. It ends by itself after its time, at the latest when dropped, and its workers with
/// it.
///
/// Load is felt by every other test of the machine: keep tests that need a quiet machine out of the same test
/// file (cargo runs files one after another, the tests of one file side by side).
///
/// ```no_run
/// use std::time::Duration;
///
/// use larnax_test_peers::{Peer, Peers, StressNg};
///
/// let Some(peers) = Peers::for_test(&[Peer::StressNg]) else { return };
/// StressNg::start(&peers, &["--cpu", "2"], Duration::from_secs(60)).finish();
/// ```
#[derive(Debug)]
pub struct StressNg {
    process: Process,
    time: Duration,
    _folder: TempDir,
}

impl StressNg {
    /// Starts stress-ng with `arguments` (such as `["--cpu", "2"]`) for `time`, in whole seconds.
    ///
    /// # Panics
    /// When it has not been fetched.
    pub fn start(peers: &Peers, arguments: &[&str], time: Duration) -> StressNg {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let mut command = peers.command(Peer::StressNg);
        command.args(arguments).arg("--timeout").arg(format!("{}s", time.as_secs()));
        command.arg("--temp-path").arg(folder.path());
        StressNg { process: Process::start("stress-ng", command, folder.path()), time, _folder: folder }
    }

    /// Waits until its time is over.
    ///
    /// # Panics
    /// When it doesn't end, or says that its load failed.
    pub fn finish(mut self) {
        let status = self.process.wait(self.time + GRACE);
        assert!(status.success(), "stress-ng failed with {status}:\n{}", self.process.output());
    }
}

impl Drop for StressNg {
    /// Asks it to end, because killed outright it could not end its workers.
    fn drop(&mut self) {
        self.process.terminate_or_kill(GRACE);
    }
}
