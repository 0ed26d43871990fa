//! A real systemd, as the manager of a user's services.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;
use crate::wait::eventually;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// A manager takes everything that shares its control group into a group of its own, which would be every program of
/// this machine: it gets a group that is empty. It also refuses where no systemd has booted the machine, which it
/// takes from a folder.
const BEGIN: &str = r#"
for root in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -w "$root/cgroup.procs" ] && mkdir -p "$root/$GROUP" && echo $$ > "$root/$GROUP/cgroup.procs"
done 2> /dev/null
grep -Eq "^(0:|[0-9]+:name=systemd):/$GROUP\$" /proc/self/cgroup || exit 77
exec unshare --mount sh -c '
    mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "$0" --user --log-target=console' "$SYSTEMD"
"#;
/// How it ends where there is no group to be had.
const NO_GROUP: i32 = 77;

/// A running systemd with units of its own.
///
/// ```no_run
/// use larnax_test_peers::{Peer, Peers, Systemd};
///
/// let Some(peers) = Peers::for_test(&[Peer::Systemd]) else { return };
/// let units = [("orders.service", "[Service]\nExecStart=/bin/sleep 60\n")];
/// let Some(systemd) = Systemd::start(&peers, &units) else { return };
/// systemd.order(&["start", "orders.service"]);
/// ```
#[derive(Debug)]
pub struct Systemd {
    process: Process,
    group: String,
    folder: TempDir,
}

impl Systemd {
    /// Starts one with these files of units, and waits until it takes orders. `None` after one line that says so where
    /// this user may not make control groups and mounts.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't become ready.
    pub fn start(peers: &Peers, units: &[(&str, &str)]) -> Option<Systemd> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let group = format!("larnax-test-{}-{number}", std::process::id());
        let shown = peers.root().join("usr/lib/systemd/user");
        let of_peers = peers.command(Peer::Systemd);
        let systemd = of_peers.get_program();
        let mut command = Command::new("sh");
        command
            .args(["-c", BEGIN])
            .envs(of_peers.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("SYSTEMD", systemd).env("GROUP", &group).env("XDG_RUNTIME_DIR", folder.path());
        command.env(
            "SYSTEMD_UNIT_PATH",
            format!("{}:{}", folder.path().join("units").display(), shown.display()),
        );
        let ours = Self::write(folder.path(), peers, units);
        ours.unwrap_or_else(|error| panic!("the files of systemd can't be written: {error}"));
        let process = Process::start("systemd", command, folder.path());
        let mut systemd = Systemd { process, group, folder };
        eventually("systemd to take orders or to end", START, || {
            (!systemd.process.is_running() || systemd.run(&["show", "--property=Version"]).status.success())
                .then_some(())
        });
        if systemd.process.is_running() {
            return Some(systemd);
        }
        let ended = systemd.process.wait(STOP);
        let thread = std::thread::current();
        let said = systemd.process.output();
        assert!(ended.code() == Some(NO_GROUP) || said.contains("unshare"), "systemd {ended}: {said}");
        // Not eprintln!: the test runner would swallow that of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT {} with systemd: this user can't give it control groups and mounts of its own",
            thread.name().unwrap_or("a test")
        );
        None
    }

    fn write(folder: &Path, peers: &Peers, units: &[(&str, &str)]) -> std::io::Result<()> {
        fs::create_dir(folder.join("units"))?;
        for (name, text) in units {
            fs::write(folder.join("units").join(name), text)?;
        }
        let systemctl = peers.root().join("bin/systemctl");
        let text = format!(
            "#!/bin/sh\nXDG_RUNTIME_DIR='{}' LD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
            folder.display(),
            peers.library_path().to_string_lossy(),
            systemctl.display()
        );
        fs::write(folder.join("systemctl"), text)?;
        fs::set_permissions(folder.join("systemctl"), fs::Permissions::from_mode(0o755))
    }

    /// A `systemctl` that speaks with this one; it must be called with `--user`.
    pub fn systemctl(&self) -> PathBuf {
        self.folder.path().join("systemctl")
    }

    /// Where the files of its units are.
    pub fn units(&self) -> PathBuf {
        self.folder.path().join("units")
    }

    /// Runs `systemctl --user` and returns what it printed.
    ///
    /// # Panics
    /// When it fails, with its words.
    pub fn order(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "systemctl {} failed: {words}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(self.systemctl()).arg("--user").args(arguments).output();
        output.unwrap_or_else(|error| panic!("systemctl can't be run: {error}"))
    }
}

impl Drop for Systemd {
    /// Ends it with all of its units, and takes its control groups away.
    fn drop(&mut self) {
        if self.process.is_running() {
            let _ = Command::new(self.systemctl()).args(["--user", "exit"]).output();
        }
        // SIGTERM would only make it start anew; asked to exit it does so when its units have ended.
        let asked = std::time::Instant::now();
        while self.process.is_running() && asked.elapsed() < STOP {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.kill();
        for root in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&root.path().join(&self.group));
        }
        remove_groups(&Path::new("/sys/fs/cgroup").join(&self.group));
    }
}

/// Takes away a control group with those in it. Files in them can't be taken away, and need not be.
fn remove_groups(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&inner.path());
        }
    }
    let _ = fs::remove_dir(group);
}
