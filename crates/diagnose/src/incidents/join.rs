//! Which incidents an anomaly belongs to.
//!
//! Two anomalies belong together when one of these holds; incidents are what follows from that, one anomaly after the
//! other. None of it depends on the order in which events come or on when they come, so that the same anomalies give the
//! same groups:
//!
//! 1. their components are the same or near (within three edges, see [`Topology::walk`]), and their onsets lie within the
//!    window;
//! 2. one came back: the same component, with an onset not later after the end of the other than the hold;
//! 3. the topology has not seen whom one of their components calls, or who calls it; then the same agent told of both and
//!    their onsets lie within a moment. The agent stands for the place: what one agent watches is one machine, pod or chosen
//!    group. The group of the alert budget and the scope of the id say less: `host` is the group of every machine, and a
//!    job's name is the same on each site. Anomalies of one place at the same time are rarely two things; those of
//!    different places of which nothing is known mostly are, so they stay apart;
//! 4. so many components have an onset within two moments that it can't be chance ([`Options::everywhere`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use larnax_core::{IncidentAnomaly, IncidentId, Timestamp};

use super::{Incidents, Options};
use crate::Topology;

impl Incidents {
    /// The incidents in memory that an anomaly belongs to, its own among them.
    pub(super) fn relatives(&self, anomaly: &IncidentAnomaly, topology: &Topology) -> BTreeSet<IncidentId> {
        let mut found: BTreeSet<IncidentId> = self.index.incident_of(anomaly.id).into_iter().collect();
        self.came_back(anomaly, &mut found);
        self.everywhere(anomaly.onset, topology, &mut found);
        self.same_place(anomaly, topology, &mut found);
        self.connected(anomaly, topology, &mut found);
        found
    }

    fn came_back(&self, anomaly: &IncidentAnomaly, found: &mut BTreeSet<IncidentId>) {
        for (incident, onset, closed) in self.index.history(&anomaly.component) {
            let back = follows(closed, anomaly.onset, &self.options);
            if back || follows(anomaly.closed, onset, &self.options) {
                found.insert(incident);
            }
        }
    }

    fn everywhere(&self, onset: Timestamp, topology: &Topology, found: &mut BTreeSet<IncidentId>) {
        let moment = i64::try_from(self.options.moment.as_nanos()).unwrap_or(i64::MAX).max(1);
        let share = (topology.len() as f64 * self.options.everywhere_share).ceil() as usize;
        let least = self.options.everywhere.max(share).max(2);
        let at = onset.nanos().div_euclid(moment);
        // Two moments side by side, on a fixed grid: each stretch of one moment lies within such a pair as a whole.
        for first in [at.saturating_sub(1), at] {
            let from = Timestamp::from_nanos(first.saturating_mul(moment));
            let to = Timestamp::from_nanos(first.saturating_add(2).saturating_mul(moment).saturating_sub(1));
            if !self.index.are_many(least, (from, to)) {
                continue;
            }
            for (id, tracked) in &self.incidents {
                let anomalies = &tracked.incident.anomalies;
                let next = anomalies.partition_point(|anomaly| anomaly.onset < from);
                if anomalies.get(next).is_some_and(|anomaly| anomaly.onset <= to) {
                    found.insert(*id);
                }
            }
        }
    }

    fn same_place(&self, anomaly: &IncidentAnomaly, topology: &Topology, found: &mut BTreeSet<IncidentId>) {
        if anomaly.source.is_empty() {
            return;
        }
        let unknown = !topology.knows_calls_of(&anomaly.component);
        let moment = around(anomaly.onset, self.options.moment);
        for (incident, component) in self.index.of_source(&anomaly.source, moment) {
            if !found.contains(&incident) && (unknown || !topology.knows_calls_of(component)) {
                found.insert(incident);
            }
        }
    }

    /// The walk ends as soon as no incident of this time is left to be found; mostly there is none to begin with.
    fn connected(&self, anomaly: &IncidentAnomaly, topology: &Topology, found: &mut BTreeSet<IncidentId>) {
        let window = around(anomaly.onset, self.options.window);
        let mut left: BTreeSet<IncidentId> = self
            .incidents
            .iter()
            .filter(|(id, tracked)| {
                let anomalies = &tracked.incident.anomalies;
                let (first, last) = (anomalies.first(), anomalies.last());
                !found.contains(id)
                    && first.is_some_and(|first| first.onset <= window.1)
                    && last.is_some_and(|last| last.onset >= window.0)
            })
            .map(|(id, _)| *id)
            .collect();
        if left.is_empty() {
            return;
        }
        let mut at = |component| {
            for incident in self.index.of_component(component, window) {
                if left.remove(&incident) {
                    found.insert(incident);
                }
            }
            if left.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if at(&anomaly.component).is_continue() {
            topology.walk(&anomaly.component, self.options.hops, |component, _| at(component));
        }
    }
}

/// Whether what began at `onset` did so after another had ended, and not long after.
fn follows(closed: Option<Timestamp>, onset: Timestamp, options: &Options) -> bool {
    closed.is_some_and(|closed| {
        let gap = onset.since(closed);
        gap >= 0.0 && gap <= options.hold.as_secs_f64()
    })
}

fn around(at: Timestamp, by: Duration) -> (Timestamp, Timestamp) {
    (at.minus(by), at.plus(by))
}
