//! A child process that is stopped by its own process id and never outlives its test.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// How long a program may take until it listens. Far above what is usual (0.1 to 2 s), for machines busy with
/// compiling.
const START: Duration = Duration::from_secs(30);

/// How long a server may take to end at once.
const QUIT: Duration = Duration::from_secs(5);

/// How much of a program's output a failure shows, in bytes.
const SHOWN: usize = 4096;

/// A running child process. Dropped, it is killed and waited for.
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
///
/// use larnax_test_peers::Process;
///
/// let folder = tempfile::tempdir()?;
/// let mut command = Command::new("sleep");
/// command.arg("60");
/// let mut process = Process::start("sleep", command, folder.path());
/// assert!(process.is_running());
/// process.terminate(Duration::from_secs(5));
/// assert!(!process.is_running());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` without input; what it prints goes to `NAME.log` in `folder`, appended.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, command: Command, folder: &Path) -> Process {
        Process::start_with(name, command, folder, |_| ())
    }

    /// The same, with something `set` about the process that a command doesn't tell again: its user.
    pub(crate) fn start_with(
        name: &str,
        command: Command,
        folder: &Path,
        set: impl FnOnce(&mut Command),
    ) -> Process {
        let output = folder.join(format!("{name}.log"));
        let started = File::options().create(true).append(true).open(&output).and_then(|log| {
            let mut command = dying_with_us(command);
            set(&mut command);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            spawn(command)
        });
        match started {
            Ok(child) => Process { name: name.to_owned(), child, output },
            Err(error) => panic!("{name} can't be started: {error}"),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything it has printed, to standard output and standard error.
    pub fn output(&self) -> String {
        std::fs::read(&self.output)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The address on which it listens, once it does. Programs are started on port 0 and the kernel is asked
    /// which port it gave: a port that is found free beforehand may be taken by the time it is used.
    ///
    /// # Panics
    /// When it ends first, or listens nowhere within 30 s; with the end of its output.
    pub fn listening(&mut self) -> SocketAddr {
        self.listening_within(START)
    }

    /// [`listening`](Process::listening) for programs that take longer.
    pub(crate) fn listening_within(&mut self, limit: Duration) -> SocketAddr {
        let started = Instant::now();
        loop {
            if let Some(port) = listening_port(self.pid()) {
                return SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            }
            if !self.is_running() {
                self.fail("ended before it listened");
            }
            if started.elapsed() > limit {
                self.fail("listens nowhere");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `GET path` at `address` answers 200.
    ///
    /// # Panics
    /// When it ends first, or doesn't within 30 s; with the end of its output.
    pub fn ready(&mut self, address: SocketAddr, path: &str) {
        let started = Instant::now();
        while !crate::get(address, path).is_ok_and(|response| response.status == 200) {
            if !self.is_running() {
                self.fail("ended before it was ready");
            }
            if started.elapsed() > START {
                self.fail("is not ready");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGHUP, on which servers reload.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGTERM and waits until the process has ended.
    ///
    /// # Panics
    /// When it doesn't end within `within`.
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(within)
    }

    /// [`terminate`](Process::terminate) for destructors, which must not panic: past `within` it kills.
    pub fn terminate_or_kill(&mut self, within: Duration) {
        self.signal_or_kill(Signal::TERM, within);
    }

    fn signal_or_kill(&mut self, signal: Signal, within: Duration) {
        if !self.is_running() {
            // Its id may be another's by now.
            return;
        }
        self.signal(signal);
        let asked = Instant::now();
        while self.is_running() && asked.elapsed() < within {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Sends SIGQUIT, on which some servers end at once without leaving anything behind, and waits until the
    /// process has ended; kills it if it takes long.
    pub(crate) fn quit(&mut self) {
        self.signal_or_kill(Signal::QUIT, QUIT);
    }

    /// Sends SIGKILL and waits until the process has ended: the sudden death that nothing accepted may be
    /// lost by.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When it doesn't within `within`.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        eventually(&what, within, || self.child.try_wait().ok().flatten())
    }

    /// Panics with what went wrong and the end of the process' output.
    fn fail(&self, what: &str) -> ! {
        let output = self.output();
        let mut start = output.len().saturating_sub(SHOWN);
        while !output.is_char_boundary(start) {
            start += 1;
        }
        panic!("{} {what}. The end of its output:\n{}", self.name, &output[start..]);
    }

    fn signal(&self, signal: Signal) {
        // The id can't belong to another process: until `wait` has seen the end, the kernel keeps it.
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command that ends soon and returns what it printed to standard output.
///
/// # Panics
/// When it fails, with its words.
pub(crate) fn output_of(mut command: Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => panic!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{program} can't be run: {error}"),
    }
}

/// The same command, killed by the kernel when the thread that starts it ends, for when a test is itself
/// killed and drops nothing. `setpriv` (util-linux) does it and becomes the program, so that the process id
/// is the program's; without it the command stays as it is. `CommandExt::pre_exec` could do it too, but is
/// unsafe.
fn dying_with_us(command: Command) -> Command {
    if !Path::new("/usr/bin/setpriv").is_file() {
        return command;
    }
    let mut wrapped = Command::new("/usr/bin/setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// Starts a command from a thread that lasts as long as we do: the thread of one test may end while another
/// test still uses the process.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, started) = mpsc::channel();
    STARTER.send((command, answer)).map_err(io::Error::other)?;
    started.recv().map_err(io::Error::other)?
}

/// The first TCP port on 127.0.0.1 on which process `pid` listens: the sockets among its descriptors, looked
/// up in the kernel's table of sockets (proc_pid_net(5): state 0A is listening).
fn listening_port(pid: u32) -> Option<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let sockets: Vec<String> = descriptors
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (address, port) = local.split_once(':')?;
        // 127.0.0.1 as the kernel prints it: the four bytes in memory order, read as a number of this
        // machine.
        let loopback = u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets());
        let listens = *state == "0A" && u32::from_str_radix(address, 16).ok()? == loopback;
        let ours = sockets.iter().any(|socket| socket == inode);
        if listens && ours { u16::from_str_radix(port, 16).ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listening_port(std::process::id()), Some(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start("sleep", command, folder.path());
        let entry = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }

    #[test]
    #[should_panic(expected = "ended before it listened. The end of its output:\nno such thing")]
    fn a_failure_shows_what_the_process_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2"]);
        Process::start("sh", command, folder.path()).listening();
    }

    #[test]
    fn a_terminated_process_tells_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"]);
        let mut process = Process::start("sh", command, folder.path());
        eventually("the trap", Duration::from_secs(5), || process.output().contains("ready").then_some(()));
        assert_eq!(process.terminate(Duration::from_secs(5)).code(), Some(3));
    }
}
