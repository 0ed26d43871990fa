//! Who depends on whom among the components of a case, by their places in it.

use std::collections::{HashMap, VecDeque};

use larnax_core::{ComponentId, Edge};

/// A directed graph. Cycles are fine; edges to itself, edges that come twice and edges of unknown components are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    dependencies: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
}

impl Graph {
    /// Of both kinds of edges: what is wrong with a callee or with a host can be felt by whoever calls it or runs on it.
    pub(crate) fn new(places: &HashMap<&ComponentId, usize>, edges: &[Edge]) -> Self {
        let mut graph =
            Self { dependencies: vec![Vec::new(); places.len()], dependents: vec![Vec::new(); places.len()] };
        for edge in edges {
            let (Some(&from), Some(&to)) = (places.get(&edge.from), places.get(&edge.to)) else { continue };
            if from != to {
                graph.dependencies[from].push(to);
                graph.dependents[to].push(from);
            }
        }
        // The order in which edges are told must not matter.
        for list in graph.dependencies.iter_mut().chain(&mut graph.dependents) {
            list.sort_unstable();
            list.dedup();
        }
        graph
    }

    /// Whether it has no edge.
    pub(crate) fn is_empty(&self) -> bool {
        self.dependencies.iter().all(Vec::is_empty)
    }

    /// What a component depends on.
    pub(crate) fn dependencies(&self, of: usize) -> &[usize] {
        self.dependencies.get(of).map_or(&[], Vec::as_slice)
    }

    /// What depends on a component.
    pub(crate) fn dependents(&self, of: usize) -> &[usize] {
        self.dependents.get(of).map_or(&[], Vec::as_slice)
    }

    /// The shortest way from `start` along `next` through components that `may_pass`: for each that is reached, from which one it
    /// was (the start from itself).
    pub(crate) fn reach<'a>(
        &'a self,
        start: usize,
        next: impl Fn(&'a Self, usize) -> &'a [usize],
        may_pass: impl Fn(usize) -> bool,
    ) -> HashMap<usize, usize> {
        let (mut from, mut waiting) = (HashMap::from([(start, start)]), VecDeque::from([start]));
        while let Some(at) = waiting.pop_front() {
            for &other in next(self, at) {
                if may_pass(other) && !from.contains_key(&other) {
                    from.insert(other, at);
                    waiting.push_back(other);
                }
            }
        }
        from
    }
}
