//! Ends a process and starts it again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use larnax_spec::RestartAction;
use rustix::fs::{Access, access};
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::signal::{held_process, hold, name, number};
use crate::processes::{Process, of_pid_file};
use crate::program::{self, LOOK};
use crate::text::fill_path;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// Of the time that is left, so much is for starting, however long the old process takes to end.
const FOR_START: Duration = Duration::from_secs(2);

/// What was killed is gone after this, or the system can't end it.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// One that ends within this was started in vain.
const LIVES: Duration = Duration::from_millis(200);

/// The end of a process and the start of the next one, in a process group of its own, with its number in the pid file.
#[derive(Debug)]
pub struct Restart {
    spec: RestartAction,
}

impl Restart {
    /// As the config says.
    pub fn new(spec: RestartAction) -> Self {
        Self { spec }
    }

    fn pid_file(&self, task: &Task) -> Result<PathBuf, ActError> {
        fill_path(&self.spec.pid_file, &task.component)
    }

    /// Everything that starting needs, so that nothing is ended that can't be started again.
    fn prepare(&self, task: &Task) -> Result<Command, ActError> {
        let arguments = program::arguments(&self.spec.run, &task.component)?;
        let folder =
            self.spec.folder.as_deref().map(|folder| fill_path(folder, &task.component)).transpose()?;
        if let Some(folder) = folder.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(ActError::cannot(format!("{} is no folder to run in", folder.display())));
        }
        let (output, errors) = match &self.spec.log {
            None => (Stdio::null(), Stdio::null()),
            Some(log) => {
                let log = fill_path(log, &task.component)?;
                let open = || File::options().create(true).append(true).open(&log);
                let (output, errors) = open()
                    .and_then(|file| Ok((file.try_clone()?, file)))
                    .map_err(ActError::file(&log, "opened"))?;
                (output.into(), errors.into())
            }
        };
        let mut command = program::command(&arguments, folder.as_deref(), task)?;
        command.stdout(output).stderr(errors);
        let mut command = Command::from(command);
        command.process_group(0);
        Ok(command)
    }

    /// Ends the old process, by force if it must be.
    async fn stop(&self, old: &Process, deadline: Instant) -> Result<String, Failed> {
        let asked = Instant::now();
        if !old.signal(number(self.spec.stop_signal))? {
            return Ok(format!("process {} was gone", old.pid));
        }
        // One that stands still would never hear it; systemd.kill(5) does the same.
        let _ = old.signal(rustix::process::Signal::CONT);
        let patience =
            (asked + self.spec.stop_within.0).min(deadline.checked_sub(FOR_START).unwrap_or(asked));
        if ended(old, patience).await {
            return Ok(format!("ended process {}", old.pid));
        }
        old.signal(rustix::process::Signal::KILL).map_err(|problem| Failed::unsure(problem.to_string()))?;
        if ended(old, Instant::now() + KILLED_WITHIN).await {
            let signal = name(self.spec.stop_signal);
            return Ok(format!("killed process {}, which did not end by {signal}", old.pid));
        }
        Err(Failed::unsure(format!("process {} can't be ended; nothing was started beside it", old.pid)))
    }

    /// Starts the new one and writes its number down.
    async fn start(&self, task: &Task) -> Result<String, Failed> {
        let down = |problem: String| Failed::unsure(format!("it is down: {problem}"));
        let pid_file = self.pid_file(task).map_err(|problem| down(problem.to_string()))?;
        let mut command = self.prepare(task).map_err(|problem| down(problem.to_string()))?;
        let mut child = command.spawn().map_err(|problem| down(format!("it can't be started: {problem}")))?;
        let pid = child.id().unwrap_or_default();
        let written = write_pid(&pid_file, pid);
        sleep(LIVES).await;
        if let Ok(Some(status)) = child.try_wait() {
            return Err(down(format!("process {pid} was started and ended at once with {status}")));
        }
        // The runtime waits for it when it ends; it isn't killed with this value.
        match written {
            Ok(()) => Ok(format!("started process {pid}")),
            Err(problem) => {
                Ok(format!("started process {pid}; {} can't be written: {problem}", pid_file.display()))
            }
        }
    }

    /// What was started for this change and still lives. Its children have the key too, but no group of their own.
    fn started(task: &Task) -> Option<Process> {
        let leaders =
            Process::started_for(&task.key).into_iter().filter(|process| process.group == process.pid);
        leaders.min_by_key(|process| (process.start, process.pid))
    }
}

async fn ended(process: &Process, until: Instant) -> bool {
    while process.lives() {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

/// The file is never half written.
fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, format!("{pid}\n"))?;
    fs::rename(&new, path)
}

impl Actuator for Restart {
    fn describe(&self, _task: &Task, held: &Held) -> String {
        // Without its arguments: how it is done is nobody else's business, and they may hold secrets.
        let program = self.spec.run.first().map_or("", String::as_str);
        match held_process(held) {
            Some(old) => {
                format!(
                    "would end process {} by {} and run `{program}`",
                    old.pid,
                    name(self.spec.stop_signal)
                )
            }
            None => format!("would run `{program}`; the process that the pid file names has ended"),
        }
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            let (left, needed) =
                (task.deadline.duration_since(Instant::now()), self.spec.stop_within.0 + FOR_START);
            if left < needed {
                return Err(ActError::cannot(format!(
                    "{:.1} s are left, but the process has {} s to end and the next one {} s to start: give it a longer timeout",
                    left.as_secs_f64(),
                    self.spec.stop_within.as_secs_f64(),
                    FOR_START.as_secs_f64()
                )));
            }
            let pid_file = self.pid_file(task)?;
            let old = of_pid_file(&pid_file)?;
            let folder =
                pid_file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            access(folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| ActError::file(&pid_file, "written")(error.into()))?;
            self.prepare(task)?;
            Ok(old.map_or_else(|| json!({ "pid": null }), |old| hold(&old)))
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move {
            // The same change a second time finds what it has started.
            if let Some(new) = Self::started(task) {
                return Ok(format!("process {} is started", new.pid));
            }
            let stopped = match held_process(held) {
                Some(old) => self.stop(&old, task.deadline).await?,
                None => "it had ended".to_owned(),
            };
            let started = self.start(task).await?;
            Ok(format!("{stopped}, {started}"))
        })
    }

    fn settle<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            if let Some(new) = Self::started(task) {
                // It may have been started without a word of it in the file.
                let written =
                    self.pid_file(task).map_err(|problem| format!("; {problem}")).and_then(|path| {
                        let problem = |problem| format!("; {} can't be written: {problem}", path.display());
                        write_pid(&path, new.pid.unsigned_abs()).map_err(problem)
                    });
                return Settled::after(format!(
                    "process {} is started{}",
                    new.pid,
                    written.err().unwrap_or_default()
                ));
            }
            let old = held_process(held).filter(Process::lives);
            if let Some(old) = old.filter(|_| !task.fresh) {
                return Settled::unknown(format!(
                    "process {} was to be ended, may have been told so, and lives; it is too late to end it now",
                    old.pid
                ));
            }
            // Somebody else may have started it since.
            if old.is_none()
                && let Some(other) =
                    self.pid_file(task).ok().and_then(|path| of_pid_file(&path).ok().flatten())
            {
                return Settled::after(format!(
                    "it is process {}, which somebody else has started",
                    other.pid
                ));
            }
            // Whoever was told to end would soon be down: what was begun is finished, by the same steps.
            match self.switch(task, held).await {
                Ok(done) => Settled::after(done),
                Err(failed) => Settled::unknown(failed.message),
            }
        })
    }
}
