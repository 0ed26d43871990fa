//! Restarts, reloads, starts and stops systemd units.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use larnax_core::Wanted;
use larnax_spec::{SystemdAction, SystemdVerb};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::program::{self, LOOK, Ran};
use crate::text::fill;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// A unit, by `systemctl`: what it orders is systemd's from then on, whatever becomes of the agent.
#[derive(Debug)]
pub struct Systemd {
    spec: SystemdAction,
    systemctl: String,
}

/// A unit as `systemctl show` shows it.
struct Unit {
    loaded: bool,
    active: String,
    /// Another one after each start.
    invocation: String,
}

impl Systemd {
    /// As the config says, by the `systemctl` in `PATH`.
    pub fn new(spec: SystemdAction) -> Self {
        Self { spec, systemctl: "systemctl".to_owned() }
    }

    /// By another `systemctl`: its absolute path.
    pub fn with_program(self, systemctl: &Path) -> Self {
        Self { systemctl: systemctl.to_string_lossy().into_owned(), ..self }
    }

    fn unit(&self, task: &Task) -> Result<String, ActError> {
        let unit = fill(&self.spec.unit, &task.component)?;
        // systemctl reads these as patterns for several units.
        if unit.is_empty() || unit.starts_with('-') || unit.contains(['*', '?', '[', '/']) {
            return Err(ActError::cannot(format!(
                "`{unit}` is not the name of one unit, such as `orders.service`"
            )));
        }
        Ok(unit)
    }

    async fn run(&self, arguments: &[&str], task: &Task) -> Result<Ran, ActError> {
        let mut run = vec![self.systemctl.clone()];
        run.extend(self.spec.user.then(|| "--user".to_owned()));
        run.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        program::ask(&run, task).await
    }

    async fn show(&self, task: &Task) -> Result<Unit, ActError> {
        let unit = self.unit(task)?;
        let ran =
            self.run(&["show", "--property=LoadState,ActiveState,InvocationID", "--", &unit], task).await?;
        if !ran.succeeded() {
            return Err(ActError::cannot(format!("systemctl show {unit} {}", ran.words())));
        }
        let fields: BTreeMap<&str, &str> =
            ran.output.lines().filter_map(|line| line.split_once('=')).collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        Ok(Unit {
            loaded: field("LoadState") == "loaded",
            active: field("ActiveState"),
            invocation: field("InvocationID"),
        })
    }

    async fn order(&self, verb: SystemdVerb, task: &Task) -> Result<String, Failed> {
        let unit = self.unit(task)?;
        if !self.show(task).await?.loaded {
            return Err(Failed::not_done(format!("the unit {unit} is gone")));
        }
        let ran = self.run(&[word(verb), "--", &unit], task).await?;
        let message = format!("systemctl {} {unit} {}", word(verb), ran.words());
        if ran.succeeded() { Ok(message) } else { Err(Failed::unsure(message)) }
    }

    /// The unit, when it is on no way from one state to another.
    async fn at_rest(&self, task: &Task) -> Result<Unit, ActError> {
        loop {
            let unit = self.show(task).await?;
            let moves = matches!(unit.active.as_str(), "activating" | "deactivating" | "reloading");
            if !moves || Instant::now() + LOOK >= task.deadline {
                return Ok(unit);
            }
            sleep(LOOK).await;
        }
    }
}

fn word(verb: SystemdVerb) -> &'static str {
    match verb {
        SystemdVerb::Restart => "restart",
        SystemdVerb::Reload => "reload",
        SystemdVerb::Start => "start",
        SystemdVerb::Stop => "stop",
    }
}

fn is_up(active: &str) -> bool {
    matches!(active, "active" | "reloading")
}

fn is_down(active: &str) -> bool {
    matches!(active, "inactive" | "failed")
}

impl Actuator for Systemd {
    fn can_undo(&self) -> bool {
        matches!(self.spec.r#do, SystemdVerb::Start | SystemdVerb::Stop)
    }

    fn describe(&self, task: &Task, held: &Held) -> String {
        let state = held.get("active").and_then(Held::as_str).unwrap_or_default();
        let unit = self.unit(task).unwrap_or_default();
        format!("would run systemctl {} {unit}, which is {state}", word(self.spec.r#do))
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            program::resolve(OsStr::new(&self.systemctl).to_str().unwrap_or_default())?;
            let name = self.unit(task)?;
            let unit = self.show(task).await?;
            if !unit.loaded {
                return Err(ActError::cannot(format!("there is no unit {name} that systemd could load")));
            }
            let active = unit.active.as_str();
            match self.spec.r#do {
                SystemdVerb::Start if is_up(active) => {
                    Err(ActError::cannot(format!("{name} is {active} already")))
                }
                SystemdVerb::Stop if is_down(active) => {
                    Err(ActError::cannot(format!("{name} is {active} already")))
                }
                SystemdVerb::Reload if !is_up(active) => {
                    Err(ActError::cannot(format!("{name} is {active}: only an active unit can be reloaded")))
                }
                _ => Ok(json!({ "active": unit.active, "invocation": unit.invocation })),
            }
        })
    }

    fn switch<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(self.order(self.spec.r#do, task))
    }

    fn undo<'a>(&'a self, task: &'a Task, _held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move {
            match self.spec.r#do {
                SystemdVerb::Start => self.order(SystemdVerb::Stop, task).await,
                SystemdVerb::Stop => self.order(SystemdVerb::Start, task).await,
                SystemdVerb::Restart | SystemdVerb::Reload => Err(Failed::not_done("it can't be taken back")),
            }
        })
    }

    fn settle<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Settled> {
        Box::pin(async move {
            if let Some(pid) = program::left_running(&task.key, task.deadline).await {
                return Settled::unknown(format!("systemctl, process {pid}, still runs"));
            }
            let unit = match self.at_rest(task).await {
                Ok(unit) => unit,
                Err(problem) => return Settled::unknown(problem.to_string()),
            };
            let seen = format!("the unit is {}", unit.active);
            let (up, down) = (is_up(&unit.active), is_down(&unit.active));
            let same = held.get("invocation").and_then(Held::as_str) == Some(unit.invocation.as_str());
            match (self.spec.r#do, task.wanted) {
                (SystemdVerb::Start, _) if up => Settled::after(seen),
                (SystemdVerb::Start, _) if down => Settled::before(seen),
                (SystemdVerb::Stop, _) if down => Settled::after(seen),
                (SystemdVerb::Stop, _) if up => Settled::before(seen),
                (SystemdVerb::Restart, Wanted::Do) if up && !same => {
                    Settled::after(format!("{seen}, started anew"))
                }
                (SystemdVerb::Restart, Wanted::Do) if same => {
                    Settled::before(format!("{seen}, as it was started before"))
                }
                _ => Settled::unknown(seen),
            }
        })
    }
}
