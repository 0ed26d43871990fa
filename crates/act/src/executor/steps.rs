//! The way through the steps, and the way on after an interruption.

use std::time::Duration;

use larnax_core::{Command, Effect, Report, Timestamp, Wanted};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Executor, Turn, timeout_of, too_slow};
use crate::journal::{Entry, Record};
use crate::text::shorten;
use crate::{Failed, Held, Offered, Settled, Side, Task};

/// An actuator ends its change by the deadline; one that doesn't is dropped after so much more.
const GRACE: Duration = Duration::from_secs(2);

/// So long something may take to be given back. The change is over by then, and nobody waits for this.
const RELEASE: Duration = Duration::from_secs(5);

/// The longest message of a report, in bytes.
const MAX_MESSAGE: usize = 5 << 10;

/// Gives back what was reserved, within bounds.
pub(super) async fn release(offered: &Offered, task: &Task, held: &Held) {
    if timeout(RELEASE, offered.actuator.release(task, held)).await.is_err() {
        tracing::warn!(
            key = task.key,
            action = task.action,
            "what was reserved for it could not be given back in time"
        );
    }
}

impl Executor {
    /// From the first step to the last, each written down before the next.
    pub(super) async fn carry_out(
        &self,
        command: Command,
        offered: &Offered,
        before: Option<Held>,
    ) -> Report {
        let _turn = Turn::take(self, &command.key);
        let task = self.task(&command, offered);
        let can_undo = command.wanted == Wanted::Do && offered.actuator.can_undo();
        let heard = Record::Heard { command, at: self.now(), can_undo };
        if let Err(problem) = self.write(std::slice::from_ref(&heard)).await {
            let report = self.not_done(&task.key, unwritten(&problem));
            self.remember([heard, Record::Ended(report.clone())]);
            return report;
        }
        let held = match before {
            Some(held) => held,
            None => match timeout_at(task.deadline, offered.actuator.reserve(&task)).await {
                Ok(Ok(held)) => held,
                Ok(Err(problem)) => {
                    return self.end(&task, Effect::NotDone, &problem.to_string(), None).await;
                }
                Err(_) => return self.end(&task, Effect::NotDone, &too_slow(offered), None).await,
            },
        };
        if let Err(reason) = self.get_ready(&task, offered, &held).await {
            release(offered, &task, &held).await;
            return self.end(&task, Effect::NotDone, &reason, None).await;
        }
        let began = self.now();
        if let Err(problem) = self.write(&[Record::Switching { key: task.key.clone(), at: began }]).await {
            release(offered, &task, &held).await;
            return self.end(&task, Effect::NotDone, &unwritten(&problem), None).await;
        }
        let change = match task.wanted {
            Wanted::Undo => offered.actuator.undo(&task, &held),
            Wanted::Do | Wanted::DryRun => offered.actuator.switch(&task, &held),
        };
        let changed = timeout_at(task.deadline + GRACE, change).await.unwrap_or_else(|_| {
            let limit = timeout_of(offered).as_secs_f64();
            Err(Failed::unsure(format!("it was not over after {limit} s, the action's timeout")))
        });
        let (effect, message) = match changed {
            Ok(message) => {
                let switched =
                    Record::Switched { key: task.key.clone(), message: shorten(&message, MAX_MESSAGE) };
                if let Err(problem) = self.write(&[switched]).await {
                    tracing::error!(key = task.key, %problem, "done, but it can't be written down");
                }
                (Effect::Done, message)
            }
            Err(Failed { effect: Effect::Unsure, message }) => {
                let task = Task { deadline: Instant::now() + timeout_of(offered), ..task.clone() };
                let (effect, seen) = self.look(&task, offered, &held).await;
                (effect, format!("{message}; {seen}"))
            }
            Err(failed) => (failed.effect, failed.message),
        };
        release(offered, &task, &held).await;
        self.end(&task, effect, &message, Some(began)).await
    }

    /// Writes down what was reserved, waits until it can take over, and asks once more whether it may.
    async fn get_ready(&self, task: &Task, offered: &Offered, held: &Held) -> Result<(), String> {
        let reserved = Record::Reserved { key: task.key.clone(), held: held.clone() };
        self.write(&[reserved]).await.map_err(|problem| unwritten(&problem))?;
        match timeout_at(task.deadline, offered.actuator.ready(task, held)).await {
            Err(_) => return Err(too_slow(offered)),
            Ok(ready) => ready.map_err(|problem| problem.to_string())?,
        }
        self.may_still(&task.key)
    }

    /// What came of a change that was interrupted: by the end of the agent, or of the session that it was ordered over.
    pub(super) async fn settle(&self, entry: Entry) -> Report {
        let command = entry.command;
        let _turn = Turn::take(self, &command.key);
        let Some(offered) = self.offered(&command.action) else {
            let task = Task {
                key: command.key,
                plan: command.plan,
                wanted: command.wanted,
                action: command.action,
                component: command.component,
                deadline: Instant::now(),
                fresh: false,
            };
            let (effect, message) = match (&entry.switched, entry.began) {
                (Some(message), _) => (Effect::Done, message.as_str()),
                (None, None) => (Effect::NotDone, "the agent ended before it was begun"),
                (None, Some(_)) => (
                    Effect::Unsure,
                    "the agent ended in the middle of it, and the config doesn't have the action any more: look yourself",
                ),
            };
            return self.end(&task, effect, message, entry.began).await;
        };
        let task = self.task(&command, &offered);
        let held = entry.held.unwrap_or_default();
        let (effect, message) = match (entry.switched, entry.began) {
            (Some(message), _) => (Effect::Done, message),
            (None, None) => (Effect::NotDone, "the agent ended before it was begun".to_owned()),
            (None, Some(_)) => {
                let (effect, seen) = self.look(&task, &offered, &held).await;
                (effect, format!("the agent ended in the middle of it; {seen}"))
            }
        };
        if !held.is_null() {
            release(&offered, &task, &held).await;
        }
        self.end(&task, effect, &message, entry.began).await
    }

    /// On which side of the change the world is, after it was interrupted.
    async fn look(&self, task: &Task, offered: &Offered, held: &Held) -> (Effect, String) {
        let limit = task.deadline + GRACE;
        let settled = timeout_at(limit, offered.actuator.settle(task, held)).await;
        let settled =
            settled.unwrap_or_else(|_| Settled::unknown("it could not be found out in time what came of it"));
        let effect = match (settled.side, task.wanted) {
            (Side::Unknown, _) => Effect::Unsure,
            (Side::After, Wanted::Undo) | (Side::Before, Wanted::Do | Wanted::DryRun) => Effect::NotDone,
            (Side::Before, Wanted::Undo) | (Side::After, Wanted::Do | Wanted::DryRun) => Effect::Done,
        };
        (effect, settled.message)
    }

    /// What can't be written down is at least known as long as this process lives, and is written when that works again.
    pub(super) fn remember(&self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.journal.borrow_mut().remember(record);
        }
    }

    /// Writes down what came of it.
    async fn end(&self, task: &Task, effect: Effect, message: &str, began: Option<Timestamp>) -> Report {
        let message = shorten(message, MAX_MESSAGE);
        let report = Report { key: task.key.clone(), effect, message, began, ended: self.now() };
        if let Err(problem) = self.write(&[Record::Ended(report.clone())]).await {
            tracing::error!(key = task.key, %problem, "what came of it can't be written down");
            self.remember([Record::Ended(report.clone())]);
        }
        report
    }
}

fn unwritten(problem: &std::io::Error) -> String {
    format!("nothing was begun: the journal can't be written ({problem})")
}
