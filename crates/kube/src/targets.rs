//! The targets of each node, kept as pods come and go. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use crate::federation::Federations;
use crate::pod::{Group, Opted, name, opted};

/// What was seen of the cluster's pods.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A pod is there, new or changed.
    Changed(Pod),
    /// A pod is gone.
    Gone(Pod),
    /// From here on all that there is comes anew.
    Beginning,
    /// One of those.
    There(Pod),
    /// Those were all.
    Complete,
}

/// By namespace and name.
type Pods = BTreeMap<(String, String), Opted>;

/// The pods that have opted in to be scraped.
#[derive(Debug, Default)]
pub struct Targets {
    pods: Pods,
    /// Those that came since [`Seen::Beginning`].
    coming: Pods,
    /// Whether all pods were seen once.
    complete: bool,
}

impl Targets {
    /// Takes in what was seen; whether there is something else now than before. While all comes anew, what was known before holds until
    /// it is complete.
    pub fn see(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Changed(pod) => keep(&mut self.pods, &pod),
            Seen::Gone(pod) => self.pods.remove(&key(&pod)).is_some(),
            Seen::Beginning => {
                self.coming.clear();
                false
            }
            Seen::There(pod) => {
                keep(&mut self.coming, &pod);
                false
            }
            Seen::Complete => {
                let changed = !self.complete || self.coming != self.pods;
                self.pods = std::mem::take(&mut self.coming);
                self.complete = true;
                tracing::info!(pods = self.pods.len(), "the pods of the cluster are known");
                changed
            }
        }
    }

    /// Whether it is known what there is. Before that, no answer is better than an empty one.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// All targets.
    pub fn all(&self) -> impl Iterator<Item = &Group> {
        self.pods.values().filter_map(|pod| pod.group.as_ref().ok())
    }

    /// The targets of one node, or of all nodes: not those that belong to a federation.
    pub fn on<'a>(
        &'a self,
        node: Option<&'a str>,
        federations: &'a Federations,
    ) -> impl Iterator<Item = &'a Group> {
        let there = self.pods.iter().filter(move |(_, pod)| node.is_none_or(|node| pod.node == node));
        let alone = there.filter(|((namespace, _), pod)| federations.of(namespace, &pod.belongs).is_none());
        alone.filter_map(|(_, pod)| pod.group.as_ref().ok())
    }

    /// The targets of one federation.
    pub fn of<'a>(
        &'a self,
        (namespace, name): (&str, &str),
        federations: &'a Federations,
    ) -> impl Iterator<Item = &'a Group> {
        let first = (namespace.to_owned(), String::new());
        let here = self.pods.range(first..).take_while(move |((of, _), _)| of == namespace);
        let members = here.filter(move |(_, pod)| federations.of(namespace, &pod.belongs) == Some(name));
        members.filter_map(|(_, pod)| pod.group.as_ref().ok())
    }

    /// What is wrong with pods that want to be scraped and can't be.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.pods.values().filter_map(|pod| pod.group.as_ref().err()).map(String::as_str)
    }
}

fn key(pod: &Pod) -> (String, String) {
    let (namespace, name) = name(pod);
    (namespace.to_owned(), name.to_owned())
}

/// Whether there is something else now than before.
fn keep(pods: &mut Pods, pod: &Pod) -> bool {
    match opted(pod) {
        Some(opted) => {
            let key = key(pod);
            if let (Err(problem), None) = (&opted.group, pods.get(&key)) {
                tracing::warn!("{problem}");
            }
            let before = pods.insert(key.clone(), opted);
            before.as_ref() != pods.get(&key)
        }
        None => pods.remove(&key(pod)).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: &str, annotated: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": name,
                "annotations": {"prometheus.io/scrape": annotated.to_string(), "prometheus.io/port": "80"}},
            "spec": {"nodeName": node, "containers": []},
            "status": {"podIP": format!("10.0.0.{}", name.len())},
        }))
        .unwrap()
    }

    fn on(targets: &Targets, node: Option<&str>) -> Vec<String> {
        targets.on(node, &Federations::default()).flat_map(|group| group.targets.clone()).collect()
    }

    #[test]
    fn each_node_has_the_pods_that_run_there_and_have_opted_in() {
        let mut targets = Targets::default();
        assert!(!targets.is_complete());
        for seen in [
            Seen::Beginning,
            Seen::There(pod("a", "n1", true)),
            Seen::There(pod("bb", "n2", true)),
            Seen::There(pod("ccc", "n1", false)),
            Seen::Complete,
        ] {
            targets.see(seen);
        }
        assert!(targets.is_complete());
        assert_eq!(on(&targets, Some("n1")), ["10.0.0.1:80"]);
        assert_eq!(on(&targets, None).len(), 2);
        targets.see(Seen::Changed(pod("ccc", "n1", true)));
        assert_eq!(on(&targets, Some("n1")).len(), 2);
        targets.see(Seen::Changed(pod("a", "n1", false)));
        targets.see(Seen::Gone(pod("bb", "n2", true)));
        assert_eq!(on(&targets, None), ["10.0.0.3:80"]);
    }

    #[test]
    fn who_belongs_to_a_federation_is_its_and_not_its_nodes() {
        let mut targets = Targets::default();
        for (name, node) in [("a", "n1"), ("bb", "n2"), ("ccc", "n1")] {
            targets.see(Seen::Changed(pod(name, node, true)));
        }
        let mut member = pod("dddd", "n1", true);
        member.metadata.labels = Some([("app".to_owned(), "pay".to_owned())].into());
        targets.see(Seen::Changed(member));
        let mut federations = Federations::default();
        let federation = json!({
            "apiVersion": "larnax.io/v1alpha1", "kind": "Federation", "metadata": {"namespace": "shop", "name": "pay"},
            "spec": {"selector": {"matchLabels": {"app": "pay"}}},
        });
        federations.changed(serde_json::from_value(federation).unwrap());
        let of =
            |groups: Vec<&Group>| groups.iter().flat_map(|group| group.targets.clone()).collect::<Vec<_>>();
        assert_eq!(of(targets.on(Some("n1"), &federations).collect()), ["10.0.0.1:80", "10.0.0.3:80"]);
        assert_eq!(of(targets.of(("shop", "pay"), &federations).collect()), ["10.0.0.4:80"]);
        assert_eq!(targets.of(("other", "pay"), &federations).count(), 0);
        assert_eq!(targets.all().count(), 4);
    }

    #[test]
    fn while_all_comes_anew_what_was_known_holds_and_what_does_not_come_is_gone_after() {
        let mut targets = Targets::default();
        targets.see(Seen::There(pod("a", "n1", true)));
        targets.see(Seen::Complete);
        targets.see(Seen::Beginning);
        targets.see(Seen::There(pod("bb", "n1", true)));
        assert_eq!(on(&targets, None), ["10.0.0.1:80"]);
        targets.see(Seen::Complete);
        assert_eq!(on(&targets, None), ["10.0.0.2:80"]);
    }
}
