//! What is in the outbox, who has it, and what goes first when there is too much. Pure: no files, no time.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// Where an event's JSON is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the file, at the start of its record.
    Disk { offset: u64 },
    /// Only here.
    Memory(Rc<[u8]>),
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// What it is about: an anomaly or an incident.
    pub(crate) subject: u64,
    /// Whether that goes on after this event.
    pub(crate) open: bool,
    /// Length of the JSON.
    pub(crate) bytes: u32,
    pub(crate) place: Place,
}

/// What one sink has.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) sink: String,
    /// Everything up to here is delivered.
    pub(crate) delivered: u64,
}

/// Events of a subject that were given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) subject: u64,
    pub(crate) events: usize,
    pub(crate) was_open: bool,
}

/// Events in order of their sequence, the latest of each anomaly or incident, and a cursor per sink.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// The latest event of each subject that is in here: its sequence and whether the subject is open.
    latest: HashMap<u64, (u64, bool)>,
    pub(crate) cursors: Vec<Cursor>,
    /// The highest sequence ever used.
    pub(crate) last: u64,
}

impl Queue {
    pub(crate) fn new(sinks: &[String]) -> Self {
        let mut queue = Self::default();
        queue.set_sinks(sinks);
        queue
    }

    /// Sinks of the same name keep what they have; new ones have nothing; the others are forgotten.
    pub(crate) fn set_sinks(&mut self, sinks: &[String]) {
        let before = std::mem::take(&mut self.cursors);
        let delivered = |sink: &str| {
            before.iter().find(|cursor| cursor.sink == sink).map_or(0, |cursor| cursor.delivered)
        };
        self.cursors =
            sinks.iter().map(|sink| Cursor { sink: sink.clone(), delivered: delivered(sink) }).collect();
        self.forget_finished();
    }

    /// Adds an event; its sequence must be the highest so far. The event before it of the same subject goes if nobody
    /// waits for it.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.insert(entry);
        self.forget_finished();
    }

    /// [`Queue::push`] without the cleaning up, for many events in a row.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.last = self.last.max(entry.sequence);
        self.latest.insert(entry.subject, (entry.sequence, entry.open));
        self.entries.push_back(entry);
    }

    /// Notes that a sink has everything up to `sequence`.
    pub(crate) fn ack(&mut self, sink: &str, sequence: u64) {
        self.note(sink, sequence);
        self.forget_finished();
    }

    /// [`Queue::ack`] without the cleaning up.
    pub(crate) fn note(&mut self, sink: &str, sequence: u64) {
        self.last = self.last.max(sequence);
        if let Some(cursor) = self.cursors.iter_mut().find(|cursor| cursor.sink == sink) {
            cursor.delivered = cursor.delivered.max(sequence);
        }
    }

    /// Removes what every sink has and no open subject needs.
    pub(crate) fn forget_finished(&mut self) {
        let everywhere = self.everywhere();
        let latest = &mut self.latest;
        self.entries.retain(|entry| {
            let (newest, open) = latest.get(&entry.subject).copied().unwrap_or_default();
            let kept = entry.sequence > everywhere || (open && entry.sequence == newest);
            if !kept && entry.sequence == newest {
                latest.remove(&entry.subject);
            }
            kept
        });
    }

    /// Up to where every sink has everything.
    fn everywhere(&self) -> u64 {
        self.cursors.iter().map(|cursor| cursor.delivered).min().unwrap_or(self.last)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// What a sink still has to get, oldest first; nothing for a name that is no sink.
    pub(crate) fn pending(&self, sink: &str) -> impl Iterator<Item = &Entry> {
        let cursor = self.cursors.iter().find(|cursor| cursor.sink == sink);
        let delivered = cursor.map_or(u64::MAX, |cursor| cursor.delivered);
        let start = self.entries.partition_point(|entry| entry.sequence <= delivered);
        self.entries.range(start..)
    }

    /// How many events some sink still has to get.
    pub(crate) fn pending_anywhere(&self) -> usize {
        let everywhere = self.everywhere();
        self.entries.iter().filter(|entry| entry.sequence > everywhere).count()
    }

    /// The latest event of each open subject, oldest first.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| self.latest.get(&entry.subject) == Some(&(entry.sequence, true)))
    }

    /// Gives up one event that can't be read any more.
    pub(crate) fn remove(&mut self, sequence: u64) {
        self.entries.retain(|entry| entry.sequence != sequence);
        self.latest.retain(|_, (newest, _)| *newest != sequence);
    }

    /// Gives up what matters least among the entries that `among` names: all of the oldest closed subject; without one,
    /// the oldest event that a later one of its subject supersedes; without one, the oldest open subject.
    pub(crate) fn give_up(&mut self, among: impl Fn(&Entry) -> bool) -> Option<Dropped> {
        let newest = |entry: &Entry| self.latest.get(&entry.subject).copied().unwrap_or_default();
        let mut candidates = self.entries.iter().filter(|entry| among(entry));
        let closed = candidates.clone().find(|entry| !newest(entry).1);
        let superseded = || candidates.clone().find(|entry| newest(entry).0 != entry.sequence);
        let (subject, single, was_open) = match closed {
            Some(entry) => (entry.subject, None, false),
            None => match superseded() {
                Some(entry) => (entry.subject, Some(entry.sequence), true),
                None => (candidates.next()?.subject, None, true),
            },
        };
        let before = self.entries.len();
        match single {
            Some(sequence) => self.entries.retain(|entry| entry.sequence != sequence),
            None => {
                self.entries.retain(|entry| entry.subject != subject);
                self.latest.remove(&subject);
            }
        }
        Some(Dropped { subject, events: before - self.entries.len(), was_open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(sinks: &[&str], events: &[(u64, bool)]) -> Queue {
        let mut queue = Queue::new(&sinks.iter().map(|&sink| sink.to_owned()).collect::<Vec<_>>());
        for (i, &(subject, open)) in events.iter().enumerate() {
            let place = Place::Memory(Rc::from([]));
            queue.push(Entry { sequence: i as u64 + 1, subject, open, bytes: 10, place });
        }
        queue
    }

    fn left(queue: &Queue) -> Vec<u64> {
        queue.entries().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn an_event_stays_until_every_sink_has_it() {
        let mut queue = queue(&["a", "b"], &[(1, true), (1, false)]);
        queue.ack("a", 2);
        assert_eq!(
            (left(&queue), queue.pending("a").count(), queue.pending("b").count()),
            (vec![1, 2], 0, 2)
        );
        queue.ack("b", 2);
        assert!(left(&queue).is_empty() && queue.latest.is_empty());
    }

    #[test]
    fn the_latest_event_of_an_open_anomaly_stays_although_everybody_has_it() {
        let mut queue = queue(&["a"], &[(1, true), (2, true), (1, true)]);
        queue.ack("a", 3);
        assert_eq!(left(&queue), vec![2, 3]);
        assert_eq!(queue.open().count(), 2);
        assert_eq!(queue.pending_anywhere(), 0);
    }

    #[test]
    fn the_oldest_closed_anomaly_goes_first_then_what_is_superseded_then_the_oldest_open_one() {
        let mut queue =
            queue(&["a"], &[(1, true), (2, true), (3, true), (2, false), (3, false), (1, true), (4, true)]);
        let mut dropped = Vec::new();
        while let Some(drop) = queue.give_up(|_| true) {
            dropped.push((drop.subject, drop.events, drop.was_open));
        }
        let expected = vec![(2, 2, false), (3, 2, false), (1, 1, true), (1, 1, true), (4, 1, true)];
        assert_eq!(dropped, expected);
    }

    #[test]
    fn an_unknown_sink_gets_nothing_and_holds_nothing_back() {
        let mut queue = queue(&["a"], &[(1, false)]);
        queue.ack("gone", 0);
        assert_eq!(queue.pending("gone").count(), 0);
        queue.ack("a", 1);
        assert!(left(&queue).is_empty());
    }
}
