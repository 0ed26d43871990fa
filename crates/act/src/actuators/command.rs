//! Runs programs that the config names.

use larnax_core::Wanted;
use larnax_spec::CommandAction;
use serde_json::json;

use crate::program::{self, Ran};
use crate::text::fill_path;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// A program for the change, and perhaps one each that says what it would do, takes it back, or says whether it was done. They get
/// `LARNAX_COMPONENT`, `LARNAX_ACTION` and `LARNAX_KEY`, and none of the agent's own variables.
#[derive(Debug)]
pub struct Command {
    spec: CommandAction,
}

impl Command {
    /// As the config says.
    pub fn new(spec: CommandAction) -> Self {
        Self { spec }
    }

    async fn run(&self, run: &[String], task: &Task) -> Result<Ran, ActError> {
        let arguments = program::arguments(run, &task.component)?;
        let folder =
            self.spec.folder.as_deref().map(|folder| fill_path(folder, &task.component)).transpose()?;
        program::run(&arguments, folder.as_deref(), task, task.deadline).await
    }

    async fn change(&self, run: &[String], task: &Task) -> Result<String, Failed> {
        let ran = self.run(run, task).await?;
        let message = format!("`{}` {}", run.first().map_or("", String::as_str), ran.words());
        // A program that failed may have got half way.
        if ran.succeeded() { Ok(message) } else { Err(Failed::unsure(message)) }
    }
}

impl Actuator for Command {
    fn can_undo(&self) -> bool {
        !self.spec.undo.is_empty()
    }

    fn describe(&self, _task: &Task, held: &Held) -> String {
        // Without its arguments: how it is done is nobody else's business, and they may hold secrets.
        let would = format!("would run `{}`", self.spec.run.first().map_or("", String::as_str));
        match held.get("says").and_then(Held::as_str) {
            Some(says) if !says.is_empty() => format!("{would}: {says}"),
            _ => would,
        }
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            program::resolve(self.spec.run.first().map_or("", String::as_str))?;
            program::arguments(&self.spec.run, &task.component)?;
            if self.spec.dry_run.is_empty() {
                return Ok(json!({}));
            }
            let ran = self.run(&self.spec.dry_run, task).await?;
            if ran.succeeded() {
                return Ok(json!({ "says": ran.output }));
            }
            let program = self.spec.dry_run.first().map_or("", String::as_str);
            Err(ActError::cannot(format!("it can't be done now: `{program}` {}", ran.words())))
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.change(&self.spec.run, task))
    }

    fn undo<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.change(&self.spec.undo, task))
    }

    fn settle<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            // While anything is under way, a check that says no may be wrong a moment later. It gets the second half of the time.
            let now = tokio::time::Instant::now();
            let half = now + task.deadline.duration_since(now) / 2;
            let running = program::left_running(&task.key, half).await;
            if self.spec.check.is_empty() {
                let what = if task.wanted == Wanted::Undo { "taken back" } else { "done" };
                return Settled::unknown(match running {
                    Some(pid) => format!("process {pid}, which was started for it, still runs"),
                    None => format!("no `check` says whether it was {what}"),
                });
            }
            match self.run(&self.spec.check, task).await {
                Err(problem) => Settled::unknown(problem.to_string()),
                Ok(ran) => {
                    let (seen, settled) = (format!("the check {}", ran.words()), running.is_none());
                    match ran.status.and_then(|status| status.code()) {
                        Some(0) if settled || task.wanted == Wanted::Do => Settled::after(seen),
                        Some(1) if settled || task.wanted == Wanted::Undo => Settled::before(seen),
                        Some(0 | 1) => Settled::unknown(format!(
                            "{seen}, but something still runs that was started for it"
                        )),
                        _ => Settled::unknown(seen),
                    }
                }
            }
        })
    }
}
