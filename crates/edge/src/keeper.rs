//! Keeps what was learnt: models and alert budgets, on the file store of the edge.

use std::path::Path;
use std::time::Duration;

use larnax_core::{ComponentId, ModelStore, StoreError, Timestamp};
use larnax_detect::AlertBudget;

use crate::models::FileStore;
use crate::watched::Watched;

/// How often what was learnt is written down: what a crash costs at most. Anomalies are written at once.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Writes down and reads back. Every answer that is text is a sentence that a person should read.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Option<FileStore>,
}

impl Keeper {
    /// Keeps in the folder `models` of `state`; with none, keeps nothing.
    pub(crate) fn open(state: Option<&Path>) -> (Self, Option<String>) {
        let Some(folder) = state.map(|state| state.join("models")) else {
            return (Self { store: None }, None);
        };
        match FileStore::open(&folder) {
            Ok(store) => (Self { store: Some(store) }, None),
            Err(error) => {
                let notice = format!(
                    "what is learnt will not survive a restart: {}: {error}; give a writable folder with --state",
                    folder.display()
                );
                (Self { store: None }, Some(notice))
            }
        }
    }

    /// Whether it is time to save.
    pub(crate) fn is_due(&self, watched: &Watched, now: Timestamp) -> bool {
        self.store.is_some()
            && watched.saved.is_none_or(|at| now < at || now.since(at) >= SAVE_EVERY.as_secs_f64())
    }

    /// Writes down what a component and the budget of its group have learnt.
    pub(crate) fn save(
        &self,
        watched: &mut Watched,
        budget: Option<&AlertBudget>,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        // Even when it fails: the next try is due later, not at the next sample.
        watched.saved = Some(now);
        let result = put(store, &component_name(&watched.component().id), &watched.watch.save());
        let result = result.and_then(|()| match budget {
            Some(budget) => put(store, &budget_name(&watched.component().group), &budget.save()),
            None => Ok(()),
        });
        result.map_err(|error| format!("what was learnt could not be saved: {error}"))
    }

    /// Reads back what a component had learnt.
    pub(crate) fn restore(&self, watched: &mut Watched) -> Vec<String> {
        let name = component_name(&watched.component().id);
        self.read(&name, |bytes| watched.watch.restore(bytes).map_err(|error| error.to_string()))
    }

    /// Reads back the budget of a group.
    pub(crate) fn restore_budget(&self, group: &str, budget: &mut AlertBudget) -> Vec<String> {
        self.read(&budget_name(group), |bytes| budget.restore(bytes).map_err(|error| error.to_string()))
    }

    fn read(&self, name: &str, restore: impl FnOnce(&[u8]) -> Result<(), String>) -> Vec<String> {
        let Some(store) = &self.store else { return Vec::new() };
        let outcome = match store.get(name) {
            Ok(Some(stored)) => restore(&stored.bytes),
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let mut notices = store.damaged();
        notices.extend(
            outcome.err().map(|error| format!("{name} starts anew, its saved state can't be used: {error}")),
        );
        notices
    }
}

/// This process is the only writer of its state folder, so the newest version is always the one to follow.
fn put(store: &FileStore, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let newest = store.get(name)?.map_or(0, |stored| stored.version);
    store.put(name, newest, bytes).map(|_| ())
}

fn component_name(id: &ComponentId) -> String {
    store_name("component", id.as_str())
}

fn budget_name(group: &str) -> String {
    store_name("budget", group)
}

/// A name that the store accepts. Where characters had to be replaced a hash keeps two such names apart.
pub(crate) fn store_name(prefix: &str, text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-:/".contains(c) { c } else { '_' })
        .take(120)
        .collect();
    if clean == text {
        return format!("{prefix}/{clean}");
    }
    format!("{prefix}/{clean}-{:08x}", crc32fast::hash(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_stay_different_and_are_accepted_by_the_store() {
        let names = ["service/a/b", "service/a b/b", "service/a_b/b", "service/ä/b", &"x".repeat(300)];
        let stored: Vec<String> = names.iter().map(|n| store_name("component", n)).collect();
        let mut unique = stored.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        for name in &stored {
            store.get(name).unwrap();
        }
    }
}
