//! Short ways to say components, edges, deltas and events.
#![allow(dead_code)]

use larnax_core::anomaly::{AnomalyKind, CloseReason};
use larnax_core::event::AnomalyEvent;
use larnax_core::{
    Anomaly, AnomalyId, Component, ComponentId, Edge, EdgeKind, Event, Score, Timestamp, TopologyDelta,
    TopologySource, Transition,
};

pub(crate) fn id(name: &str) -> ComponentId {
    if name.contains('/') { name.parse().unwrap() } else { ComponentId::from_parts("service", "shop", name) }
}

pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000.0 + seconds)
}

pub(crate) fn calls(from: &str, to: &str) -> Edge {
    Edge { from: id(from), to: id(to), kind: EdgeKind::Calls }
}

pub(crate) fn runs_on(from: &str, to: &str) -> Edge {
    Edge { from: id(from), to: id(to), kind: EdgeKind::RunsOn }
}

pub(crate) fn component(name: &str, labels: &[(&str, &str)]) -> Component {
    Component {
        id: id(name),
        group: String::new(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

pub(crate) fn delta(source: TopologySource, by: &str, edges: &[Edge]) -> TopologyDelta {
    TopologyDelta {
        source,
        by: by.to_owned(),
        ttl_seconds: None,
        components: Vec::new(),
        edges: edges.to_vec(),
        removed_components: Vec::new(),
        removed_edges: Vec::new(),
    }
}

/// An anomaly as an agent sees it: of `name`, with its onset and, where it has ended, its end.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) onset: f64,
    pub(crate) closed: Option<f64>,
    pub(crate) alerted: bool,
}

pub(crate) fn seen(name: &str, onset: f64) -> Seen {
    Seen { name: name.to_owned(), agent: "/larnax/edge/a".to_owned(), onset, closed: None, alerted: true }
}

impl Seen {
    pub(crate) fn until(mut self, closed: f64) -> Self {
        self.closed = Some(closed);
        self
    }

    pub(crate) fn by(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.agent);
        self
    }

    pub(crate) fn quiet(mut self) -> Self {
        self.alerted = false;
        self
    }

    pub(crate) fn anomaly(&self) -> AnomalyId {
        AnomalyId::of(&id(&self.name), AnomalyKind::Deviation, at(self.onset))
    }

    /// Its event, told 5 s after the onset or when it ended.
    pub(crate) fn event(&self) -> Event {
        let told = self.closed.unwrap_or(self.onset + 5.0);
        let anomaly = Anomaly {
            id: self.anomaly(),
            component: id(&self.name),
            kind: AnomalyKind::Deviation,
            onset: at(self.onset),
            opened: at(self.onset + 5.0),
            last_seen: at(told),
            closed: self.closed.map(at),
            close_reason: self.closed.map(|_| CloseReason::Recovered),
            score: Score::new(2.0),
            peak: Score::new(2.0),
            alerted: self.alerted,
            metrics: Vec::new(),
        };
        let transition = if self.closed.is_some() { Transition::Closed } else { Transition::Opened };
        let sequence = u32::from(self.closed.is_some());
        let component = component(&self.name, &[]);
        let data = AnomalyEvent { transition, sequence, anomaly, component, evidence: None };
        Event::new(&self.agent, at(told), data)
    }
}
