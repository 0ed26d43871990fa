//! The journal in memory: what is known of each command.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larnax_core::{Authority, Command, Effect, Report, Timestamp, Wanted};

use super::record::Record;
use crate::Held;

/// So long it is known what came of a command.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Of so many commands that is known, and of as many more that can still be taken back.
const MOST_KEPT: usize = 1_000;

/// Of so many epochs the authority is known.
const MOST_EPOCHS: usize = 8;

/// What is known of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The command.
    pub command: Command,
    /// When it came.
    pub heard: Timestamp,
    /// Whether it can be taken back, if it was done.
    pub can_undo: bool,
    /// What was reserved.
    pub held: Option<Held>,
    /// When the change began.
    pub began: Option<Timestamp>,
    /// What was done.
    pub switched: Option<String>,
    /// What came of it; none while it is open.
    pub report: Option<Report>,
}

impl Entry {
    /// Whether it was given up before anything began.
    pub fn is_refused(&self) -> bool {
        let not_done = |report: &Report| report.effect == Effect::NotDone;
        self.began.is_none() && self.report.as_ref().is_some_and(not_done)
    }

    fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let key = || self.command.key.clone();
        let heard = Record::Heard { command: self.command.clone(), at: self.heard, can_undo: self.can_undo };
        let reserved = self.held.clone().map(|held| Record::Reserved { key: key(), held });
        let switching = self.began.map(|at| Record::Switching { key: key(), at });
        let switched = self.switched.clone().map(|message| Record::Switched { key: key(), message });
        let ended = self.report.clone().map(Record::Ended);
        std::iter::once(heard).chain(reserved).chain(switching).chain(switched).chain(ended)
    }
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_key: BTreeMap<String, Entry>,
    /// The one that was seen last comes last.
    authorities: Vec<Authority>,
}

impl Entries {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.by_key.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_key.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The largest number seen of an epoch.
    pub(super) fn authority(&self, epoch: &str) -> Option<u64> {
        self.authorities.iter().find(|seen| seen.epoch == epoch).map(|seen| seen.number)
    }

    /// Takes a record in. A step of a command that nobody heard is of a line that was lost: false.
    pub(super) fn apply(&mut self, record: Record) -> bool {
        if let Record::Heard { command, at, can_undo } = record {
            self.see(&command.authority);
            // One that was refused may be ordered anew; what has begun is never begun again.
            if self.by_key.get(&command.key).is_none_or(Entry::is_refused) {
                let entry = Entry {
                    heard: at,
                    can_undo,
                    held: None,
                    began: None,
                    switched: None,
                    report: None,
                    command,
                };
                self.by_key.insert(entry.command.key.clone(), entry);
            }
            return true;
        }
        if let Record::Authority(authority) = record {
            self.see(&authority);
            return true;
        }
        let Some(entry) = record.key().and_then(|key| self.by_key.get_mut(key)) else { return false };
        match record {
            Record::Reserved { held, .. } => entry.held = Some(held),
            Record::Switching { at, .. } => entry.began = Some(at),
            Record::Switched { message, .. } => entry.switched = Some(message),
            Record::Ended(report) => entry.report = Some(report),
            Record::Heard { .. } | Record::Authority(_) => {}
        }
        true
    }

    fn see(&mut self, authority: &Authority) {
        let known = self.authorities.iter().position(|seen| seen.epoch == authority.epoch);
        let before = known.map(|at| self.authorities.remove(at).number);
        let number = before.map_or(authority.number, |before| before.max(authority.number));
        self.authorities.push(Authority { epoch: authority.epoch.clone(), number });
        if self.authorities.len() > MOST_EPOCHS {
            self.authorities.remove(0);
        }
    }

    /// Forgets what can't matter any more. What is open is kept, and what could come a second time because it has not expired: if it
    /// were forgotten, it would be done again.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let mut newest: Vec<(Timestamp, &String)> =
            self.by_key.iter().map(|(key, entry)| (entry.heard, key)).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept = BTreeSet::new();
        let (mut recent, mut undoable) = (0, 0);
        for (heard, key) in newest {
            let Some(entry) = self.by_key.get(key) else { continue };
            let needed = entry.report.is_none() || entry.command.expires >= now;
            let is_recent = heard.plus(KEPT) >= now && recent < MOST_KEPT;
            let is_undoable = self.can_be_undone(entry) && undoable < MOST_KEPT;
            recent += usize::from(is_recent);
            undoable += usize::from(is_undoable);
            if needed || is_recent || is_undoable {
                kept.insert(key.clone());
            }
        }
        self.by_key.retain(|key, _| kept.contains(key));
    }

    fn can_be_undone(&self, entry: &Entry) -> bool {
        let done = entry.report.as_ref().is_some_and(|report| report.effect == Effect::Done);
        let undone = || {
            let undo = self.by_key.get(&Command::key(entry.command.plan, Wanted::Undo));
            undo.and_then(|undo| undo.report.as_ref()).is_some_and(|report| report.effect == Effect::Done)
        };
        entry.can_undo && entry.command.wanted == Wanted::Do && done && !undone()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let authorities = self.authorities.iter().cloned().map(Record::Authority);
        authorities.chain(self.by_key.values().flat_map(Entry::records))
    }
}
