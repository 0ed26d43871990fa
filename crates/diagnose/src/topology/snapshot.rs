//! The topology as deltas, to be kept and told again.

use std::collections::BTreeMap;

use larnax_core::{Component, Timestamp, TopologyDelta};

use super::{Topology, Who};

impl Topology {
    /// All that is known, as deltas that give the same topology when they are applied to an empty one at `now`: one for
    /// each source, more where parts of what it says hold for different times (never so for config).
    pub fn snapshot(&self, now: Timestamp) -> Vec<TopologyDelta> {
        let mut deltas: BTreeMap<(&Who, Option<Timestamp>), TopologyDelta> = BTreeMap::new();
        for (id, voices) in &self.components {
            for voice in &voices.0 {
                let delta =
                    deltas.entry((&voice.who, voice.until)).or_insert_with_key(|key| empty(*key, now));
                let about = voice.says.clone();
                delta.components.push(Component { id: id.clone(), group: about.group, labels: about.labels });
            }
        }
        for (edge, voices) in &self.edges {
            for voice in &voices.0 {
                let delta =
                    deltas.entry((&voice.who, voice.until)).or_insert_with_key(|key| empty(*key, now));
                let list = if voice.says { &mut delta.edges } else { &mut delta.removed_edges };
                list.push(edge.clone());
            }
        }
        deltas.into_values().collect()
    }
}

fn empty((who, until): (&Who, Option<Timestamp>), now: Timestamp) -> TopologyDelta {
    TopologyDelta {
        source: who.source,
        by: who.by.clone(),
        ttl_seconds: until.map(|until| until.since(now).max(0.0)),
        components: Vec::new(),
        edges: Vec::new(),
        removed_components: Vec::new(),
        removed_edges: Vec::new(),
    }
}
