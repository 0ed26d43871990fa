//! Running programs: without a shell, in a process group of their own, within a deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use larnax_core::ComponentId;
use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::processes::{KEY, Process};
use crate::text::{fill, shorten};
use crate::{ActError, Task};

/// So much of what a program prints is kept, in bytes.
const MAX_OUTPUT: usize = 4 << 10;

/// A program that has ended may have left others behind that hold its output open; nobody waits for them longer than this.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// How often it is looked whether a process of somebody else has ended.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A program that ran.
#[derive(Debug)]
pub(crate) struct Ran {
    /// How it ended; none if it did not within the deadline and was killed with all its process group.
    pub(crate) status: Option<ExitStatus>,
    /// The beginning of what it printed.
    pub(crate) output: String,
}

impl Ran {
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, in words, with what it printed: `ended with exit status: 1: no such unit`.
    pub(crate) fn words(&self) -> String {
        let how = match self.status {
            Some(status) if status.success() => "succeeded".to_owned(),
            Some(status) => format!("ended with {status}"),
            None => "did not end in time and was killed".to_owned(),
        };
        if self.output.is_empty() { how } else { format!("{how}: {}", self.output) }
    }
}

/// The file of a program: its absolute path, or its name in `PATH`.
pub(crate) fn resolve(program: &str) -> Result<PathBuf, ActError> {
    let can_run = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let path = Path::new(program);
    if path.is_absolute() {
        if can_run(path) {
            return Ok(path.to_owned());
        }
    } else if !program.is_empty() && !program.contains('/') {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        if let Some(found) =
            std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| can_run(path))
        {
            return Ok(found);
        }
    }
    Err(ActError::cannot(format!(
        "`{program}` is no program here: expected the absolute path of an executable file, or a name that is in PATH"
    )))
}

/// The arguments with the component filled in. The program itself is as it was written: what a component is called must not choose it.
pub(crate) fn arguments(run: &[String], component: &ComponentId) -> Result<Vec<String>, ActError> {
    let Some((program, rest)) = run.split_first() else {
        return Err(ActError::cannot("no program is given".to_owned()));
    };
    let mut filled = vec![program.clone()];
    for text in rest {
        filled.push(fill(text, component)?);
    }
    Ok(filled)
}

/// A command without input, without the agent's own variables (they may be secret), with those that name the change.
pub(crate) fn command(
    run: &[String],
    folder: Option<&Path>,
    task: &Task,
) -> Result<std::process::Command, ActError> {
    let (program, rest) =
        run.split_first().ok_or_else(|| ActError::cannot("no program is given".to_owned()))?;
    let mut command = std::process::Command::new(resolve(program)?);
    command.args(rest).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("LARNAX_")) {
            command.env_remove(name);
        }
    }
    command
        .env("LARNAX_COMPONENT", task.component.as_str())
        .env("LARNAX_ACTION", &task.action)
        .env(KEY, &task.key);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    Ok(command)
}

/// Kills a process group unless its first process has been waited for; until then the number can't be another's.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program until it ends or the deadline comes. Dropped, it kills the whole process group. An error means that it never ran.
pub(crate) async fn run(
    run: &[String],
    folder: Option<&Path>,
    task: &Task,
    deadline: Instant,
) -> Result<Ran, ActError> {
    supervise(command(run, folder, task)?, deadline).await
}

/// Runs a program whose words are read here: in the language that they are known in.
pub(crate) async fn ask(run: &[String], task: &Task) -> Result<Ran, ActError> {
    let mut command = command(run, None, task)?;
    command.env("LC_ALL", "C");
    supervise(command, task.deadline).await
}

async fn supervise(command: std::process::Command, deadline: Instant) -> Result<Ran, ActError> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| ActError::cannot(format!("`{shown}` can't be run: {error}"));
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::from(command);
    command.process_group(0).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let mut child = command.spawn().map_err(failed)?;
    // It holds the writing ends of the pipe.
    drop(command);
    let mut group = Group(child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())));
    let mut output = Vec::new();
    // Where waiting fails, nobody knows how it ended: as with one that is killed.
    let status = until_ended(&mut child, &mut reader, &mut output, deadline).await.unwrap_or(None);
    match status {
        Some(_) => {
            group.0 = None;
            let _ = timeout(LAST_WORDS, read_all(&mut reader, &mut output)).await;
        }
        None => {
            group.kill();
            // What is killed ends at once; if the system can't end it, it is nobody's fault here.
            let _ = timeout(Duration::from_secs(1), child.wait()).await;
        }
    }
    let output = shorten(String::from_utf8_lossy(&output).trim(), MAX_OUTPUT);
    Ok(Ran { status, output })
}

async fn until_ended(
    child: &mut Child,
    reader: &mut pipe::Receiver,
    output: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Option<ExitStatus>> {
    tokio::select! {
        status = child.wait() => status.map(Some),
        () = sleep_until(deadline) => Ok(None),
        // Its output may end before it does.
        never = async { read_all(reader, output).await; std::future::pending().await } => never,
    }
}

/// Reads to the end, and keeps the beginning. A program that prints without end must not fill the memory, nor stand still.
async fn read_all(reader: &mut pipe::Receiver, output: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        let room = (MAX_OUTPUT + 4).saturating_sub(output.len()).min(count);
        output.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
}

/// Waits for programs that a dead agent has left running for a change: what they do must be over before anybody looks what came of it.
/// The number of one that still runs when the deadline comes.
pub(crate) async fn left_running(key: &str, deadline: Instant) -> Option<i32> {
    loop {
        let first = Process::started_for(key).into_iter().find(|process| process.group == process.pid)?;
        if Instant::now() >= deadline {
            return Some(first.pid);
        }
        sleep(LOOK).await;
    }
}
