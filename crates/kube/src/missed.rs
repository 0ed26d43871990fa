//! Pods that should have an agent of their own and have none, or not the one that was asked for. Pure.
//!
//! While the webhook can't be reached pods are made without an agent, because they must not wait for us. They are found here, and an
//! event says so where people look: `kubectl describe pod`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::inject::{ASKED, PROBLEM, Sidecar, Verdict, decide, has_agent};

/// What a namespace's label may be called; Deucalion's means the same.
const LABELS: [&str; 2] = [ASKED, "deucalion-injection"];

/// What is to be told of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// In a word, as events have it.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
}

/// What namespaces ask for, and of which pods something was told.
#[derive(Debug, Default)]
pub struct Missed {
    asked: BTreeMap<String, Option<bool>>,
    told: BTreeMap<String, String>,
    missed: BTreeSet<String>,
}

impl Missed {
    /// A namespace is there, new or changed; whether it asks for something else than before.
    pub fn see_namespace(&mut self, namespace: &ObjectMeta) -> bool {
        let labels = namespace.labels.as_ref();
        let said = LABELS.iter().find_map(|name| labels?.get(*name));
        let asked = said.map(|said| said == "enabled");
        let before = self.asked.insert(namespace.name.clone().unwrap_or_default(), asked);
        before.flatten() != asked
    }

    /// A pod is gone.
    pub fn gone(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.told.remove(&uid);
        self.missed.remove(&uid);
    }

    /// How many pods should have an agent and have none.
    pub fn count(&self) -> usize {
        self.missed.len()
    }

    /// A pod is there, new or changed: what is to be told of it, once.
    pub fn see(&mut self, pod: &Pod, sidecar: &Sidecar, native: bool) -> Option<Told> {
        let uid = pod.metadata.uid.clone()?;
        let told = self.problem(pod, sidecar, native);
        match &told {
            Some(told) if told.reason == MISSED => self.missed.insert(uid.clone()),
            _ => self.missed.remove(&uid),
        };
        let told = told?;
        let before = self.told.insert(uid, told.message.clone());
        (before.as_ref() != Some(&told.message)).then_some(told)
    }

    fn problem(&self, pod: &Pod, sidecar: &Sidecar, native: bool) -> Option<Told> {
        if pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        if has_agent(pod) {
            let problem = pod.metadata.annotations.as_ref()?.get(PROBLEM)?;
            return Some(Told { reason: "AgentConfig", message: problem.clone() });
        }
        let namespace = pod.metadata.namespace.as_deref()?;
        let by_namespace = self.asked.get(namespace).copied().flatten();
        let by_pod =
            pod.metadata.labels.as_ref().and_then(|labels| labels.get(ASKED)).map(|said| said == "enabled");
        let asked = by_namespace != Some(false) && by_pod.or(by_namespace) == Some(true);
        if !asked {
            return None;
        }
        match decide(pod, namespace, sidecar, native, None) {
            Verdict::Leave(_) => None,
            Verdict::Refuse(problem) => Some(Told { reason: "NoAgent", message: problem }),
            Verdict::Inject(..) => Some(Told {
                reason: MISSED,
                message: "made before an agent was asked for, or while nobody could add one; who is made in its place gets one".to_owned(),
            }),
        }
    }
}

/// The reason where it was nobody's wish.
const MISSED: &str = "MissedByWebhook";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn namespace(name: &str, labels: &Value) -> ObjectMeta {
        serde_json::from_value(json!({"name": name, "labels": labels})).unwrap()
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {"namespace": "shop", "name": "pay", "uid": "1"},
            "spec": {"containers": [{"name": "pay", "ports": [{"containerPort": 80}]}]},
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    fn sidecar() -> Sidecar {
        serde_json::from_value(json!({
            "image": "larnax-edge", "pull_policy": "Never", "hub": "https://hub", "audience": "larnax", "interval": "5s",
            "resources": {}, "own_namespace": "larnax",
        }))
        .unwrap()
    }

    fn shop(labels: &Value) -> Missed {
        let mut missed = Missed::default();
        missed.see_namespace(&namespace("shop", labels));
        missed
    }

    fn reason(missed: &mut Missed, change: impl FnOnce(&mut Value)) -> Option<&'static str> {
        missed.see(&pod(change), &sidecar(), true).map(|told| told.reason)
    }

    #[test]
    fn a_pod_without_the_agent_that_its_namespace_asks_for_is_told_of_once() {
        let mut missed = shop(&json!({"larnax.io/inject": "enabled"}));
        assert_eq!((reason(&mut missed, |_| {}), missed.count()), (Some(MISSED), 1));
        assert_eq!((reason(&mut missed, |_| {}), missed.count()), (None, 1));
        missed.gone(&pod(|_| {}));
        assert_eq!(missed.count(), 0);
    }

    #[test]
    fn who_did_not_ask_or_says_no_is_not_missed() {
        assert_eq!(reason(&mut Missed::default(), |_| {}), None);
        let mut said_no = shop(&json!({"larnax.io/inject": "disabled"}));
        assert_eq!(
            reason(&mut said_no, |pod| pod["metadata"]["labels"] = json!({"larnax.io/inject": "enabled"})),
            None
        );
        let mut asked = shop(&json!({"deucalion-injection": "enabled"}));
        assert_eq!(
            reason(&mut asked, |pod| pod["metadata"]["labels"] = json!({"larnax.io/inject": "disabled"})),
            None
        );
        assert_eq!(
            reason(&mut asked, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T12:00:00Z")),
            None
        );
        let mut alone = shop(&json!({}));
        assert_eq!(
            reason(&mut alone, |pod| pod["metadata"]["labels"] = json!({"larnax.io/inject": "enabled"})),
            Some(MISSED)
        );
    }

    #[test]
    fn what_can_have_none_and_what_has_one_with_another_config_than_asked_are_told() {
        let mut missed = shop(&json!({"larnax.io/inject": "enabled"}));
        assert_eq!(reason(&mut missed, |pod| pod["spec"]["hostNetwork"] = json!(true)), Some("NoAgent"));
        let with = reason(&mut missed, |pod| {
            pod["metadata"]["annotations"] =
                json!({"larnax.io/sidecar-config": "{}", "larnax.io/problem": "there is no config map `x`"});
            pod["spec"]["initContainers"] = json!([{"name": "larnax"}]);
        });
        assert_eq!((with, missed.count()), (Some("AgentConfig"), 0));
    }

    #[test]
    fn a_namespace_is_looked_through_again_when_it_asks_for_something_else() {
        let mut missed = Missed::default();
        assert!(!missed.see_namespace(&namespace("shop", &json!({"team": "a"}))));
        assert!(missed.see_namespace(&namespace("shop", &json!({"larnax.io/inject": "enabled"}))));
        assert!(
            !missed.see_namespace(&namespace("shop", &json!({"larnax.io/inject": "enabled", "team": "b"})))
        );
        assert!(missed.see_namespace(&namespace("shop", &json!({}))));
    }
}
