//! What edges have learnt, kept by the kind of component for those that come after: a pod that takes the place of another is judged from
//! its first minute.
//!
//! A kind is what does the same work: the pods of one workload, services of one name at several sites. A machine is a kind of its own,
//! since no two carry the same load; so its agent, whose memory is gone with its pod, goes on where the one before it was. One component
//! of each kind is asked from time to time; what it answers replaces what was known.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use larnax_core::{Component, ComponentId, Timestamp};
use larnax_session::{Learnt, Model};
use larnax_store::Document;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use crate::hub::{Hub, HubError};

/// A kind is asked for again after so long, and where nobody knew enough.
const AGAIN: Duration = Duration::from_secs(6 * 3_600);
const NOT_YET: Duration = Duration::from_secs(60);
/// How often it is looked who is to be asked or told, and how soon after an edge has begun to learn.
const LOOK: Duration = Duration::from_secs(20);
const GATHER: Duration = Duration::from_millis(500);
/// So many are asked at a look, and so many are told: what they say stays a trickle.
const AT_ONCE: usize = 16;
/// The names of what is kept begin with this.
const PREFIX: &str = "model/";

/// When whom to ask.
#[derive(Default)]
pub(crate) struct Repository {
    /// When a kind is asked next.
    due: BTreeMap<String, Timestamp>,
    /// Who was asked and has not answered yet.
    asked: BTreeSet<(String, ComponentId)>,
}

/// As it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Of which component it was learnt.
    component: ComponentId,
    at: Timestamp,
    model: Model,
}

/// What a component is one of; none where nothing else is like it. `platform` knows it by its labels, too.
fn kind(component: &Component, platform: Option<&Component>) -> Option<String> {
    let id = &component.id;
    match id.kind() {
        "node" => Some(id.to_string()),
        // Until the platform has said of which workload it is, it is like no other.
        "pod" => {
            let workload = platform?.labels.get("workload")?;
            Some(format!("pod/{}/{workload}", id.scope()))
        }
        // The same address elsewhere is something else.
        _ if id.name().contains(':') => Some(id.to_string()),
        kind => Some(format!("{kind}/*/{}", id.name())),
    }
}

impl Hub {
    /// Has edges that begin to learn told what others know, and asks those for it, until it is dropped.
    pub(crate) async fn teach(self: &Rc<Self>) {
        loop {
            // A look that nobody asked for is due all the same.
            let _ = timeout(LOOK, self.sessions.begun.notified()).await;
            sleep(GATHER).await;
            if let Err(error) = self.teach_once().await {
                tracing::warn!(%error, "what edges have learnt can't be read");
            }
        }
    }

    async fn teach_once(&self) -> Result<(), HubError> {
        let now = self.now();
        let pupils = self.sessions.pupils();
        let kind_of = |component: &Component| {
            let known = self.known.borrow();
            kind(component, known.topology.component(&component.id).as_ref())
        };
        let mut told = 0;
        for (agent, component) in pupils.learning {
            let Some(kind) = kind_of(&component).filter(|_| told < AT_ONCE) else { continue };
            let name = format!("{PREFIX}{kind}");
            let Some(kept) = self.with_store(move |store| store.knowledge(&name)).await? else { continue };
            let Ok(Kept { model, .. }) = serde_json::from_str(&kept.json) else { continue };
            let learnt = Learnt { component: component.id, model: Some(model) };
            if self.sessions.begin_with(&agent, learnt) {
                told += 1;
                self.count(|counters| counters.models_given += 1);
            }
        }
        let mut asked = 0;
        for (agent, component) in pupils.learnt {
            let Some(kind) = kind_of(&component).filter(|_| asked < AT_ONCE) else { continue };
            if !self.is_due(&kind, now).await? {
                continue;
            }
            if self.sessions.ask_learnt(&agent, &component.id) {
                asked += 1;
                let mut known = self.known.borrow_mut();
                // Until it has answered.
                known.learnt.due.insert(kind, now.plus(NOT_YET));
                known.learnt.asked.insert((agent, component.id));
            }
        }
        Ok(())
    }

    /// Whether somebody of a kind is to be asked. What was kept before this hub began counts.
    async fn is_due(&self, kind: &str, now: Timestamp) -> Result<bool, HubError> {
        let due = self.known.borrow().learnt.due.get(kind).copied();
        let due = match due {
            Some(due) => due,
            None => {
                let name = format!("{PREFIX}{kind}");
                let kept = self.with_store(move |store| store.knowledge(&name)).await?;
                let at =
                    kept.and_then(|kept| serde_json::from_str::<Kept>(&kept.json).ok()).map(|kept| kept.at);
                let due = at.map_or(now, |at| at.min(now).plus(AGAIN));
                self.known.borrow_mut().learnt.due.insert(kind.to_owned(), due);
                due
            }
        };
        Ok(due <= now)
    }

    /// Keeps what an edge has learnt of a component, as it was asked.
    pub(crate) async fn take_learnt(&self, agent: &str, learnt: Learnt) {
        let Learnt { component, model } = learnt;
        let asked = (agent.to_owned(), component);
        if !self.known.borrow_mut().learnt.asked.remove(&asked) {
            return;
        }
        let (_, component) = asked;
        let watched = self.sessions.components().into_iter().find(|one| one.id == component);
        let kind =
            watched.and_then(|one| kind(&one, self.known.borrow().topology.component(&component).as_ref()));
        let (Some(kind), Some(model)) = (kind, model) else { return };
        let now = self.now();
        let kept = Kept { component, at: now, model };
        let Ok(json) = serde_json::to_string(&kept) else { return };
        let version = u64::try_from(now.millis()).unwrap_or_default();
        let document = Document { name: format!("{PREFIX}{kind}"), version, json };
        match self.with_store(move |store| store.upsert_plans(&[], &[document], None)).await {
            Ok(_) => {
                self.count(|counters| counters.models_kept += 1);
                tracing::info!(kind, component = %kept.component, "what was learnt is kept for others of its kind");
                self.known.borrow_mut().learnt.due.insert(kind, now.plus(AGAIN));
            }
            Err(error) => {
                tracing::warn!(%error, kind, "what was learnt can't be kept for others of its kind")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(id: &str, labels: &[(&str, &str)]) -> Component {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Component { id: id.parse().unwrap(), group: "g".to_owned(), labels }
    }

    #[test]
    fn pods_of_a_workload_and_services_of_one_name_are_a_kind_and_every_machine_and_address_is_its_own() {
        let pod = component("pod/shop/pay-1", &[]);
        let known = component("pod/shop/pay-1", &[("workload", "deployment/pay")]);
        assert_eq!(kind(&pod, Some(&known)).unwrap(), "pod/shop/deployment/pay");
        assert_eq!(kind(&pod, None), None);
        for (id, expected) in [
            ("node/local/n1", "node/local/n1"),
            ("service/ghent/pay", "service/*/pay"),
            ("service/ghent/10.0.0.7:9100", "service/ghent/10.0.0.7:9100"),
        ] {
            assert_eq!(kind(&component(id, &[]), None).unwrap(), expected);
        }
    }
}
