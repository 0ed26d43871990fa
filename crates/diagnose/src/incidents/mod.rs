//! From anomalies to incidents: which of them belong together, by time and topology.
//!
//! Events may come more than once, in any order, late, and from clocks that differ. What an event says is only ever added
//! to what is known (an end, an alert), so a second one changes nothing. Which anomalies are grouped does not depend on
//! the order of events as long as they come before what they belong to is forgotten (the rules are in `join.rs`). What may differ
//! with the order, and with how often [`Incidents::changes`] is asked: an incident's id, which is that of the anomaly
//! heard first, and thus which of two that turn out to be one goes on; and the times of an event from the future, which are
//! taken relative to when it was heard.
//!
//! When an incident opens, grows and closes follows from onsets, which are the agents'; how long it is held open and
//! remembered follows from when it was heard of, which is the holder's own time. So an agent whose clock is an hour behind
//! has its incidents held as long as any other.

mod hear;
mod index;
mod join;
mod options;

use std::collections::{BTreeMap, BTreeSet};

use larnax_core::{Diagnosis, Event, Incident, IncidentAnomaly, IncidentId, IncidentPlan, Timestamp};

use crate::Topology;
use index::Index;
pub use options::Options;

/// An event, and what is known of how it came.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What an agent told.
    pub event: &'a Event,
    /// How far the agent's clock is ahead of the holder's, in seconds, where that was measured (negative: behind); else 0.
    pub clock_ahead: f64,
}

impl<'a> Heard<'a> {
    /// From an agent whose clock was not compared.
    pub fn of(event: &'a Event) -> Self {
        Self { event, clock_ahead: 0.0 }
    }
}

/// What became of an incident since it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new. (It may have ended already: see `closed`.)
    Opened,
    /// It has more anomalies.
    Grown,
    /// Something else changed: an anomaly ended, or was worth an alert after all, or the cause was diagnosed.
    Updated,
    /// It had ended, and news that came late say otherwise.
    Reopened,
    /// All its anomalies have ended, and none came back.
    Closed,
    /// It turned out to be a part of another: see `merged_into`.
    Merged,
}

/// An incident that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What became of it.
    pub what: What,
    /// As it stands now, with a sequence larger than when it was told before.
    pub incident: Incident,
}

/// An incident in memory.
#[derive(Clone, Debug)]
struct Tracked {
    incident: Incident,
    /// When something was last heard of it.
    heard: Timestamp,
    /// How it stood when it was last told.
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    closed: bool,
    anomalies: u64,
}

impl Tracked {
    fn size(&self) -> u64 {
        self.incident.anomalies.len() as u64 + self.incident.left_out
    }

    fn has_open_anomaly(&self) -> bool {
        self.incident.anomalies.iter().any(|anomaly| anomaly.closed.is_none())
    }

    /// When its last anomaly ended.
    fn end(&self) -> Timestamp {
        let ends = self.incident.anomalies.iter().filter_map(|anomaly| anomaly.closed);
        ends.max().unwrap_or(self.incident.last_seen)
    }
}

/// The incidents that are open, and those that closed not long ago.
#[derive(Clone, Debug, Default)]
pub struct Incidents {
    options: Options,
    incidents: BTreeMap<IncidentId, Tracked>,
    index: Index,
    changed: BTreeSet<IncidentId>,
    /// Told incidents that were merged since.
    merged: Vec<Incident>,
    refused: u64,
    from_the_future: u64,
}

impl Incidents {
    /// None yet.
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Goes on after a restart with the incidents that were told before: all open ones, and those that closed within
    /// [`Options::remember`]. Then the events since the last one that was heard can be told, and more: what is known
    /// already changes nothing.
    pub fn restore(options: Options, stored: impl IntoIterator<Item = Incident>, now: Timestamp) -> Self {
        let mut all: Vec<Incident> = stored.into_iter().filter(|one| one.merged_into.is_none()).collect();
        // Should two claim the same anomaly, the older has it; should there be too many, the open and the latest stay.
        all.sort_by_key(|one| (one.closed.is_some(), std::cmp::Reverse(one.closed), one.opened, one.id));
        let mut incidents = Self::new(options);
        for mut incident in all {
            let heard = incident.closed.map_or(now, |closed| closed.min(now));
            let old =
                incident.closed.is_some() && now.since(heard) >= incidents.options.remember.as_secs_f64();
            incident.anomalies.retain(|anomaly| incidents.index.incident_of(anomaly.id).is_none());
            let room = incidents.options.max_tracked.saturating_sub(incidents.index.len());
            if old
                || incident.anomalies.len() > room
                || incidents.incidents.len() >= incidents.options.max_incidents
                || incidents.incidents.contains_key(&incident.id)
            {
                continue;
            }
            incident.anomalies.sort_by_key(|anomaly| (anomaly.onset, anomaly.id));
            for anomaly in &incident.anomalies {
                incidents.index.insert(anomaly, incident.id);
            }
            let mut tracked = Tracked { incident, heard, told: None };
            tracked.told =
                Some(Told { closed: tracked.incident.closed.is_some(), anomalies: tracked.size() });
            incidents.incidents.insert(tracked.incident.id, tracked);
        }
        incidents
    }

    /// Lets time pass: closes what has ended and forgets what closed long ago. To be called every second or so.
    pub fn pass(&mut self, now: Timestamp) {
        let (hold, lost) = (self.options.hold.as_secs_f64(), self.options.lost_after.as_secs_f64());
        let remember = self.options.remember.as_secs_f64();
        let mut forgotten = Vec::new();
        for (id, tracked) in &mut self.incidents {
            // A clock that was set back must not hold incidents open until it is there again.
            tracked.heard = tracked.heard.min(now);
            let silent = now.since(tracked.heard);
            if tracked.incident.closed.is_some() {
                if silent >= remember {
                    forgotten.push(*id);
                }
                continue;
            }
            if silent >= lost {
                let last_seen = tracked.incident.last_seen;
                for anomaly in &mut tracked.incident.anomalies {
                    let end = *anomaly.closed.get_or_insert(last_seen.max(anomaly.onset));
                    self.index.close(anomaly.id, end);
                }
            }
            if silent >= hold && !tracked.has_open_anomaly() {
                tracked.incident.closed = Some(tracked.end());
                tracked.heard = now;
                self.changed.insert(*id);
            }
        }
        for id in forgotten {
            self.forget(id);
        }
    }

    /// Looks again at what began not long ago, because the topology has changed: what was apart may be near by now. What is
    /// together stays so.
    pub fn regroup(&mut self, topology: &Topology, now: Timestamp) {
        let window = self.options.window;
        for id in self.index.since(now.minus(window).minus(window)) {
            let incident = self.index.incident_of(id).and_then(|incident| self.incidents.get(&incident));
            let anomaly =
                incident.and_then(|t| t.incident.anomalies.iter().find(|one| one.id == id)).cloned();
            if let Some(anomaly) = anomaly {
                self.settle(&anomaly, topology, now);
            }
        }
    }

    /// Keeps what was found out about an incident's cause. False when it is not in memory.
    pub fn diagnosed(&mut self, id: IncidentId, diagnosis: Diagnosis) -> bool {
        let Some(tracked) = self.incidents.get_mut(&id) else { return false };
        tracked.incident.diagnosis = Some(diagnosis);
        self.changed.insert(id);
        true
    }

    /// Keeps what is done about an incident.
    pub fn planned(&mut self, id: IncidentId, plan: IncidentPlan) {
        let Some(tracked) = self.incidents.get_mut(&id) else { return };
        if tracked.incident.plan.as_ref() != Some(&plan) {
            tracked.incident.plan = Some(plan);
            self.changed.insert(id);
        }
    }

    /// What changed since this was last asked, each incident once, by id: however many events there were in between.
    pub fn changes(&mut self) -> Vec<Change> {
        let merged = std::mem::take(&mut self.merged).into_iter();
        let mut changes: Vec<Change> =
            merged.map(|incident| Change { what: What::Merged, incident }).collect();
        for id in std::mem::take(&mut self.changed) {
            let Some(tracked) = self.incidents.get_mut(&id) else { continue };
            let now = Told { closed: tracked.incident.closed.is_some(), anomalies: tracked.size() };
            let what = match tracked.told {
                None => What::Opened,
                Some(before) if before.closed && !now.closed => What::Reopened,
                Some(before) if !before.closed && now.closed => What::Closed,
                Some(before) if now.anomalies > before.anomalies => What::Grown,
                Some(_) => What::Updated,
            };
            if tracked.told.replace(now).is_some() {
                tracked.incident.sequence = tracked.incident.sequence.saturating_add(1);
            }
            changes.push(Change { what, incident: tracked.incident.clone() });
        }
        changes.sort_by_key(|change| change.incident.id);
        changes
    }

    /// The incident with this id, if it is in memory, as it stands now. Its sequence is that of the last change.
    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.incidents.get(&id).map(|tracked| &tracked.incident)
    }

    /// Those in memory, open and closed, by id.
    pub fn all(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values().map(|tracked| &tracked.incident)
    }

    /// Events that found no room so far: everything in memory is open.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Anomalies that were told from the future so far.
    pub fn from_the_future(&self) -> u64 {
        self.from_the_future
    }

    fn forget(&mut self, id: IncidentId) {
        // A change that was not told yet is told first.
        if self.changed.contains(&id) {
            return;
        }
        let Some(tracked) = self.incidents.remove(&id) else { return };
        for anomaly in &tracked.incident.anomalies {
            self.index.remove(anomaly);
        }
    }

    /// Whether there is room for one more anomaly in an incident of its own, after forgetting closed ones if need be.
    fn make_room(&mut self) -> bool {
        while self.incidents.len() >= self.options.max_incidents
            || self.index.len() >= self.options.max_tracked
        {
            let closed = self
                .incidents
                .iter()
                .filter(|(id, tracked)| tracked.incident.closed.is_some() && !self.changed.contains(id));
            let Some(oldest) = closed.min_by_key(|(id, tracked)| (tracked.heard, **id)).map(|(id, _)| *id)
            else {
                return false;
            };
            self.forget(oldest);
        }
        true
    }
}

/// Puts an anomaly where it belongs by its onset.
fn insert_by_onset(anomalies: &mut Vec<IncidentAnomaly>, anomaly: IncidentAnomaly) {
    let at = anomalies.partition_point(|other| (other.onset, other.id) < (anomaly.onset, anomaly.id));
    anomalies.insert(at, anomaly);
}
