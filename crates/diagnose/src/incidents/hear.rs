//! What an event changes.

use std::collections::BTreeSet;

use larnax_core::{
    Anomaly, AnomalyId, Incident, IncidentAnomaly, IncidentId, MetricName, Timestamp, Transition,
};

use super::{Heard, Incidents, Tracked, insert_by_onset};
use crate::Topology;

/// The farthest that a clock is believed to be off, in seconds; beyond that its times are not believed to mean anything.
const MAX_SKEW: f64 = 86_400.0;
/// So many names of metrics are kept of an anomaly: as many as an edge tells.
const MOST_NAMES: usize = 10;

impl Incidents {
    /// Takes an event, heard at `now` by the clock of whoever holds this.
    pub fn hear(&mut self, heard: Heard<'_>, topology: &Topology, now: Timestamp) {
        let data = &heard.event.data;
        let id = data.anomaly.id;
        let Some(incident) = self.index.incident_of(id) else {
            return self.hear_new(heard, topology, now);
        };
        let Some(tracked) = self.incidents.get_mut(&incident) else { return };
        tracked.heard = now;
        let Some(known) = tracked.incident.anomalies.iter_mut().find(|known| known.id == id) else { return };
        let skew = known.skew_seconds.unwrap_or(0.0);
        let mut changed = false;
        let mut ended = None;
        // What it is named after may change while it lasts.
        known.metrics = names(&data.anomaly);
        if let Some(closed) = data.anomaly.closed.filter(|_| known.closed.is_none()) {
            let end = earlier(closed, skew).min(now).max(known.onset);
            known.closed = Some(end);
            self.index.close(id, end);
            ended = Some(known.clone());
            changed = true;
        }
        let last_seen = earlier(data.anomaly.last_seen, skew).min(now);
        // It goes on after it had ended: agents take what comes back soon for the same. What is told late was seen before the end.
        if data.anomaly.is_open() && known.closed.is_some_and(|closed| last_seen > closed) {
            known.closed = None;
            self.index.reopen(id);
            tracked.incident.closed = None;
            changed = true;
        }
        changed |= tracked.notice(data.anomaly.alerted, last_seen);
        if changed {
            self.changed.insert(incident);
        }
        if let Some(anomaly) = ended {
            // It may have come back already, where that was heard first.
            self.settle(&anomaly, topology, now);
        }
    }

    fn hear_new(&mut self, heard: Heard<'_>, topology: &Topology, now: Timestamp) {
        let (event, data) = (heard.event, &heard.event.data);
        let told = &data.anomaly;
        let mut skew = if heard.clock_ahead.abs() <= MAX_SKEW { heard.clock_ahead } else { 0.0 };
        let ahead = event.time.since(now);
        if ahead - skew > self.options.future.as_secs_f64() {
            // All its times are moved by as much, so that it still began as long before it was told.
            skew = ahead;
            self.from_the_future += 1;
        }
        if !self.make_room() {
            self.refused += 1;
            return;
        }
        let onset = earlier(told.onset, skew).min(now);
        let anomaly = IncidentAnomaly {
            id: told.id,
            component: told.component.clone(),
            source: event.source.clone(),
            onset,
            closed: told.closed.map(|closed| earlier(closed, skew).min(now).max(onset)),
            skew_seconds: Some(skew).filter(|skew| *skew != 0.0),
            metrics: names(told),
        };
        let incident = Incident {
            id: IncidentId::of(told.id),
            onset,
            opened: earlier(told.opened, skew).min(now),
            last_seen: earlier(told.last_seen, skew).min(now),
            closed: None,
            alerted: told.alerted,
            anomalies: vec![anomaly.clone()],
            left_out: 0,
            plan: None,
            merged_into: None,
            diagnosis: None,
            sequence: 0,
        };
        let new = incident.id;
        // It was created by this anomaly before, and the anomaly was left out of it since.
        if self.incidents.contains_key(&new) {
            return;
        }
        self.index.insert(&anomaly, new);
        self.incidents.insert(new, Tracked { incident, heard: now, told: None });
        self.changed.insert(new);
        let counted = data.transition == Transition::Opened;
        self.settle_new(&anomaly, counted, topology, now);
    }

    /// Merges the incidents that an anomaly in memory belongs to.
    pub(super) fn settle(&mut self, anomaly: &IncidentAnomaly, topology: &Topology, now: Timestamp) {
        self.settle_new(anomaly, true, topology, now);
    }

    fn settle_new(&mut self, anomaly: &IncidentAnomaly, counted: bool, topology: &Topology, now: Timestamp) {
        let mut relatives = self.relatives(anomaly, topology);
        let Some(into) = self.eldest(&relatives) else { return };
        relatives.remove(&into);
        for other in relatives {
            self.merge(other, into, (!counted).then_some(anomaly.id), now);
        }
    }

    /// The one that goes on: one that was told rather than one that nobody knows of, one that was worth an alert (people
    /// have its link) rather than a quiet one, then the older.
    fn eldest(&self, ids: &BTreeSet<IncidentId>) -> Option<IncidentId> {
        let known = ids.iter().filter_map(|id| self.incidents.get(id));
        known
            .min_by_key(|t| (t.told.is_none(), !t.incident.alerted, t.incident.opened, t.incident.id))
            .map(|tracked| tracked.incident.id)
    }

    /// `uncounted` is not counted when it is left out: it was before.
    fn merge(&mut self, from: IncidentId, into: IncidentId, uncounted: Option<AnomalyId>, now: Timestamp) {
        let most = self.options.max_anomalies.max(1);
        if !self.incidents.contains_key(&into) {
            return;
        }
        let Some(mut gone) = self.incidents.remove(&from) else { return };
        self.changed.remove(&from);
        let Some(tracked) = self.incidents.get_mut(&into) else { return };
        for anomaly in &gone.incident.anomalies {
            self.index.put(anomaly.id, into);
            insert_by_onset(&mut tracked.incident.anomalies, anomaly.clone());
        }
        tracked.incident.left_out = tracked.incident.left_out.saturating_add(gone.incident.left_out);
        while tracked.incident.anomalies.len() > most {
            let Some(last) = tracked.incident.anomalies.pop() else { break };
            self.index.remove(&last);
            tracked.incident.left_out += u64::from(uncounted != Some(last.id));
        }
        let (ours, theirs) = (&mut tracked.incident, &gone.incident);
        ours.onset = ours.onset.min(theirs.onset);
        ours.opened = ours.opened.min(theirs.opened);
        tracked.notice(theirs.alerted, theirs.last_seen);
        tracked.heard = tracked.heard.max(gone.heard);
        if tracked.has_open_anomaly() {
            tracked.incident.closed = None;
        } else if tracked.incident.closed.is_some() {
            tracked.incident.closed = Some(tracked.end());
        }
        self.changed.insert(into);
        if gone.told.is_some() {
            gone.incident.sequence = gone.incident.sequence.saturating_add(1);
            gone.incident.closed.get_or_insert(now);
            gone.incident.merged_into = Some(into);
            self.merged.push(gone.incident);
        }
    }
}

impl Tracked {
    /// Whether that was new.
    fn notice(&mut self, alerted: bool, last_seen: Timestamp) -> bool {
        let incident = &mut self.incident;
        let changed = (alerted && !incident.alerted) || last_seen > incident.last_seen;
        incident.alerted |= alerted;
        incident.last_seen = incident.last_seen.max(last_seen);
        changed
    }
}

fn names(anomaly: &Anomaly) -> Vec<MetricName> {
    anomaly.metrics.iter().take(MOST_NAMES).map(|named| named.metric.clone()).collect()
}

/// An instant moved into the past by so many seconds.
fn earlier(at: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_sub((seconds * 1e9) as i64))
}
