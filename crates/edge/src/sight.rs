//! What this agent knows of the topology: what it sees, and what its config says.

use std::path::PathBuf;
use std::time::Duration;

use larnax_collect::host::HostOptions;
use larnax_core::{Component, Timestamp, TopologyDelta};
use larnax_http::Url;
use larnax_topology::{KnownTarget, Observer, ObserverOptions};

use crate::plan::{ComponentPlan, Plan, SourcePlan};

/// What Kubernetes says in the environment of each container.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// What is seen and said.
pub(crate) struct Sight {
    name: String,
    node: Option<Component>,
    /// Where the proc file system of the node is.
    proc: Option<PathBuf>,
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
        Self { name, node: None, proc: None, observer: None, known: Vec::new(), said: None, config: None }
    }

    /// What is watched has changed.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        let host = plan.components.iter().find_map(|planned| Some((planned, host_of(planned)?)));
        let (node, proc) = (
            host.map(|(planned, _)| planned.component.clone()),
            host.map(|(_, options)| options.proc.clone()),
        );
        let known: Vec<KnownTarget> = plan.components.iter().flat_map(targets).collect();
        if (&node, &proc) != (&self.node, &self.proc) || is_beside(&known) != is_beside(&self.known) {
            (self.node, self.proc, self.observer) = (node, proc, None);
        }
        self.known = known;
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
        let options = || {
            let options = ObserverOptions::new(self.name.clone(), self.node.clone());
            let proc = self.proc.clone().unwrap_or_else(|| options.proc.clone());
            ObserverOptions { proc, beside: is_beside(&self.known), ..options }
        };
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

/// Whether this is in a pod, and watches only what is in the same one.
fn is_beside(known: &[KnownTarget]) -> bool {
    let in_a_pod = std::env::var_os(IN_A_POD).is_some();
    in_a_pod && !known.is_empty() && known.iter().all(|target| target.address.ip().is_loopback())
}

fn host_of(planned: &ComponentPlan) -> Option<&HostOptions> {
    planned.sources.iter().find_map(|source| match source {
        SourcePlan::Host(options) => Some(&**options),
        SourcePlan::Scrape(_) => None,
    })
}

fn targets(planned: &ComponentPlan) -> impl Iterator<Item = KnownTarget> {
    let url = |source: &SourcePlan| -> Option<Url> {
        match source {
            // Where the Prometheus is that is asked says nothing of the target; its own address often stands in a label.
            SourcePlan::Scrape(options) if options.federated => {
                Url::parse(&format!("http://{}", planned.component.labels.get("instance")?)).ok()
            }
            SourcePlan::Scrape(options) => Some(options.url.clone()),
            SourcePlan::Host(_) => None,
        }
    };
    let component = &planned.component;
    planned.sources.iter().filter_map(url).filter_map(|url| KnownTarget::of_url(component.clone(), &url))
}
