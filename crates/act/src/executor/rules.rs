//! What is refused, before anything is touched.

use std::time::Duration;

use larnax_core::{Authority, Command, Effect, Timestamp, Wanted};

use super::Executor;
use crate::text::shorten;
use crate::{Held, Offered};

/// The longest text of a command, in bytes. They are written down before they are believed.
pub(super) const MAX_TEXT: usize = 256;

/// Nothing is ordered for later than this. An agent whose clock is far behind, as after a start without a network, would otherwise take
/// what is long over for fresh; and what hasn't expired has to be remembered.
const MOST_AHEAD: Duration = Duration::from_secs(86_400);

/// So many changes are made at once at most: what sits beside a service must not become its burden.
const MOST_AT_ONCE: usize = 16;

/// Whether it can be a command of a hub at all.
pub(super) fn well_formed(command: &Command) -> Result<(), String> {
    for (what, text) in [("action", &command.action), ("epoch", &command.authority.epoch)] {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(format!("its {what} has {} bytes, expected 1 to {MAX_TEXT}", text.len()));
        }
    }
    let key = Command::key(command.plan, command.wanted);
    if command.key != key {
        return Err(format!("its key is `{}`, expected `{key}`", shorten(&command.key, 40)));
    }
    Ok(())
}

impl Executor {
    /// How it is done, and for taking back what was held; or why it is not done.
    pub(super) fn may(&self, command: &Command) -> Result<(Offered, Option<Held>), String> {
        let Some(offered) = self.offered(&command.action) else {
            return Err(format!("the action `{}` is not offered here", shorten(&command.action, 80)));
        };
        if !offered.offer.is_for(&command.component) {
            return Err(format!("the action `{}` is not offered for {}", command.action, command.component));
        }
        let now = self.now();
        if now > command.expires {
            return Err(format!("it came {:.1} s too late", now.since(command.expires)));
        }
        if command.expires > now.plus(MOST_AHEAD) {
            return Err(format!(
                "it expires in {:.0} s, expected {} at most: the clocks of hub and agent may differ",
                command.expires.since(now),
                MOST_AHEAD.as_secs()
            ));
        }
        self.is_not_overruled(command)?;
        let journal = self.journal.borrow();
        let held = match command.wanted {
            Wanted::Undo => Some(self.to_undo(command, &offered)?),
            Wanted::Do | Wanted::DryRun => None,
        };
        let open = || journal.open_entries();
        if let Some(other) = open().find(|entry| entry.command.component == command.component) {
            return Err(format!(
                "busy: `{}` is being done to {} (plan {})",
                other.command.action, command.component, other.command.plan
            ));
        }
        if open().count() >= MOST_AT_ONCE {
            return Err(format!("busy: {MOST_AT_ONCE} other changes are being made here"));
        }
        if command.wanted != Wanted::Undo {
            self.is_cool(command, &offered, now)?;
        }
        if journal.is_full() {
            return Err("too many commands to remember; some are forgotten when they have expired".to_owned());
        }
        Ok((offered, held))
    }

    /// Whether it may still begin now that all is ready, which may have taken a while.
    pub(super) fn may_still(&self, key: &str) -> Result<(), String> {
        let Some(entry) = self.entry(key) else { return Err("it isn't known any more".to_owned()) };
        let late = self.now().since(entry.command.expires);
        if late > 0.0 {
            return Err(format!("nothing was begun: it was ready {late:.1} s too late"));
        }
        self.is_not_overruled(&entry.command)
    }

    /// Whether no other hub with the same history has a larger number.
    fn is_not_overruled(&self, command: &Command) -> Result<(), String> {
        let Authority { epoch, number } = &command.authority;
        match self.journal.borrow().authority(epoch) {
            Some(seen) if *number < seen => Err(format!("another hub has taken over: {number} < {seen}")),
            _ => Ok(()),
        }
    }

    /// Whether the action's own cooldown is over. The hub keeps it too, if it knows of the last time: another hub may not.
    fn is_cool(&self, command: &Command, offered: &Offered, now: Timestamp) -> Result<(), String> {
        let journal = self.journal.borrow();
        let same = journal.entries().filter(|entry| {
            let Command { wanted, action, component, .. } = &entry.command;
            *wanted == Wanted::Do && *action == command.action && *component == command.component
        });
        let reports = same.filter_map(|entry| entry.report.as_ref());
        let last = reports.filter(|report| report.effect != Effect::NotDone).map(|report| report.ended).max();
        let cooldown = offered.offer.cooldown_seconds;
        match last.map(|last| now.since(last)) {
            Some(ago) if ago < cooldown => Err(format!(
                "`{}` was done to {} {ago:.0} s ago, and its cooldown is {cooldown} s",
                command.action, command.component
            )),
            _ => Ok(()),
        }
    }

    /// What was held when the plan's action was done.
    fn to_undo(&self, command: &Command, offered: &Offered) -> Result<Held, String> {
        let done = self.entry(&Command::key(command.plan, Wanted::Do));
        let Some((entry, report)) = done.and_then(|entry| entry.report.clone().map(|report| (entry, report)))
        else {
            return Err(format!(
                "nothing was done here for plan {}, so there is nothing to take back",
                command.plan
            ));
        };
        if entry.command.action != command.action || entry.command.component != command.component {
            return Err(format!(
                "plan {} did `{}` to {}: only that can be taken back",
                command.plan, entry.command.action, entry.command.component
            ));
        }
        match report.effect {
            Effect::NotDone => {
                return Err(format!(
                    "it was not done ({}), so there is nothing to take back",
                    report.message
                ));
            }
            Effect::Unsure => {
                return Err(
                    "nobody knows whether it was done: look yourself before it is taken back".to_owned()
                );
            }
            Effect::Done => {}
        }
        if !entry.can_undo || !offered.actuator.can_undo() {
            return Err(format!("`{}` can't be taken back", command.action));
        }
        entry.held.ok_or_else(|| "the state before isn't known any more".to_owned())
    }
}
