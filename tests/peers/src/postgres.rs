//! A real PostgreSQL.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;

/// How long it may take until it accepts connections (usually half a second, after a crash a little more).
const START: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody else has taken the one that was free.
const ATTEMPTS: usize = 5;
/// The password of its user `postgres`.
const PASSWORD: &str = "a-password/of:tests@home";
/// The same, as a URL wants it.
const ENCODED: &str = "a-password%2Fof%3Atests%40home";

/// A running PostgreSQL with an empty database `postgres`, which keeps its promises (`fsync` is on). It asks its user
/// `postgres` for a password.
///
/// ```no_run
/// use larnax_test_peers::{Peer, Peers, Postgres};
///
/// let Some(peers) = Peers::for_test(&[Peer::Postgres, Peer::Initdb]) else { return };
/// let mut postgres = Postgres::start(&peers);
/// println!("psql {}", postgres.url());
///
/// postgres.stop(); // as a crash does
/// postgres.start_again(); // at the same address, with what it had committed
/// ```
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    settings: Vec<String>,
    peers: Peers,
    folder: TempDir,
}

impl Postgres {
    /// The password of its user `postgres`, which nothing may show.
    pub const PASSWORD: &str = PASSWORD;

    /// Starts a PostgreSQL and waits until it accepts connections.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't start.
    pub fn start(peers: &Peers) -> Postgres {
        Postgres::start_in(peers, new_folder(), Vec::new())
    }

    /// The same, with TLS offered, by a certificate and its key in PEM.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't start.
    pub fn start_with_tls(peers: &Peers, certificate: &str, key: &str) -> Postgres {
        let folder = new_folder();
        let mut settings = vec!["ssl=on".to_owned()];
        for (name, setting, text) in
            [("server.crt", "ssl_cert_file", certificate), ("server.key", "ssl_key_file", key)]
        {
            let file = folder.path().join(name);
            write(&file, text);
            settings.push(format!("{setting}={}", file.display()));
        }
        Postgres::start_in(peers, folder, settings)
    }

    fn start_in(peers: &Peers, folder: TempDir, settings: Vec<String>) -> Postgres {
        let password = folder.path().join("password");
        write(&password, PASSWORD);
        let mut initdb = peers.command(Peer::Initdb);
        initdb
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", folder.path().join("data").display()))
            .current_dir(folder.path());
        as_nobody(&mut initdb);
        crate::process::output_of(initdb);

        for attempt in 1.. {
            let port = free_port();
            let mut process = run(peers, port, &settings, folder.path());
            if ready(&mut process, folder.path()) {
                return Postgres { process, port, settings, peers: peers.clone(), folder };
            }
            assert!(attempt < ATTEMPTS, "postgres doesn't start:\n{}", process.output());
        }
        unreachable!("the attempts are counted");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its URL, with user, password and database.
    pub fn url(&self) -> String {
        format!("postgres://postgres:{ENCODED}@{}/postgres", self.address())
    }

    /// Begins an outage: ends it as a crash does, without saving what is only in memory.
    pub fn stop(&mut self) {
        self.process.quit();
    }

    /// Ends an outage: starts it again at the same address.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start_again(&mut self) {
        self.process.quit();
        self.process = run(&self.peers, self.port, &self.settings, self.folder.path());
        assert!(
            ready(&mut self.process, self.folder.path()),
            "postgres doesn't start again:\n{}",
            self.process.output()
        );
    }
}

impl Drop for Postgres {
    /// Killed outright it would leave a segment of shared memory behind.
    fn drop(&mut self) {
        self.process.quit();
    }
}

fn run(peers: &Peers, port: u16, settings: &[String], folder: &Path) -> Process {
    let mut command = peers.command(Peer::Postgres);
    command.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string()).current_dir(folder);
    let ours = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=on",
        // Found in the program itself, where the machine has no time zones.
        "timezone=GMT",
        "log_timezone=GMT",
        // Needs a library of its own.
        "jit=off",
        "shared_buffers=16MB",
        "dynamic_shared_memory_type=mmap",
    ];
    for setting in ours.into_iter().chain(settings.iter().map(String::as_str)) {
        command.arg("-c").arg(setting);
    }
    Process::start_with("postgres", command, folder, as_nobody)
}

/// Whether it accepts connections, or has ended without. It says so in the last line of its own file of notes, from which
/// `pg_ctl` also knows it.
fn ready(process: &mut Process, folder: &Path) -> bool {
    let started = Instant::now();
    while process.is_running() {
        let notes = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = notes.lines().map(str::trim).collect();
        // One that crashed leaves its notes behind.
        let ours = lines.first().is_some_and(|pid| *pid == process.pid().to_string());
        if ours && lines.get(7) == Some(&"ready") {
            return true;
        }
        assert!(started.elapsed() < START, "postgres is not ready:\n{}", process.output());
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A folder that PostgreSQL may write into.
fn new_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
    own(folder.path());
    folder
}

/// A file that PostgreSQL alone may read, as it wants its key.
fn write(file: &Path, text: &str) {
    let written =
        fs::write(file, text).and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o600)));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    own(file);
}

fn own(path: &Path) {
    if let Some((user, group)) = nobody() {
        chown(path, Some(user), Some(group)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// PostgreSQL refuses to run as root: then it runs as the user nobody.
fn as_nobody(command: &mut Command) {
    if let Some((user, group)) = nobody() {
        command.uid(user).gid(group);
    }
}

/// User and group of nobody, where we are root.
fn nobody() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with("nobody:"));
    let number = |at: usize| line.and_then(|line| line.split(':').nth(at)?.parse().ok());
    Some((number(2).unwrap_or(65534), number(3).unwrap_or(65534)))
}

/// PostgreSQL can't be started on port 0.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port: {error}")).port()
}
