//! Which events were seen lately.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// The ids of the last so many events, for readers that must not act twice on one.
///
/// A log skips what it has already; what comes twice to a reader is what it had not acknowledged when it or the way to it
/// broke off, so remembering as many as one batch holds is enough, a few thousand is plenty. A reader whose work is
/// idempotent by itself, such as an upsert by id, doesn't need it.
#[derive(Debug)]
pub struct Seen {
    capacity: usize,
    ids: HashSet<Arc<str>>,
    order: VecDeque<Arc<str>>,
}

impl Seen {
    /// Remembers the last `capacity` ids, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ids: HashSet::new(), order: VecDeque::new() }
    }

    /// Takes note of an id; false when it was seen already. Beyond the capacity the oldest is forgotten.
    pub fn insert(&mut self, id: &str) -> bool {
        if self.ids.contains(id) {
            return false;
        }
        if self.order.len() == self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        let id: Arc<str> = id.into();
        self.order.push_back(Arc::clone(&id));
        self.ids.insert(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_until_it_is_the_oldest_of_too_many() {
        let mut seen = Seen::new(2);
        assert!(seen.insert("a") && !seen.insert("a"));
        assert!(
            seen.insert("b") && !seen.insert("a"),
            "seeing one again doesn't make it newer or push others out"
        );
        assert!(seen.insert("c"));
        assert!(seen.insert("a") && !seen.insert("c"));
        assert_eq!((seen.ids.len(), seen.order.len()), (2, 2));
    }
}
