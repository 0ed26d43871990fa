//! The executor: commands in, reports out, each change at most once.

mod rules;
mod steps;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Clock, Command, Effect, Offer, Report, Timestamp, Wanted};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::journal::{Entry, Record};
use crate::{ActError, Journal, LocalFuture, Offered, Task};

/// Hears of each record that was written down, and is waited for before the next step: for tests that end the agent there.
pub type Watch = Rc<dyn Fn(&Record) -> LocalFuture<'static, ()>>;

/// Does what it is told, if it is offered here, in time, and not overruled; each thing at most once.
///
/// What is begun is best led to its end: a future of [`handle`](Self::handle) that is dropped leaves its command open, as if the agent had
/// been killed there, until it comes again or [`finish_interrupted`](Self::finish_interrupted) is called. So a session should hand its
/// commands to tasks that outlive it.
pub struct Executor {
    offered: RefCell<BTreeMap<String, Offered>>,
    journal: RefCell<Journal>,
    clock: Rc<dyn Clock>,
    /// Keys of what is being done by a future of this process.
    running: RefCell<BTreeSet<String>>,
    /// One of them has ended.
    ended: Notify,
    watch: Option<Watch>,
}

impl Executor {
    /// With the journal in `folder` (`actions` in the state directory). Does nothing yet about what a crash interrupted: call
    /// [`finish_interrupted`](Self::finish_interrupted) in a task.
    pub fn open(folder: &Path, offered: Vec<Offered>, clock: Rc<dyn Clock>) -> Result<Self, ActError> {
        let journal = Journal::open(folder, clock.now())?;
        let executor = Self {
            offered: RefCell::default(),
            journal: RefCell::new(journal),
            clock,
            running: RefCell::default(),
            ended: Notify::new(),
            watch: None,
        };
        executor.set_offered(offered);
        Ok(executor)
    }

    /// The same with somebody who hears of each step.
    pub fn with_watch(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// After the config was read again. What is being done goes on as it was begun.
    pub fn set_offered(&self, offered: Vec<Offered>) {
        *self.offered.borrow_mut() =
            offered.into_iter().map(|offered| (offered.offer.action.clone(), offered)).collect();
    }

    /// What the hub may order.
    pub fn offers(&self) -> Vec<Offer> {
        self.offered.borrow().values().map(|offered| offered.offer.clone()).collect()
    }

    /// What a person should know: damage that was found in the journal. Once.
    pub fn take_notices(&self) -> Vec<String> {
        self.journal.borrow_mut().take_notices()
    }

    /// Finds out what came of everything that a crash interrupted, and finishes what can't be left half done. Nothing is begun. The hub
    /// gets these reports as it gets those of [`handle`](Self::handle).
    pub async fn finish_interrupted(&self) -> Vec<Report> {
        let open: Vec<String> =
            self.journal.borrow().open_entries().map(|entry| entry.command.key.clone()).collect();
        let mut reports = Vec::new();
        for key in open {
            reports.extend(self.known(&key).await);
        }
        reports
    }

    /// Does what a command says, or says why not. The same command again gets the same report, and nothing is done a second time.
    pub async fn handle(&self, command: Command) -> Report {
        if let Err(problem) = rules::well_formed(&command) {
            return self.not_done(&command.key, problem);
        }
        if command.wanted == Wanted::DryRun {
            return self.dry_run(&command).await;
        }
        if !self.is_new_order(&command)
            && let Some(report) = self.known(&command.key).await
        {
            return report;
        }
        match self.may(&command) {
            Ok((offered, held)) => self.carry_out(command, &offered, held).await,
            Err(reason) => self.refuse(command, reason).await,
        }
    }

    /// Whether it was ordered anew: it was refused before anything began, and the hub has given it more time since. A command that is
    /// merely sent again has the same expiry.
    fn is_new_order(&self, command: &Command) -> bool {
        let journal = self.journal.borrow();
        journal.get(&command.key).is_some_and(|entry| {
            entry.is_refused() && command.expires.millis() > entry.command.expires.millis()
        })
    }

    /// What came of a command that was heard before; waits for it if it is being done. None if it is new.
    async fn known(&self, key: &str) -> Option<Report> {
        loop {
            let changed = self.ended.notified();
            let entry = self.journal.borrow().get(key)?.clone();
            if let Some(report) = entry.report {
                return Some(report);
            }
            if !self.running.borrow().contains(key) {
                return Some(self.settle(entry).await);
            }
            changed.await;
        }
    }

    /// Says no, and says the same when asked again: a hub that has heard it goes on to something else.
    async fn refuse(&self, command: Command, reason: String) -> Report {
        let report = self.not_done(&command.key, reason);
        if !self.journal.borrow().is_full() {
            let heard = Record::Heard { command, at: report.ended, can_undo: false };
            let records = [heard, Record::Ended(report.clone())];
            if let Err(problem) = self.write(&records).await {
                tracing::error!(key = report.key, %problem, "refused, but that can't be written down");
                self.remember(records);
            }
        }
        report
    }

    async fn dry_run(&self, command: &Command) -> Report {
        let (offered, _) = match self.may(command) {
            Ok(allowed) => allowed,
            Err(reason) => return self.not_done(&command.key, reason),
        };
        let task = self.task(command, &offered);
        let reserved = timeout_at(task.deadline, offered.actuator.reserve(&task)).await;
        let (effect, message) = match reserved {
            Err(_) => (Effect::NotDone, too_slow(&offered)),
            Ok(Err(problem)) => (Effect::NotDone, problem.to_string()),
            Ok(Ok(held)) => {
                let would = offered.actuator.describe(&task, &held);
                steps::release(&offered, &task, &held).await;
                (Effect::Done, would)
            }
        };
        Report { key: command.key.clone(), effect, message, began: None, ended: self.now() }
    }

    fn task(&self, command: &Command, offered: &Offered) -> Task {
        Task {
            key: command.key.clone(),
            plan: command.plan,
            wanted: command.wanted,
            action: command.action.clone(),
            component: command.component.clone(),
            deadline: Instant::now() + timeout_of(offered),
            fresh: self.now() <= command.expires,
        }
    }

    fn not_done(&self, key: &str, message: String) -> Report {
        let key = key.chars().take(rules::MAX_TEXT).collect();
        Report { key, effect: Effect::NotDone, message, began: None, ended: self.now() }
    }

    /// Writes down what is over, before what comes next.
    async fn write(&self, records: &[Record]) -> std::io::Result<()> {
        let now = self.now();
        self.journal.borrow_mut().append(records, now)?;
        if let Some(watch) = &self.watch {
            for record in records {
                watch(record).await;
            }
        }
        Ok(())
    }

    /// In milliseconds, as times are written down: what is said of a command is the same before a restart and after it.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().millis())
    }

    fn offered(&self, action: &str) -> Option<Offered> {
        self.offered.borrow().get(action).cloned()
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        self.journal.borrow().get(key).cloned()
    }
}

/// An action may take this long at least: below, nothing could ever be done.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// An action may take this long at most: a day.
const MOST_TIMEOUT: Duration = Duration::from_secs(86_400);

fn timeout_of(offered: &Offered) -> Duration {
    let seconds = offered.offer.timeout_seconds;
    Duration::try_from_secs_f64(seconds).unwrap_or(MOST_TIMEOUT).clamp(LEAST_TIMEOUT, MOST_TIMEOUT)
}

fn too_slow(offered: &Offered) -> String {
    format!(
        "nothing was begun: it was not ready after {} s, the action's timeout",
        timeout_of(offered).as_secs_f64()
    )
}

/// A change that this process works on. Dropped, others may go on with it.
struct Turn<'a> {
    executor: &'a Executor,
    key: String,
}

impl<'a> Turn<'a> {
    fn take(executor: &'a Executor, key: &str) -> Self {
        executor.running.borrow_mut().insert(key.to_owned());
        Self { executor, key: key.to_owned() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.executor.running.borrow_mut().remove(&self.key);
        self.executor.ended.notify_waiters();
    }
}
