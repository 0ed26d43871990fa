//! Sends a signal to a process.

use std::time::Duration;

use larnax_core::Wanted;
use larnax_spec::SignalAction;
use serde_json::json;
use tokio::time::sleep;

use crate::processes::{Process, of_pid_file};
use crate::text::fill_path;
use crate::{ActError, Actuator, Failed, Held, LocalFuture, Settled, Task};

/// What a signal does takes the system a moment.
const TAKES_HOLD: Duration = Duration::from_millis(50);

/// A signal to the process of a pid file: to that one, and never to another that got its number since.
#[derive(Debug)]
pub struct Signal {
    spec: SignalAction,
}

/// As the system numbers it.
pub(super) fn number(signal: larnax_spec::Signal) -> rustix::process::Signal {
    use larnax_spec::Signal as Spec;
    use rustix::process::Signal as Kernel;
    match signal {
        Spec::Hup => Kernel::HUP,
        Spec::Term => Kernel::TERM,
        Spec::Int => Kernel::INT,
        Spec::Quit => Kernel::QUIT,
        Spec::Kill => Kernel::KILL,
        Spec::Usr1 => Kernel::USR1,
        Spec::Usr2 => Kernel::USR2,
        Spec::Stop => Kernel::STOP,
        Spec::Cont => Kernel::CONT,
    }
}

/// As it is written.
pub(super) fn name(signal: larnax_spec::Signal) -> &'static str {
    use larnax_spec::Signal as Spec;
    match signal {
        Spec::Hup => "HUP",
        Spec::Term => "TERM",
        Spec::Int => "INT",
        Spec::Quit => "QUIT",
        Spec::Kill => "KILL",
        Spec::Usr1 => "USR1",
        Spec::Usr2 => "USR2",
        Spec::Stop => "STOP",
        Spec::Cont => "CONT",
    }
}

/// A process, for what is held.
pub(super) fn hold(process: &Process) -> Held {
    json!({ "pid": process.pid, "start": process.start })
}

/// The process that was held; none if there was none.
pub(super) fn held_process(held: &Held) -> Option<Process> {
    let pid = held.get("pid")?.as_i64().and_then(|pid| i32::try_from(pid).ok())?;
    let start = held.get("start")?.as_u64()?;
    Some(Process { pid, start, stopped: false, group: 0 })
}

impl Signal {
    /// As the config says.
    pub fn new(spec: SignalAction) -> Self {
        Self { spec }
    }

    fn send(&self, signal: larnax_spec::Signal, held: &Held) -> Result<String, Failed> {
        let process =
            held_process(held).ok_or_else(|| Failed::not_done("it isn't known which process was meant"))?;
        if process.signal(number(signal))? {
            return Ok(format!("sent {} to process {}", name(signal), process.pid));
        }
        Err(Failed::not_done(format!("process {} is gone", process.pid)))
    }

    /// What takes it back.
    fn back(&self) -> Option<larnax_spec::Signal> {
        match self.spec.signal {
            larnax_spec::Signal::Stop => Some(larnax_spec::Signal::Cont),
            larnax_spec::Signal::Cont => Some(larnax_spec::Signal::Stop),
            _ => None,
        }
    }
}

impl Actuator for Signal {
    fn can_undo(&self) -> bool {
        self.back().is_some()
    }

    fn describe(&self, _task: &Task, held: &Held) -> String {
        let pid = held_process(held).map_or(0, |process| process.pid);
        format!("would send {} to process {pid}", name(self.spec.signal))
    }

    fn reserve<'a>(&'a self, task: &'a Task) -> LocalFuture<'a, Result<Held, ActError>> {
        Box::pin(async move {
            let path = fill_path(&self.spec.pid_file, &task.component)?;
            let process = of_pid_file(&path)?.ok_or_else(|| {
                ActError::cannot(format!("the process that {} names is gone", path.display()))
            })?;
            match (self.spec.signal, process.stopped) {
                (larnax_spec::Signal::Stop, true) => {
                    Err(ActError::cannot(format!("process {} stands still already", process.pid)))
                }
                (larnax_spec::Signal::Cont, false) => {
                    Err(ActError::cannot(format!("process {} doesn't stand still", process.pid)))
                }
                _ => Ok(hold(&process)),
            }
        })
    }

    fn switch<'a>(&'a self, _task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move { self.send(self.spec.signal, held) })
    }

    fn undo<'a>(&'a self, _task: &'a Task, held: &'a Held) -> LocalFuture<'a, Result<String, Failed>> {
        Box::pin(async move {
            let back = self.back().ok_or_else(|| Failed::not_done("it can't be taken back"))?;
            self.send(back, held)
        })
    }

    fn settle<'a>(&'a self, task: &'a Task, held: &'a Held) -> LocalFuture<'a, Settled> {
        use larnax_spec::Signal as Which;
        Box::pin(async move {
            sleep(TAKES_HOLD).await;
            let Some(meant) = held_process(held) else {
                return Settled::unknown("it isn't known which process was meant");
            };
            let pid = meant.pid;
            let now = Process::find(pid).filter(|now| now.start == meant.start);
            let ends = matches!(self.spec.signal, Which::Term | Which::Int | Which::Quit | Which::Kill);
            match (now, self.spec.signal) {
                (None, _) if ends => Settled::after(format!("process {pid} has ended")),
                (None, _) if task.wanted == Wanted::Undo => Settled::after(format!("process {pid} is gone")),
                (None, _) => Settled::unknown(format!("process {pid} is gone")),
                (Some(now), Which::Stop) if now.stopped => {
                    Settled::after(format!("process {pid} stands still"))
                }
                (Some(now), Which::Cont) if now.stopped => {
                    Settled::before(format!("process {pid} stands still"))
                }
                (Some(_), Which::Stop) => Settled::before(format!("process {pid} goes on")),
                (Some(_), Which::Cont) => Settled::after(format!("process {pid} goes on")),
                (Some(_), Which::Kill) => Settled::before(format!("process {pid} lives")),
                (Some(_), _) => Settled::unknown(format!(
                    "process {pid} lives, and doesn't show whether it got {}",
                    name(self.spec.signal)
                )),
            }
        })
    }
}
