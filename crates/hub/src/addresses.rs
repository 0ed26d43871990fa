//! Who is at which address. Edges see callers on other machines by their addresses; the platform says whose they are. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use larnax_core::{ComponentId, Edge, Timestamp, TopologyDelta, TopologySource};

/// The label by which a platform says at which IP address a component is.
const ADDRESS: &str = "address";
/// Sources whose edges are kept for whoever turns out to be at an address. An agent is one; a hub is built for a thousand.
const MAX_SOURCES: usize = 20_000;

/// Who is where, and what was said of addresses.
#[derive(Default)]
pub(crate) struct Addresses {
    /// By platform, and by the id that stands for an address.
    at: BTreeMap<String, HashMap<ComponentId, ComponentId>>,
    /// The last word of each source that named an address.
    said: BTreeMap<Source, Said>,
}

type Source = (TopologySource, String);

struct Said {
    at: Timestamp,
    delta: TopologyDelta,
    /// The edges that came of its addresses.
    known: BTreeSet<Edge>,
}

impl Addresses {
    /// Takes what a source says, which is all that still holds of it; gives back what that, and what others said before, comes to by
    /// components, each with the time at which it was said. Edges of addresses at which nobody is known are left out until somebody is.
    pub(crate) fn hear(&mut self, at: Timestamp, delta: &TopologyDelta) -> Vec<(Timestamp, TopologyDelta)> {
        let mut all = Vec::new();
        if delta.source == TopologySource::Platform && self.learn(delta) {
            self.said.retain(|_, said| said.delta.ttl_seconds.is_none_or(|ttl| at.since(said.at) < ttl));
            let sources: Vec<Source> = self.said.keys().cloned().collect();
            all.extend(sources.iter().filter_map(|source| self.resolve(source)));
        }
        let source = (delta.source, delta.by.clone());
        let names_any = delta.edges.iter().any(|edge| edge.from.is_address() || edge.to.is_address());
        let known = self.said.remove(&source).map(|said| said.known).unwrap_or_default();
        let is_kept = names_any && self.said.len() < MAX_SOURCES;
        if is_kept || !known.is_empty() {
            self.said.insert(source.clone(), Said { at, delta: delta.clone(), known });
            all.extend(self.resolve(&source));
        } else {
            all.push((at, delta.clone()));
        }
        all
    }

    /// Whether what a platform says of who is where is new.
    fn learn(&mut self, delta: &TopologyDelta) -> bool {
        let mut there = HashMap::new();
        for component in &delta.components {
            let ip = component.labels.get(ADDRESS).and_then(|address| address.parse().ok());
            if let Some(ip) = ip {
                there.insert(ComponentId::of_address(ip), component.id.clone());
            }
        }
        let before = self.at.insert(delta.by.clone(), there);
        before.as_ref() != self.at.get(&delta.by)
    }

    /// What a source said, by components.
    fn resolve(&mut self, source: &Source) -> Option<(Timestamp, TopologyDelta)> {
        let said = self.said.get_mut(source)?;
        let whose = |id: &ComponentId| {
            if id.is_address() {
                self.at.values().find_map(|there| there.get(id)).cloned()
            } else {
                Some(id.clone())
            }
        };
        let mut delta = said.delta.clone();
        let by_address: BTreeSet<Edge> = delta
            .edges
            .extract_if(.., |edge| edge.from.is_address() || edge.to.is_address())
            .filter_map(|edge| Some(Edge { from: whose(&edge.from)?, to: whose(&edge.to)?, kind: edge.kind }))
            .filter(|edge| edge.from != edge.to)
            .collect();
        delta.removed_edges.retain(|edge| !edge.from.is_address() && !edge.to.is_address());
        let gone = said.known.iter().filter(|edge| !by_address.contains(edge) && !delta.edges.contains(edge));
        delta.removed_edges.extend(gone.cloned());
        delta.edges.extend(by_address.iter().cloned());
        said.known = by_address;
        Some((said.at, delta))
    }
}

#[cfg(test)]
mod tests {
    use larnax_core::{Component, EdgeKind};

    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    fn at(second: f64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn delta(source: TopologySource, by: &str) -> TopologyDelta {
        TopologyDelta {
            source,
            by: by.to_owned(),
            ttl_seconds: Some(600.0),
            components: Vec::new(),
            edges: Vec::new(),
            removed_components: Vec::new(),
            removed_edges: Vec::new(),
        }
    }

    fn platform(pods: &[(&str, &str)]) -> TopologyDelta {
        let pod = |(name, address): &(&str, &str)| Component {
            id: id(&format!("pod/shop/{name}")),
            group: String::new(),
            labels: [(ADDRESS.to_owned(), (*address).to_owned())].into(),
        };
        TopologyDelta {
            components: pods.iter().map(pod).collect(),
            ..delta(TopologySource::Platform, "kubernetes")
        }
    }

    fn call(from: &str, to: &str) -> Edge {
        Edge { from: id(from), to: id(to), kind: EdgeKind::Calls }
    }

    fn agent(edges: &[Edge]) -> TopologyDelta {
        TopologyDelta { edges: edges.to_vec(), ..delta(TopologySource::Agent, "node-1") }
    }

    #[test]
    fn a_caller_at_an_address_is_the_pod_that_the_platform_knows_there_whoever_speaks_first() {
        let seen = agent(&[call("address/ip/10.0.0.7", "pod/shop/stock")]);
        let wanted = vec![call("pod/shop/web", "pod/shop/stock")];
        let mut platform_first = Addresses::default();
        platform_first.hear(at(0.0), &platform(&[("web", "10.0.0.7")]));
        assert_eq!(platform_first.hear(at(1.0), &seen)[0].1.edges, wanted);
        let mut agent_first = Addresses::default();
        assert_eq!(agent_first.hear(at(0.0), &seen)[0].1.edges, []);
        let told = agent_first.hear(at(1.0), &platform(&[("web", "10.0.0.7")]));
        assert_eq!((told.len(), told[0].0, &told[0].1.edges), (2, at(0.0), &wanted));
    }

    #[test]
    fn what_an_address_no_longer_means_is_taken_back() {
        let mut addresses = Addresses::default();
        addresses.hear(at(0.0), &platform(&[("web", "10.0.0.7")]));
        addresses.hear(at(0.0), &agent(&[call("address/ip/10.0.0.7", "pod/shop/stock")]));
        let told = addresses.hear(at(1.0), &platform(&[("api", "10.0.0.7")]));
        assert_eq!(told[0].1.edges, [call("pod/shop/api", "pod/shop/stock")]);
        assert_eq!(told[0].1.removed_edges, [call("pod/shop/web", "pod/shop/stock")]);
        let told = addresses.hear(at(2.0), &agent(&[]));
        assert_eq!(told[0].1.removed_edges, [call("pod/shop/api", "pod/shop/stock")]);
    }

    #[test]
    fn what_was_said_too_long_ago_means_nothing_any_more_and_the_same_said_again_changes_nothing() {
        let mut addresses = Addresses::default();
        addresses.hear(at(0.0), &agent(&[call("address/ip/10.0.0.7", "pod/shop/stock")]));
        assert_eq!(addresses.hear(at(700.0), &platform(&[("web", "10.0.0.7")])).len(), 1);
        assert_eq!(addresses.hear(at(701.0), &platform(&[("web", "10.0.0.7")])).len(), 1);
    }
}
