//! What the hub is told of the cluster: which pod runs on which node of which zone, at which address it is, what it is one of and
//! which services lead to it, and what was rolled out. Pure.
//!
//! Only of pods that are watched, by the agent of their node or by one of their own: nobody ever sees that of others something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::core::PartialObjectMeta;
use larnax_core::event::CHANGE;
use larnax_core::{Component, ComponentId, Edge, EdgeKind, TopologyDelta, TopologySource};
use serde_json::{Value, json};

use crate::pod::{address_of_its_own, name, node_of_watched, workload};
use crate::surroundings::Surroundings;
use crate::targets::Seen;

/// What a pod's labels call the version of what it was made from: a deployment's, and that of a stateful set or a daemon set.
const REVISIONS: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];
/// As whom the hub hears of it.
const BY: &str = "kubernetes";
/// Pods that are made so long after the first one of a version belong to its rollout; as long as a change counts for a cause.
const ROLLOUT: Duration = Duration::from_secs(30 * 60);
/// So many rollouts wait to be told, the latest.
const MOST_ROLLOUTS: usize = 1_000;

/// A pod's namespace and name.
type Key = (String, String);

/// A watched pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watched {
    node: String,
    address: Option<String>,
    workload: Option<String>,
    labels: BTreeMap<String, String>,
}

/// The watched pods of a cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    pods: BTreeMap<Key, Watched>,
    /// Those that came since [`Seen::Beginning`].
    coming: BTreeMap<Key, Watched>,
    /// Services and zones.
    surroundings: Surroundings,
    /// The edges that the hub was told.
    told: BTreeSet<Edge>,
    /// Counts changes: which the hub was told last, and which it is being told.
    version: u64,
    told_version: Option<u64>,
    telling: u64,
    /// By namespace, kind and name.
    workloads: BTreeMap<(String, String, String), Version>,
    /// The events that wait, by what stands for them.
    rollouts: Vec<Value>,
    /// Pods that were told of.
    rolled_out: BTreeSet<Key>,
    complete: bool,
}

/// The latest version of a workload.
#[derive(Debug)]
struct Version {
    hash: String,
    /// When its first pod was made.
    since: Timestamp,
    /// Whether it took the place of another one that was seen.
    follows: bool,
}

impl Cluster {
    /// Takes in what was seen. While all comes anew, what was known before holds until it is complete.
    pub fn see(&mut self, seen: &Seen) {
        match seen {
            Seen::Changed(pod) => {
                self.roll_out(pod);
                self.version += u64::from(keep(&mut self.pods, pod));
            }
            Seen::Gone(pod) => {
                let key = key(pod);
                self.version += u64::from(self.pods.remove(&key).is_some());
                self.rolled_out.remove(&key);
            }
            Seen::Beginning => self.coming.clear(),
            Seen::There(pod) => {
                self.roll_out(pod);
                keep(&mut self.coming, pod);
            }
            Seen::Complete => {
                let pods = std::mem::take(&mut self.coming);
                self.version += u64::from(pods != self.pods);
                self.pods = pods;
                let pods = &self.pods;
                self.rolled_out.retain(|key| pods.contains_key(key));
                self.complete = true;
            }
        }
    }

    /// A service is there, new or changed.
    pub fn service_changed(&mut self, service: &Service) {
        self.version += u64::from(self.surroundings.service_changed(service));
    }

    /// A service is gone.
    pub fn service_gone(&mut self, service: &Service) {
        self.version += u64::from(self.surroundings.service_gone(service));
    }

    /// A node is there, new or changed.
    pub fn node_changed(&mut self, node: &PartialObjectMeta<Node>) {
        self.version += u64::from(self.surroundings.node_changed(node));
    }

    /// Whether the hub knows something else than what is.
    pub fn is_news(&self) -> bool {
        self.complete && self.told_version != Some(self.version)
    }

    /// All that the hub is to know now, which holds for so long; none before it is known what there is.
    pub fn topology(&mut self, holds: Duration) -> Option<TopologyDelta> {
        if !self.complete {
            return None;
        }
        self.telling = self.version;
        let (mut components, mut edges) = (Vec::new(), BTreeSet::new());
        for ((namespace, name), pod) in &self.pods {
            let id = ComponentId::from_parts("pod", namespace, name);
            edges.insert(runs_on(&id, &node(&pod.node)));
            let services = self.surroundings.services_of(namespace, &pod.labels);
            let labels = [
                ("address", pod.address.clone()),
                ("workload", pod.workload.clone()),
                ("services", Some(services).filter(|services| !services.is_empty())),
            ];
            let labels = labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            components.push(Component { id, group: String::new(), labels: labels.collect() });
        }
        let nodes: BTreeSet<&String> = self.pods.values().map(|pod| &pod.node).collect();
        for name in nodes {
            if let Some(zone) = self.surroundings.zone_of(name) {
                edges.insert(runs_on(&node(name), &ComponentId::from_parts("zone", "local", zone)));
            }
        }
        Some(TopologyDelta {
            source: TopologySource::Platform,
            by: BY.to_owned(),
            ttl_seconds: Some(holds.as_secs_f64()),
            components,
            removed_edges: self.told.iter().filter(|edge| !edges.contains(edge)).cloned().collect(),
            edges: edges.into_iter().collect(),
            removed_components: Vec::new(),
        })
    }

    /// The hub has taken what it was told last.
    pub fn has_told(&mut self, delta: TopologyDelta) {
        self.told = delta.edges.into_iter().collect();
        self.told_version = Some(self.telling);
    }

    /// Rollouts that the hub is to hear of, as CloudEvents; the oldest first.
    pub fn rollouts(&self) -> &[Value] {
        &self.rollouts
    }

    /// The hub has heard of the first ones.
    pub fn has_told_rollouts(&mut self, count: usize) {
        self.rollouts.drain(..count.min(self.rollouts.len()));
    }

    /// A pod of another version than those before it: evidence where something begins in it soon after. Each one has an event with
    /// an id of its own, which is the same after a restart.
    fn roll_out(&mut self, pod: &Pod) {
        let labels = pod.metadata.labels.as_ref();
        let hash = REVISIONS.iter().find_map(|name| labels?.get(*name));
        let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let (Some(hash), Some(made), Some((kind, owner)), Some(uid)) =
            (hash, made, workload(pod), pod.metadata.uid.as_ref())
        else {
            return;
        };
        let (namespace, name) = name(pod);
        let workload = (namespace.to_owned(), kind.clone(), owner.to_owned());
        let first = || Version { hash: hash.clone(), since: made, follows: false };
        let version = self.workloads.entry(workload).or_insert_with(first);
        if version.hash != *hash {
            if made <= version.since {
                // One of the version before, which may be seen later than the new one.
                version.follows = true;
                return;
            }
            *version = Version { hash: hash.clone(), since: made, follows: true };
        }
        let is_late = made.duration_since(version.since).unsigned_abs() > ROLLOUT;
        if !version.follows || is_late || node_of_watched(pod).is_none() || !self.rolled_out.insert(key(pod))
        {
            return;
        }
        let images = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|one| one.image.as_deref());
        let text = format!("{kind}/{owner}: {}", images.collect::<Vec<_>>().join(", "));
        if self.rollouts.len() == MOST_ROLLOUTS {
            self.rollouts.remove(0);
        }
        self.rollouts.push(json!({
            "specversion": "1.0", "type": CHANGE, "source": format!("/{BY}"), "id": format!("rollout-{uid}"),
            "subject": ComponentId::from_parts("pod", namespace, name), "time": made.to_string(),
            "data": {"kind": "deploy", "text": text},
        }));
    }
}

fn key(pod: &Pod) -> Key {
    let (namespace, name) = name(pod);
    (namespace.to_owned(), name.to_owned())
}

/// As the agent of a node calls it.
fn node(name: &str) -> ComponentId {
    ComponentId::from_parts("node", "local", name)
}

fn runs_on(from: &ComponentId, to: &ComponentId) -> Edge {
    Edge { from: from.clone(), to: to.clone(), kind: EdgeKind::RunsOn }
}

/// Whether that is something else than before.
fn keep(pods: &mut BTreeMap<Key, Watched>, pod: &Pod) -> bool {
    let key = key(pod);
    let Some(node) = node_of_watched(pod) else { return pods.remove(&key).is_some() };
    let watched = Watched {
        node: node.to_owned(),
        address: address_of_its_own(pod).map(str::to_owned),
        workload: workload(pod).map(|(kind, name)| format!("{kind}/{name}")),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
    };
    let same = pods.get(&key) == Some(&watched);
    pods.insert(key, watched);
    !same
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Duration = Duration::from_secs(120);

    /// A pod of the deployment `pay`, made in a minute of an hour.
    fn pod(name: &str, hash: &str, minute: u32, change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "creationTimestamp": format!("2026-11-23T12:{minute:02}:00Z"),
                "labels": {"pod-template-hash": hash}, "annotations": {"prometheus.io/scrape": "true"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": format!("pay-{hash}"), "controller": true, "apiVersion": "apps/v1", "uid": "1"}],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "pay", "image": format!("pay:{hash}"), "ports": [{"containerPort": 80}]}]},
            "status": {"phase": "Running", "podIP": "10.1.2.3"},
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    fn with(pods: &[Pod]) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.see(&Seen::Beginning);
        for pod in pods {
            cluster.see(&Seen::There(pod.clone()));
        }
        cluster.see(&Seen::Complete);
        cluster
    }

    #[test]
    fn a_pod_is_known_by_its_address_its_workload_and_its_services_and_its_node_by_its_zone() {
        let mut cluster = with(&[pod("a", "1", 0, |pod| pod["metadata"]["labels"]["app"] = json!("pay"))]);
        let service = |name: &str, selector: Value| {
            serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": name}, "spec": {"selector": selector},
            }))
        };
        for (name, selector) in
            [("pay", json!({"app": "pay"})), ("other", json!({"app": "web"})), ("by-hand", json!(null))]
        {
            cluster.service_changed(&service(name, selector).unwrap());
        }
        let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "west"}}});
        cluster.node_changed(&serde_json::from_value(node).unwrap());
        let delta = cluster.topology(HOLDS).unwrap();
        let labels: Vec<(&str, &str)> =
            delta.components[0].labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("address", "10.1.2.3"), ("services", "pay"), ("workload", "deployment/pay")]);
        let edges: Vec<(&str, &str)> =
            delta.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())).collect();
        assert_eq!(edges, [("node/local/n1", "zone/local/west"), ("pod/shop/a", "node/local/n1")]);
    }

    #[test]
    fn what_several_pods_share_is_the_address_of_none() {
        let mut cluster = with(&[pod("a", "1", 0, |pod| pod["spec"]["hostNetwork"] = json!(true))]);
        assert!(!cluster.topology(HOLDS).unwrap().components[0].labels.contains_key("address"));
    }

    fn told(cluster: &mut Cluster) -> (usize, usize) {
        let delta = cluster.topology(HOLDS).unwrap();
        let counts = (delta.edges.len(), delta.removed_edges.len());
        cluster.has_told(delta);
        counts
    }

    fn subjects(cluster: &Cluster) -> Vec<&str> {
        cluster.rollouts().iter().map(|event| event["subject"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_watched_pod_runs_on_its_node_until_it_is_gone() {
        let plain = |pod: &mut Value| pod["metadata"]["annotations"] = json!({});
        let mut cluster = with(&[pod("a", "1", 0, |_| {}), pod("b", "1", 0, plain)]);
        assert!(cluster.is_news());
        let delta = cluster.topology(HOLDS).unwrap();
        assert_eq!(delta.edges[0].from.as_str(), "pod/shop/a");
        assert_eq!(delta.edges[0].to.as_str(), "node/local/n1");
        assert_eq!((told(&mut cluster), cluster.is_news()), ((1, 0), false));
        cluster.see(&Seen::Gone(pod("a", "1", 0, |_| {})));
        assert!(cluster.is_news());
        assert_eq!((told(&mut cluster), cluster.is_news()), ((0, 1), false));
    }

    #[test]
    fn nothing_is_told_before_it_is_known_what_there_is() {
        let mut cluster = Cluster::default();
        cluster.see(&Seen::There(pod("a", "1", 0, |_| {})));
        assert!(!cluster.is_news() && cluster.topology(HOLDS).is_none());
    }

    #[test]
    fn pods_of_a_new_version_are_told_once_each_and_those_of_the_one_before_are_not() {
        let mut cluster = with(&[pod("a", "1", 0, |_| {})]);
        cluster.see(&Seen::Changed(pod("b", "2", 10, |_| {})));
        cluster.see(&Seen::Changed(pod("a", "1", 0, |_| {})));
        cluster.see(&Seen::Changed(pod("b", "2", 10, |_| {})));
        cluster.see(&Seen::Changed(pod("c", "2", 12, |_| {})));
        assert_eq!(subjects(&cluster), ["pod/shop/b", "pod/shop/c"]);
        let event = &cluster.rollouts()[0];
        assert_eq!(
            (&event["time"], &event["data"]["text"]),
            (&json!("2026-11-23T12:10:00Z"), &json!("deployment/pay: pay:2"))
        );
        cluster.has_told_rollouts(2);
        cluster.see(&Seen::Changed(pod("d", "2", 45, |_| {})));
        assert_eq!(subjects(&cluster), [""; 0], "made when the rollout was long over");
        cluster.see(&Seen::Changed(pod("e", "1", 50, |_| {})));
        assert_eq!(subjects(&cluster), ["pod/shop/e"], "back to the version before");
    }

    #[test]
    fn a_rollout_that_was_under_way_at_the_start_is_told_in_whatever_order_its_pods_come() {
        for pods in [["a", "b"], ["b", "a"]] {
            let pods = pods
                .map(|name| if name == "a" { pod("a", "1", 0, |_| {}) } else { pod("b", "2", 10, |_| {}) });
            let mut cluster = with(&pods);
            cluster.see(&Seen::Changed(pods[0].clone()));
            cluster.see(&Seen::Changed(pods[1].clone()));
            assert_eq!(subjects(&cluster), ["pod/shop/b"]);
        }
    }
}
