//! Who depends on whom, as several sources tell it: config, the platform, agents.
//!
//! Sources tell in deltas ([`TopologyDelta`]). Each keeps its own word: what one takes back, another may still say. Where
//! they differ, a person wins over the platform, and the platform over agents:
//!
//! - an edge is there when somebody says so, unless a person says that it is not;
//! - a component runs on what the most trusted of its sources says, for each kind of thing that it can run on: when the
//!   platform says on which node a pod is, what an agent has seen of its earlier node no longer counts;
//! - labels are joined, those of the more trusted source first.
//!
//! Cycles, ids that nobody describes and edges of components that nobody listed are all fine.

mod graph;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larnax_core::{Component, ComponentId, Edge, Timestamp, TopologyDelta, TopologySource};

/// What is taken at most. What is above is refused and counted. The defaults hold ten times the 10,000 components that one
/// hub is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sources.
    pub sources: usize,
    /// Components that one source may tell of.
    pub components_per_source: usize,
    /// Edges that one source may tell of, with those that a person removed.
    pub edges_per_source: usize,
    /// Components of all sources.
    pub components: usize,
    /// Edges of all sources.
    pub edges: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sources: 20_000,
            components_per_source: 10_000,
            edges_per_source: 50_000,
            components: 100_000,
            edges: 500_000,
        }
    }
}

/// The longest name of a source, in bytes.
const MAX_BY: usize = 512;
/// The most text that one component may bring along, in bytes: its group and its labels.
const MAX_TEXT: usize = 8 << 10;
/// The longest time to live; what is told for longer is told for ever.
const MAX_TTL: f64 = 10.0 * 365.0 * 86_400.0;

/// A source. The order is that of trust.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    source: TopologySource,
    by: String,
}

/// What one source says of one thing, and until when that holds.
#[derive(Clone, Debug)]
struct Voice<T> {
    who: Arc<Who>,
    until: Option<Timestamp>,
    says: T,
}

/// The voices about one thing, the most trusted first; of equally trusted ones, by name.
#[derive(Clone, Debug)]
struct Voices<T>(Vec<Voice<T>>);

impl<T> Default for Voices<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Voices<T> {
    /// Whether that is new, and not only said again.
    fn say(&mut self, voice: Voice<T>) -> bool {
        let order = |other: &Voice<T>| {
            voice.who.source.cmp(&other.who.source).then_with(|| other.who.by.cmp(&voice.who.by))
        };
        match self.0.binary_search_by(order) {
            Ok(at) => {
                let Some(place) = self.0.get_mut(at) else { return false };
                let changed = place.says != voice.says;
                *place = voice;
                changed
            }
            Err(at) => {
                self.0.insert(at, voice);
                true
            }
        }
    }

    fn hush(&mut self, who: &Who) {
        self.0.retain(|voice| *voice.who != *who);
    }
}

/// What is told of a component beside its name.
#[derive(Clone, Debug, PartialEq)]
struct About {
    group: String,
    labels: BTreeMap<String, String>,
}

/// What one source has said that still holds.
#[derive(Clone, Debug, Default)]
struct Said {
    components: BTreeSet<ComponentId>,
    edges: BTreeSet<Edge>,
}

/// What came of a delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether anything is now said that was not, or no longer said.
    pub changed: bool,
    /// Components and edges that a limit kept out, or that can't be: a component that depends on itself.
    pub refused: usize,
}

/// The components and edges that are known by now.
///
/// Queries answer as of the last [`Topology::expire`]. All answers are in the order of ids, whatever the order in which
/// sources spoke.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    limits: Limits,
    sources: BTreeMap<Arc<Who>, Said>,
    components: BTreeMap<ComponentId, Voices<About>>,
    /// Each voice says whether the edge is there; only a person can say that it is not.
    edges: BTreeMap<Edge, Voices<bool>>,
    /// The edges of each component, in both directions.
    touching: BTreeMap<ComponentId, BTreeSet<Edge>>,
    refused: u64,
}

impl Topology {
    /// An empty one with other limits than the default ones.
    pub fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes what a source says, told at `now` by the clock of whoever holds this, not by the source's: clocks differ.
    pub fn apply(&mut self, delta: &TopologyDelta, now: Timestamp) -> Applied {
        let all = delta.components.len() + delta.edges.len() + delta.removed_edges.len();
        let who = Arc::new(Who { source: delta.source, by: delta.by.clone() });
        let is_new = !self.sources.contains_key(&who);
        if delta.by.len() > MAX_BY || (is_new && all > 0 && self.sources.len() >= self.limits.sources) {
            self.refused += all as u64;
            return Applied { changed: false, refused: all };
        }
        let until = delta.ttl_seconds.filter(|ttl| ttl.is_nan() || *ttl <= MAX_TTL).map(|ttl| {
            // NaN and negative times hold no longer than to the next look at the clock.
            now.plus(Duration::try_from_secs_f64(ttl).unwrap_or_default())
        });
        let mut applied = Applied::default();
        let whole = delta.source == TopologySource::Config;
        applied.changed |= if whole { self.forget_unsaid(&who, delta) } else { self.take_back(&who, delta) };
        for component in &delta.components {
            self.say_component(&who, component, until, &mut applied);
        }
        for edge in &delta.edges {
            self.say_edge(&who, edge, until, true, &mut applied);
        }
        if whole {
            for edge in &delta.removed_edges {
                self.say_edge(&who, edge, until, false, &mut applied);
            }
        }
        self.refused += applied.refused as u64;
        applied
    }

    /// Forgets what was not repeated in time. True when anything was.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let over = |until: &Option<Timestamp>| until.is_some_and(|until| until <= now);
        let mut gone: Vec<(Arc<Who>, Result<ComponentId, Edge>)> = Vec::new();
        for (id, voices) in &self.components {
            let late = voices.0.iter().filter(|voice| over(&voice.until));
            gone.extend(late.map(|voice| (Arc::clone(&voice.who), Ok(id.clone()))));
        }
        for (edge, voices) in &self.edges {
            let late = voices.0.iter().filter(|voice| over(&voice.until));
            gone.extend(late.map(|voice| (Arc::clone(&voice.who), Err(edge.clone()))));
        }
        for (who, what) in &gone {
            match what {
                Ok(id) => self.hush_component(who, id),
                Err(edge) => self.hush_edge(who, edge),
            };
        }
        !gone.is_empty()
    }

    /// Components and edges that were refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What a source no longer says, because it says so.
    fn take_back(&mut self, who: &Arc<Who>, delta: &TopologyDelta) -> bool {
        let mut changed = false;
        for edge in &delta.removed_edges {
            changed |= self.hush_edge(who, edge);
        }
        for id in &delta.removed_components {
            changed |= self.hush_component(who, id);
            let Some(said) = self.sources.get(who) else { continue };
            let its: Vec<Edge> =
                said.edges.iter().filter(|edge| edge.from == *id || edge.to == *id).cloned().collect();
            for edge in &its {
                changed |= self.hush_edge(who, edge);
            }
        }
        changed
    }

    /// What a source no longer says, because it says all of it each time.
    fn forget_unsaid(&mut self, who: &Arc<Who>, delta: &TopologyDelta) -> bool {
        let Some(said) = self.sources.get(who) else { return false };
        let components: BTreeSet<&ComponentId> = delta.components.iter().map(|known| &known.id).collect();
        let edges: BTreeSet<&Edge> = delta.edges.iter().chain(&delta.removed_edges).collect();
        let old = said.components.iter().filter(|id| !components.contains(id));
        let old_components: Vec<ComponentId> = old.cloned().collect();
        let old_edges: Vec<Edge> = said.edges.iter().filter(|edge| !edges.contains(edge)).cloned().collect();
        for id in &old_components {
            self.hush_component(who, id);
        }
        for edge in &old_edges {
            self.hush_edge(who, edge);
        }
        !(old_components.is_empty() && old_edges.is_empty())
    }

    fn say_component(
        &mut self,
        who: &Arc<Who>,
        component: &Component,
        until: Option<Timestamp>,
        applied: &mut Applied,
    ) {
        let labels = component.labels.iter();
        let text =
            component.group.len() + labels.map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let said = self.sources.get(who);
        let full = said.is_none_or(|said| !said.components.contains(&component.id))
            && said.is_some_and(|said| said.components.len() >= self.limits.components_per_source);
        let new = !self.components.contains_key(&component.id);
        if text > MAX_TEXT || full || (new && self.components.len() >= self.limits.components) {
            applied.refused += 1;
            return;
        }
        let says = About { group: component.group.clone(), labels: component.labels.clone() };
        let voices = self.components.entry(component.id.clone()).or_default();
        applied.changed |= voices.say(Voice { who: Arc::clone(who), until, says });
        self.sources.entry(Arc::clone(who)).or_default().components.insert(component.id.clone());
    }

    fn say_edge(
        &mut self,
        who: &Arc<Who>,
        edge: &Edge,
        until: Option<Timestamp>,
        there: bool,
        applied: &mut Applied,
    ) {
        let said = self.sources.get(who);
        let full = said.is_none_or(|said| !said.edges.contains(edge))
            && said.is_some_and(|said| said.edges.len() >= self.limits.edges_per_source);
        let new = !self.edges.contains_key(edge);
        if edge.from == edge.to || full || (new && self.edges.len() >= self.limits.edges) {
            applied.refused += 1;
            return;
        }
        let voices = self.edges.entry(edge.clone()).or_default();
        applied.changed |= voices.say(Voice { who: Arc::clone(who), until, says: there });
        for end in [&edge.from, &edge.to] {
            self.touching.entry(end.clone()).or_default().insert(edge.clone());
        }
        self.sources.entry(Arc::clone(who)).or_default().edges.insert(edge.clone());
    }

    /// Whether the source had said so.
    fn hush_component(&mut self, who: &Arc<Who>, id: &ComponentId) -> bool {
        let Some(said) = self.sources.get_mut(who) else { return false };
        if !said.components.remove(id) {
            return false;
        }
        self.drop_if_silent(who);
        if let Some(voices) = self.components.get_mut(id) {
            voices.hush(who);
            if voices.0.is_empty() {
                self.components.remove(id);
            }
        }
        true
    }

    /// Whether the source had said so.
    fn hush_edge(&mut self, who: &Arc<Who>, edge: &Edge) -> bool {
        let Some(said) = self.sources.get_mut(who) else { return false };
        if !said.edges.remove(edge) {
            return false;
        }
        self.drop_if_silent(who);
        let Some(voices) = self.edges.get_mut(edge) else { return true };
        voices.hush(who);
        if voices.0.is_empty() {
            self.edges.remove(edge);
            for end in [&edge.from, &edge.to] {
                if let Some(edges) = self.touching.get_mut(end) {
                    edges.remove(edge);
                    if edges.is_empty() {
                        self.touching.remove(end);
                    }
                }
            }
        }
        true
    }

    /// A source that says nothing takes no place.
    fn drop_if_silent(&mut self, who: &Arc<Who>) {
        if self.sources.get(who).is_some_and(|said| said.components.is_empty() && said.edges.is_empty()) {
            self.sources.remove(who);
        }
    }
}
