//! What this agent knows of the topology: what it sees, and what its config says.

use std::time::Duration;

use larnax_core::{Component, Timestamp, TopologyDelta};
use larnax_http::Url;
use larnax_topology::{KnownTarget, Observer, ObserverOptions};

use crate::plan::{ComponentPlan, Plan, SourcePlan};

/// What is seen and said.
pub(crate) struct Sight {
    name: String,
    node: Option<Component>,
    observer: Option<Observer>,
    known: Vec<KnownTarget>,
    /// What the config says, until it was told.
    said: Option<TopologyDelta>,
    /// The same, for the next session.
    config: Option<TopologyDelta>,
}

impl Sight {
    /// Of the agent with this name; it sees nothing yet.
    pub(crate) fn new(name: String) -> Self {
        Self { name, node: None, observer: None, known: Vec::new(), said: None, config: None }
    }

    /// What is watched has changed.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        let node = plan.components.iter().find(|planned| is_host(planned));
        let node = node.map(|planned| planned.component.clone());
        if node != self.node {
            (self.node, self.observer) = (node, None);
        }
        self.known = plan.components.iter().flat_map(targets).collect();
        let changed = self.config.as_ref() != Some(&plan.topology);
        if changed && (self.config.is_some() || says_something(&plan.topology)) {
            self.config = Some(plan.topology.clone());
            self.said.clone_from(&self.config);
        }
    }

    /// A new session: the hub may know nothing of what was told before.
    pub(crate) fn begin(&mut self) {
        self.observer = None;
        self.said.clone_from(&self.config);
    }

    /// What is to be told now.
    pub(crate) fn look(&mut self, now: Timestamp) -> Vec<TopologyDelta> {
        let options = || ObserverOptions::new(self.name.clone(), self.node.clone());
        let observer = self.observer.get_or_insert_with(|| Observer::new(options()));
        let seen = observer.look(&self.known, now);
        self.said.take().into_iter().chain(seen).collect()
    }

    /// When it is worth looking again.
    pub(crate) fn next_look(&self) -> Duration {
        self.observer.as_ref().map_or(Duration::ZERO, Observer::next_look)
    }
}

fn says_something(delta: &TopologyDelta) -> bool {
    !(delta.components.is_empty() && delta.edges.is_empty() && delta.removed_edges.is_empty())
}

fn is_host(planned: &ComponentPlan) -> bool {
    planned.sources.iter().any(|source| matches!(source, SourcePlan::Host(_)))
}

fn targets(planned: &ComponentPlan) -> impl Iterator<Item = KnownTarget> {
    let url = |source: &SourcePlan| -> Option<Url> {
        match source {
            SourcePlan::Scrape(options) => Some(options.url.clone()),
            SourcePlan::Host(_) => None,
        }
    };
    let component = &planned.component;
    planned.sources.iter().filter_map(url).filter_map(|url| KnownTarget::of_url(component.clone(), &url))
}
