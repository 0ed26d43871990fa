//! What the sources say together: edges, neighbours, neighbourhoods.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use larnax_core::{Component, ComponentId, Edge, EdgeKind, TopologySource};

use super::Topology;

/// Components that one walk looks at, at most.
const MAX_WALK: usize = 65_536;

impl Topology {
    /// The components that somebody described, by id, with the words of all of them joined.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        self.components.keys().filter_map(|id| self.component(id))
    }

    /// A component that somebody described.
    pub fn component(&self, id: &ComponentId) -> Option<Component> {
        let voices = &self.components.get(id)?.0;
        let mut labels = BTreeMap::new();
        for (name, value) in voices.iter().flat_map(|voice| &voice.says.labels) {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut groups = voices.iter().map(|voice| &voice.says.group).filter(|group| !group.is_empty());
        Some(Component { id: id.clone(), group: groups.next().cloned().unwrap_or_default(), labels })
    }

    /// How many components somebody described.
    pub fn len(&self) -> usize {
        self.components.len()
    }

    /// Whether nothing is known at all.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty() && self.edges.is_empty()
    }

    /// The edges that are there.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.keys().filter(|edge| self.holds(edge))
    }

    /// The edges between components of `among`.
    pub fn edges_among(&self, among: &BTreeSet<ComponentId>) -> Vec<Edge> {
        let from = among.iter().flat_map(|id| self.touching(id).filter(move |edge| edge.from == *id));
        from.filter(|edge| among.contains(&edge.to)).cloned().collect()
    }

    /// Who says that an edge is there, the most trusted first: what sort of source, and its name.
    pub fn said_by(&self, edge: &Edge) -> impl Iterator<Item = (TopologySource, &str)> {
        let voices = self.edges.get(edge).into_iter().flat_map(|voices| &voices.0);
        voices.filter(|voice| voice.says).map(|voice| (voice.who.source, voice.who.by.as_str()))
    }

    /// Whom a component calls.
    pub fn callees<'a>(&'a self, id: &'a ComponentId) -> impl Iterator<Item = &'a ComponentId> {
        self.touching(id).filter(move |e| e.kind == EdgeKind::Calls && e.from == *id).map(|e| &e.to)
    }

    /// Who calls a component.
    pub fn callers<'a>(&'a self, id: &'a ComponentId) -> impl Iterator<Item = &'a ComponentId> {
        self.touching(id).filter(move |e| e.kind == EdgeKind::Calls && e.to == *id).map(|e| &e.from)
    }

    /// What a component runs on.
    pub fn runs_on<'a>(&'a self, id: &'a ComponentId) -> impl Iterator<Item = &'a ComponentId> {
        self.touching(id).filter(move |e| e.kind == EdgeKind::RunsOn && e.from == *id).map(|e| &e.to)
    }

    /// Whether anybody has seen whom a component calls or who calls it.
    pub fn knows_calls_of(&self, id: &ComponentId) -> bool {
        self.touching(id).any(|edge| edge.kind == EdgeKind::Calls)
    }

    /// The components within so many edges of one, whatever their direction, with their distances: nearest first, then by
    /// id. Not the component itself. See [`Topology::walk`] for hosts.
    pub fn near(&self, id: &ComponentId, hops: usize) -> Vec<(ComponentId, usize)> {
        let mut found = Vec::new();
        self.walk(id, hops, |id, hops| {
            found.push((id.clone(), hops));
            ControlFlow::Continue(())
        });
        found.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        found
    }

    /// Visits the components within so many edges of one, nearest first, each once, until `visit` breaks off.
    ///
    /// No way leads down to a host and up again: two components that share a host are not near each other for that reason
    /// alone. What they share is the host, and when that is sick, it has an anomaly of its own, to which each of them is
    /// near. Otherwise every pod of a node would be near every other, and within three edges those that they call, so that
    /// on a crowded node whatever happens in the same two minutes would be one incident. The rejected alternative, to let
    /// through hosts on which few run, needs a number that nothing gives.
    pub fn walk<'a>(
        &'a self,
        from: &'a ComponentId,
        hops: usize,
        mut visit: impl FnMut(&'a ComponentId, usize) -> ControlFlow<()>,
    ) {
        // For each component seen, whether only by a way that led down to it.
        let mut seen = BTreeMap::from([(from, false)]);
        let mut queue = VecDeque::from([(from, false, 0)]);
        while let Some((at, came_down, distance)) = queue.pop_front() {
            if distance >= hops || seen.len() >= MAX_WALK {
                continue;
            }
            for edge in self.touching(at) {
                let up = edge.kind == EdgeKind::RunsOn && edge.to == *at;
                if came_down && up {
                    continue;
                }
                let down = edge.kind == EdgeKind::RunsOn && !up;
                let to = if edge.from == *at { &edge.to } else { &edge.from };
                match seen.entry(to) {
                    Entry::Vacant(place) => {
                        place.insert(down);
                        if visit(to, distance + 1).is_break() {
                            return;
                        }
                    }
                    // A way that may go up from here is better than one that may not.
                    Entry::Occupied(mut only_down) if *only_down.get() && !down => {
                        only_down.insert(false);
                    }
                    Entry::Occupied(_) => continue,
                }
                queue.push_back((to, down, distance + 1));
            }
        }
    }

    /// The edges of a component that are there.
    fn touching<'a>(&'a self, id: &ComponentId) -> impl Iterator<Item = &'a Edge> {
        self.touching.get(id).into_iter().flatten().filter(|edge| self.holds(edge))
    }

    /// Whether an edge is there by the words of all.
    fn holds(&self, edge: &Edge) -> bool {
        let Some(trust) = self.trust(edge) else { return false };
        if edge.kind == EdgeKind::Calls {
            return true;
        }
        // What it runs on of the same kind, by more trusted words.
        let others = self.touching.get(&edge.from).into_iter().flatten();
        !others
            .filter(|other| {
                other.kind == EdgeKind::RunsOn && other.from == edge.from && other.to.kind() == edge.to.kind()
            })
            .any(|other| self.trust(other).is_some_and(|theirs| theirs > trust))
    }

    /// The most trusted source that says that an edge is there; none when nobody does or a person says that it is not.
    fn trust(&self, edge: &Edge) -> Option<TopologySource> {
        let voices = &self.edges.get(edge)?.0;
        if voices.iter().any(|voice| !voice.says) {
            return None;
        }
        voices.first().map(|voice| voice.who.source)
    }
}
