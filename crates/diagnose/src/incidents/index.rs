//! Finds the anomalies in memory by component, by who told of them and by onset.

use std::collections::{BTreeMap, BTreeSet};

use larnax_core::{AnomalyId, ComponentId, IncidentAnomaly, IncidentId, Timestamp};

/// Where an anomaly is.
#[derive(Clone, Debug)]
struct Place {
    incident: IncidentId,
    component: ComponentId,
    closed: Option<Timestamp>,
}

/// Anomalies by onset.
#[derive(Clone, Debug, Default)]
struct Onsets(BTreeMap<Timestamp, BTreeSet<AnomalyId>>);

impl Onsets {
    fn insert(&mut self, anomaly: &IncidentAnomaly) {
        self.0.entry(anomaly.onset).or_default().insert(anomaly.id);
    }

    /// Whether none is left.
    fn remove(&mut self, anomaly: &IncidentAnomaly) -> bool {
        if let Some(ids) = self.0.get_mut(&anomaly.onset) {
            ids.remove(&anomaly.id);
            if ids.is_empty() {
                self.0.remove(&anomaly.onset);
            }
        }
        self.0.is_empty()
    }

    /// Those from `from` to `to`, both included, by onset.
    fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = AnomalyId> {
        // A range that ends before it begins would panic.
        let range = (from <= to).then(|| self.0.range(from..=to));
        range.into_iter().flatten().flat_map(|(_, ids)| ids.iter().copied())
    }
}

/// The anomalies in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    places: BTreeMap<AnomalyId, Place>,
    by_component: BTreeMap<ComponentId, Onsets>,
    by_source: BTreeMap<String, Onsets>,
    by_onset: Onsets,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn insert(&mut self, anomaly: &IncidentAnomaly, incident: IncidentId) {
        let place = Place { incident, component: anomaly.component.clone(), closed: anomaly.closed };
        self.places.insert(anomaly.id, place);
        self.by_component.entry(anomaly.component.clone()).or_default().insert(anomaly);
        self.by_source.entry(anomaly.source.clone()).or_default().insert(anomaly);
        self.by_onset.insert(anomaly);
    }

    pub(super) fn remove(&mut self, anomaly: &IncidentAnomaly) {
        self.places.remove(&anomaly.id);
        if self.by_component.get_mut(&anomaly.component).is_some_and(|onsets| onsets.remove(anomaly)) {
            self.by_component.remove(&anomaly.component);
        }
        if self.by_source.get_mut(&anomaly.source).is_some_and(|onsets| onsets.remove(anomaly)) {
            self.by_source.remove(&anomaly.source);
        }
        self.by_onset.remove(anomaly);
    }

    /// Says that an anomaly is now in another incident.
    pub(super) fn put(&mut self, id: AnomalyId, incident: IncidentId) {
        if let Some(place) = self.places.get_mut(&id) {
            place.incident = incident;
        }
    }

    /// Says that an anomaly has ended.
    pub(super) fn close(&mut self, id: AnomalyId, at: Timestamp) {
        if let Some(place) = self.places.get_mut(&id) {
            place.closed = Some(at);
        }
    }

    /// Says that an anomaly that had ended goes on.
    pub(super) fn reopen(&mut self, id: AnomalyId) {
        if let Some(place) = self.places.get_mut(&id) {
            place.closed = None;
        }
    }

    /// The incident that an anomaly is in.
    pub(super) fn incident_of(&self, id: AnomalyId) -> Option<IncidentId> {
        self.places.get(&id).map(|place| place.incident)
    }

    /// Incident, onset and end of all anomalies of a component, the latest onset first.
    pub(super) fn history(
        &self,
        component: &ComponentId,
    ) -> impl Iterator<Item = (IncidentId, Timestamp, Option<Timestamp>)> {
        let onsets = self.by_component.get(component).into_iter();
        let all = onsets.flat_map(|onsets| onsets.0.iter().rev());
        all.flat_map(|(onset, ids)| ids.iter().map(move |id| (onset, id)))
            .filter_map(|(onset, id)| self.places.get(id).map(|place| (place.incident, *onset, place.closed)))
    }

    /// The incidents of a component's anomalies with onsets from `from` to `to`.
    pub(super) fn of_component(
        &self,
        component: &ComponentId,
        (from, to): (Timestamp, Timestamp),
    ) -> impl Iterator<Item = IncidentId> {
        let onsets = self.by_component.get(component).into_iter();
        onsets.flat_map(move |onsets| onsets.between(from, to)).filter_map(|id| self.incident_of(id))
    }

    /// Incidents and components of the anomalies that a source told of, with onsets from `from` to `to`.
    pub(super) fn of_source(
        &self,
        source: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> impl Iterator<Item = (IncidentId, &ComponentId)> {
        let onsets = self.by_source.get(source).into_iter();
        onsets
            .flat_map(move |onsets| onsets.between(from, to))
            .filter_map(|id| self.places.get(&id))
            .map(|place| (place.incident, &place.component))
    }

    /// Whether at least so many components have an onset from `from` to `to`.
    pub(super) fn are_many(&self, least: usize, (from, to): (Timestamp, Timestamp)) -> bool {
        let mut components = BTreeSet::new();
        self.by_onset.between(from, to).any(|id| {
            components.extend(self.places.get(&id).map(|place| &place.component));
            components.len() >= least
        })
    }

    /// Anomalies with onsets at `from` or later.
    pub(super) fn since(&self, from: Timestamp) -> Vec<AnomalyId> {
        self.by_onset.between(from, Timestamp::from_nanos(i64::MAX)).collect()
    }
}
