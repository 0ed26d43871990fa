//! Larnax's own programs, run as a user runs them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Response;
use crate::peers::target_folder;
use crate::process::Process;

/// How long a program may take to drain after SIGTERM.
const DRAIN: Duration = Duration::from_secs(15);

/// A running `larnax` or `larnax-edge`, with a state folder of its own.
///
/// ```no_run
/// use larnax_test_peers::{Agent, NodeExporter, Peers};
///
/// let exporter = NodeExporter::start(&Peers::locate());
/// let mut agent = Agent::start("larnax-edge", &["--scrape", &exporter.url(), "--interval", "1s"]);
/// assert!(agent.get("/metrics").body.contains("larnax_build_info"));
///
/// agent.kill(); // as `kill -9` does
/// agent.start_again(); // on the same state
/// assert!(agent.terminate().success());
/// ```
#[derive(Debug)]
pub struct Agent {
    process: Process,
    address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Agent {
    /// The path of a program of ours: in the folder that `LARNAX_PROGRAMS` names, else in `target/release`,
    /// where `cargo xtask test` builds what users run.
    pub fn program(name: &str) -> PathBuf {
        let folder = std::env::var_os("LARNAX_PROGRAMS");
        folder.map_or_else(|| target_folder().join("release"), PathBuf::from).join(name)
    }

    /// Starts `name` (`larnax`, `larnax-edge`) with `arguments`, a state folder and a free port, and waits
    /// until it is healthy.
    ///
    /// # Panics
    /// When it isn't built or doesn't become healthy.
    pub fn start(name: &str, arguments: &[&str]) -> Agent {
        let program = Agent::program(name);
        assert!(program.is_file(), "no {}: run `cargo xtask test --only build`", program.display());
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (process, address) = run(&program, &arguments, folder.path());
        Agent { process, address, program, arguments, folder }
    }

    /// Starts it again after [`kill`](Agent::kill) or [`terminate`](Agent::terminate): the same arguments and
    /// state, another port.
    ///
    /// # Panics
    /// When it doesn't become healthy.
    pub fn start_again(&mut self) {
        self.process.kill();
        (self.process, self.address) = run(&self.program, &self.arguments, self.folder.path());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Everything it has printed, to standard output and standard error.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Its answer to `GET path`.
    ///
    /// # Panics
    /// When it doesn't answer.
    pub fn get(&self, path: &str) -> Response {
        crate::get(self.address, path)
            .unwrap_or_else(|error| panic!("GET {path}: {error}. Its output:\n{}", self.output()))
    }

    /// Its answer to `GET path` as JSON.
    ///
    /// # Panics
    /// When it doesn't answer with JSON.
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        serde_json::from_str(&response.body)
            .unwrap_or_else(|error| panic!("GET {path} gave no JSON ({error}): {}", response.body))
    }

    /// Sends SIGHUP: reload the config.
    pub fn reload(&self) {
        self.process.hang_up();
    }

    /// Sends SIGTERM and waits until it has drained and ended.
    ///
    /// # Panics
    /// When it takes longer than 15 s.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(DRAIN)
    }

    /// Sends SIGKILL: the sudden death that nothing accepted may be lost by.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

fn run(program: &Path, arguments: &[String], folder: &Path) -> (Process, SocketAddr) {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command.args(arguments).args(["--listen", "127.0.0.1:0", "--state"]).arg(folder.join("state"));
    command.current_dir(folder);
    // The developer's environment must not configure the program under test; how much it logs may be chosen.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("LARNAX_") && variable != "LARNAX_LOG" {
            command.env_remove(variable);
        }
    }
    let mut process = Process::start(&name, command, folder);
    let address = process.listening();
    process.ready(address, "/-/healthy");
    (process, address)
}
