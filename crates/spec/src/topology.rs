//! Who depends on whom, as far as a person says.

use std::collections::{BTreeMap, HashMap};

use larnax_core::{Component, Edge, EdgeKind, TopologyDelta, TopologySource};
use serde::{Deserialize, Serialize};

use crate::check::Findings;
use crate::path::Path;
use crate::value::ComponentName;

/// Who depends on whom, where agents don't see it or see it wrongly. A person's word wins over what agents and platforms
/// say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// Edges that are there. Example: `[{from: service/shop/orders, to: service/shop/stock}]`.
    pub edges: Vec<TopologyEdge>,
    /// Edges that are not there, whoever says so. Example: `[{from: service/shop/orders, to: service/ops/backup}]`.
    pub remove: Vec<TopologyEdge>,
    /// Components, and labels for them. Example: `[{id: service/shop/orders, labels: {team: red}}]`.
    pub components: Vec<TopologyComponent>,
}

/// One component depends on another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TopologyEdge {
    /// What depends. Example: `service/shop/orders`.
    pub from: Option<ComponentName>,
    /// What it depends on. Example: `service/shop/stock`.
    pub to: Option<ComponentName>,
    /// How.
    pub kind: Dependency,
}

/// How one component depends on another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// It calls the other.
    #[default]
    Calls,
    /// It runs on the other: a service on a node.
    RunsOn,
}

/// A component with labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TopologyComponent {
    /// Its name. Example: `service/shop/orders`.
    pub id: Option<ComponentName>,
    /// Labels that it has in the topology, beside those that others tell of. Example: `{team: red}`.
    pub labels: BTreeMap<String, String>,
}

impl TopologyEdge {
    fn edge(&self) -> Option<Edge> {
        let (from, to) = (self.from.clone()?.0, self.to.clone()?.0);
        let kind = match self.kind {
            Dependency::Calls => EdgeKind::Calls,
            Dependency::RunsOn => EdgeKind::RunsOn,
        };
        Some(Edge { from, to, kind })
    }
}

impl Topology {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty() && self.remove.is_empty() && self.components.is_empty()
    }

    /// What it says, as the words of `by`, for ever. A delta from config is whole, so that one that says nothing takes back
    /// what the one before said.
    pub fn delta(&self, by: &str) -> TopologyDelta {
        let components = self.components.iter().filter_map(|component| {
            let id = component.id.clone()?.0;
            Some(Component { id, group: String::new(), labels: component.labels.clone() })
        });
        TopologyDelta {
            source: TopologySource::Config,
            by: by.to_owned(),
            ttl_seconds: None,
            components: components.collect(),
            edges: self.edges.iter().filter_map(TopologyEdge::edge).collect(),
            removed_components: Vec::new(),
            removed_edges: self.remove.iter().filter_map(TopologyEdge::edge).collect(),
        }
    }

    pub(crate) fn check(&self, findings: &mut Findings<'_>) {
        let root = Path::root().key("topology");
        let mut seen: HashMap<Edge, String> = HashMap::new();
        for (name, edges) in [("edges", &self.edges), ("remove", &self.remove)] {
            for (index, edge) in edges.iter().enumerate() {
                let path = root.key(name).index(index);
                for (field, end) in [("from", &edge.from), ("to", &edge.to)] {
                    if end.is_none() {
                        findings.error(path.key(field), MISSING);
                    }
                }
                let Some(edge) = edge.edge() else { continue };
                if edge.from == edge.to {
                    findings.error(path, "found the same component twice, expected two different ones");
                } else if let Some(first) = seen.get(&edge) {
                    findings.error(path, format!("the same edge as {first}: keep one of them"));
                } else {
                    seen.insert(edge, format!("{name}[{index}]"));
                }
            }
        }
        let mut known = HashMap::new();
        for (index, component) in self.components.iter().enumerate() {
            let path = root.key("components").index(index);
            crate::check::labels(component.labels.keys(), &path.key("labels"), findings);
            let Some(id) = &component.id else {
                findings.error(path.key("id"), MISSING);
                continue;
            };
            if let Some(first) = known.insert(id, index) {
                let message = format!("the same component as components[{first}]: keep one of them");
                findings.error(path.key("id"), message);
            }
        }
    }
}

const MISSING: &str = "missing, expected a component such as `service/shop/orders`";
