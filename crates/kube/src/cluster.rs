//! What the hub is told of the cluster: which pod runs on which node, and what was rolled out. Pure.
//!
//! Only of pods that are watched, by the agent of their node or by one of their own: nobody ever sees that of others something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use larnax_core::event::CHANGE;
use larnax_core::{ComponentId, Edge, EdgeKind, TopologyDelta, TopologySource};
use serde_json::{Value, json};

use crate::pod::{name, node_of_watched, workload};
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

/// The watched pods of a cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    runs: BTreeMap<Key, Edge>,
    /// Those that came since [`Seen::Beginning`].
    coming: BTreeMap<Key, Edge>,
    /// What the hub was told.
    told: BTreeSet<Edge>,
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
                keep(&mut self.runs, pod);
            }
            Seen::Gone(pod) => {
                let key = key(pod);
                self.runs.remove(&key);
                self.rolled_out.remove(&key);
            }
            Seen::Beginning => self.coming.clear(),
            Seen::There(pod) => {
                self.roll_out(pod);
                keep(&mut self.coming, pod);
            }
            Seen::Complete => {
                self.runs = std::mem::take(&mut self.coming);
                let runs = &self.runs;
                self.rolled_out.retain(|key| runs.contains_key(key));
                self.complete = true;
            }
        }
    }

    /// Whether the hub knows something else than what is.
    pub fn is_news(&self) -> bool {
        self.complete
            && (self.runs.len() != self.told.len()
                || !self.runs.values().all(|edge| self.told.contains(edge)))
    }

    /// All that the hub is to know now, which holds for so long; none before it is known what there is.
    pub fn topology(&self, holds: Duration) -> Option<TopologyDelta> {
        let edges: BTreeSet<&Edge> = self.runs.values().collect();
        self.complete.then(|| TopologyDelta {
            source: TopologySource::Platform,
            by: BY.to_owned(),
            ttl_seconds: Some(holds.as_secs_f64()),
            components: Vec::new(),
            removed_edges: self.told.iter().filter(|edge| !edges.contains(edge)).cloned().collect(),
            edges: edges.into_iter().cloned().collect(),
            removed_components: Vec::new(),
        })
    }

    /// The hub has taken it.
    pub fn has_told(&mut self, delta: TopologyDelta) {
        self.told = delta.edges.into_iter().collect();
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

fn keep(runs: &mut BTreeMap<Key, Edge>, pod: &Pod) {
    let (namespace, name) = name(pod);
    match node_of_watched(pod) {
        Some(node) => {
            let edge = Edge {
                from: ComponentId::from_parts("pod", namespace, name),
                // As the agent of the node calls it.
                to: ComponentId::from_parts("node", "local", node),
                kind: EdgeKind::RunsOn,
            };
            runs.insert(key(pod), edge);
        }
        None => {
            runs.remove(&key(pod));
        }
    }
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
