//! Orders virtual machines of libvirt about.

use std::path::Path;

use larnax_spec::{VirshAction, VirshVerb};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::program::{self, Ran};
use crate::text::fill;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// How often it is looked whether a machine that was asked to end has ended.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

const RUNNING: &str = "running";
const PAUSED: &str = "paused";
const OFF: &str = "shut off";

/// All that there are (virsh(1), domstate).
const STATES: [&str; 9] =
    [RUNNING, PAUSED, OFF, "idle", "in shutdown", "crashed", "dying", "pmsuspended", "no state"];

/// A virtual machine, by `virsh`.
#[derive(Debug)]
pub struct Virsh {
    spec: VirshAction,
    virsh: String,
}

impl Virsh {
    /// As the config says, by the `virsh` in `PATH`.
    pub fn new(spec: VirshAction) -> Self {
        Self { spec, virsh: "virsh".to_owned() }
    }

    /// By another `virsh`: its absolute path.
    pub fn with_program(self, virsh: &Path) -> Self {
        Self { virsh: virsh.to_string_lossy().into_owned(), ..self }
    }

    fn domain(&self, task: &Task) -> Result<String, ActError> {
        let domain = fill(&self.spec.domain, &task.component)?;
        if domain.is_empty() || domain.starts_with('-') {
            return Err(ActError::cannot(format!("`{domain}` is not the name of a virtual machine")));
        }
        Ok(domain)
    }

    async fn run(&self, verb: &str, task: &Task) -> Result<Ran, ActError> {
        let mut run = vec![self.virsh.clone(), "--quiet".to_owned()];
        if let Some(connect) = &self.spec.connect {
            run.extend(["--connect".to_owned(), connect.clone()]);
        }
        run.extend([verb.to_owned(), "--domain".to_owned(), self.domain(task)?]);
        program::ask(&run, task).await
    }

    async fn state(&self, task: &Task) -> Result<String, ActError> {
        let ran = self.run("domstate", task).await?;
        if ran.succeeded() {
            // Among what it prints may be warnings.
            let mut lines = ran.output.lines().map(str::trim);
            let known = lines.find(|line| STATES.contains(line));
            return known.map(str::to_owned).ok_or_else(|| {
                ActError::cannot(format!(
                    "virsh domstate printed `{}`, expected a state such as `{RUNNING}`",
                    ran.output
                ))
            });
        }
        Err(ActError::cannot(format!("virsh domstate {}", ran.words())))
    }

    async fn order(&self, verb: VirshVerb, task: &Task) -> Result<String, Failed> {
        // A machine that is gone is found out before anything is ordered.
        self.state(task).await?;
        let ran = self.run(word(verb), task).await?;
        let message = format!("virsh {} {} {}", word(verb), self.domain(task)?, ran.words());
        if !ran.succeeded() {
            return Err(Failed::unsure(message));
        }
        if verb == VirshVerb::Shutdown && !self.is_off_in_time(task).await? {
            return Err(Failed::unsure(format!("{message}, but the machine has not ended")));
        }
        Ok(message)
    }

    /// A machine is only asked to end; whether it does is up to it.
    async fn is_off_in_time(&self, task: &Task) -> Result<bool, Failed> {
        loop {
            let state = self.state(task).await.map_err(|problem| Failed::unsure(problem.to_string()))?;
            if state == OFF {
                return Ok(true);
            }
            if Instant::now() + LOOK >= task.deadline {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
    }
}

fn word(verb: VirshVerb) -> &'static str {
    match verb {
        VirshVerb::Reboot => "reboot",
        VirshVerb::Reset => "reset",
        VirshVerb::Shutdown => "shutdown",
        VirshVerb::Start => "start",
        VirshVerb::Suspend => "suspend",
        VirshVerb::Resume => "resume",
    }
}

/// The state that a machine must be in for it.
fn before(verb: VirshVerb) -> &'static str {
    match verb {
        VirshVerb::Reboot | VirshVerb::Reset | VirshVerb::Shutdown | VirshVerb::Suspend => RUNNING,
        VirshVerb::Start => OFF,
        VirshVerb::Resume => PAUSED,
    }
}

/// The state that it is in afterwards; none where that shows nothing.
fn after(verb: VirshVerb) -> Option<&'static str> {
    match verb {
        VirshVerb::Reboot | VirshVerb::Reset => None,
        VirshVerb::Shutdown => Some(OFF),
        VirshVerb::Start | VirshVerb::Resume => Some(RUNNING),
        VirshVerb::Suspend => Some(PAUSED),
    }
}

/// What takes it back.
fn back(verb: VirshVerb) -> Option<VirshVerb> {
    match verb {
        VirshVerb::Suspend => Some(VirshVerb::Resume),
        VirshVerb::Resume => Some(VirshVerb::Suspend),
        VirshVerb::Start => Some(VirshVerb::Shutdown),
        VirshVerb::Reboot | VirshVerb::Reset | VirshVerb::Shutdown => None,
    }
}

impl Actuator for Virsh {
    fn can_undo(&self) -> bool {
        back(self.spec.r#do).is_some()
    }

    fn describe(&self, task: &Task, held: &Held) -> String {
        let state = held.get("state").and_then(Held::as_str).unwrap_or_default();
        let domain = self.domain(task).unwrap_or_default();
        format!("would run virsh {} {domain}, which is {state}", word(self.spec.r#do))
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            let state = self.state(task).await?;
            let expected = before(self.spec.r#do);
            if state == expected {
                return Ok(json!({ "state": state }));
            }
            let (domain, verb) = (self.domain(task)?, word(self.spec.r#do));
            Err(ActError::cannot(format!(
                "the machine {domain} is {state}: {verb} needs one that is {expected}"
            )))
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.order(self.spec.r#do, task))
    }

    fn undo<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move {
            let verb = back(self.spec.r#do).ok_or_else(|| Failed::not_done("it can't be taken back"))?;
            self.order(verb, task).await
        })
    }

    fn settle<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            if let Some(pid) = program::left_running(&task.key, task.deadline).await {
                return Settled::unknown(format!("virsh, process {pid}, still runs"));
            }
            let state = match self.state(task).await {
                Ok(state) => state,
                Err(problem) => return Settled::unknown(problem.to_string()),
            };
            let seen = format!("the machine is {state}");
            match after(self.spec.r#do) {
                Some(after) if after == state => Settled::after(seen),
                // One that was asked to end, by switch or by undo, may yet do so.
                Some(OFF) => Settled::unknown(seen),
                Some(_) if before(self.spec.r#do) == state => Settled::before(seen),
                _ => Settled::unknown(format!("{seen}, which doesn't show it")),
            }
        })
    }
}
