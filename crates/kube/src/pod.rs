//! What a pod says of how it is scraped. Pure.
//!
//! The annotations are those that charts have had for years, from Prometheus' example of a config: `prometheus.io/scrape`,
//! `/port`, `/path`, `/scheme` and `/param_NAME`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use larnax_core::ComponentId;
use serde::Serialize;

use crate::federation::Belongs;
use crate::inject::has_agent;

/// Phases in which nothing of a pod runs any more.
const ENDED: [&str; 2] = ["Succeeded", "Failed"];

/// A pod as a group of targets, in the form of Prometheus' `http_sd_configs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// `address:port`, one.
    pub targets: Vec<String>,
    /// Which component it is, and how it is scraped.
    pub labels: BTreeMap<String, String>,
}

/// A pod that is to be scraped, and the node that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opted {
    /// Its node's name.
    pub node: String,
    /// How it is scraped; or why it can't be, for a person.
    pub group: Result<Group, String>,
    /// Which federation it may belong to.
    pub belongs: Belongs,
}

/// The node of a pod that is watched: by the agent of its node, or by one of its own.
pub fn node_of_watched(pod: &Pod) -> Option<&str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    let asks = annotations.get("prometheus.io/scrape").map(String::as_str) == Some("true");
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    ((asks || has_agent(pod)) && !has_ended(pod)).then_some(node)
}

/// The pod's address, unless it is that of its node, which others have as well.
pub fn address_of_its_own(pod: &Pod) -> Option<&str> {
    let shares = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    pod.status.as_ref()?.pod_ip.as_deref().filter(|_| !shares)
}

/// Whether nothing of it runs any more, or soon won't.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.is_some_and(|phase| ENDED.contains(&phase)) || pod.metadata.deletion_timestamp.is_some()
}

/// What a pod that runs somewhere and has opted in says; none of every other pod, nor of one that has an agent of its own.
pub fn opted(pod: &Pod) -> Option<Opted> {
    let annotations = pod.metadata.annotations.as_ref()?;
    if annotations.get("prometheus.io/scrape").map(String::as_str) != Some("true") {
        return None;
    }
    if has_agent(pod) {
        return None;
    }
    if has_ended(pod) {
        return None;
    }
    let (node, address) = (pod.spec.as_ref()?.node_name.clone()?, pod.status.as_ref()?.pod_ip.as_deref()?);
    let group = metrics_port(pod).map(|port| group(pod, &node, address, port));
    Some(Opted { node, group, belongs: Belongs::of(pod) })
}

fn group(pod: &Pod, node: &str, address: &str, port: u16) -> Group {
    let (namespace, name) = name(pod);
    let address =
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let id = ComponentId::from_parts("pod", namespace, name);
    let mut labels = scrape_labels(pod);
    labels.insert("component".to_owned(), id.as_str().to_owned());
    labels.insert("namespace".to_owned(), namespace.to_owned());
    labels.insert("node".to_owned(), node.to_owned());
    labels.insert("pod".to_owned(), name.to_owned());
    Group { targets: vec![address], labels }
}

/// What the pod is one of, and how it is scraped where that is not the usual way.
pub fn scrape_labels(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if let Some((kind, owner)) = workload(pod) {
        labels.insert("workload".to_owned(), format!("{kind}/{owner}"));
    }
    for (annotation, value) in pod.metadata.annotations.iter().flatten() {
        let label = match annotation.strip_prefix("prometheus.io/") {
            Some("path") => "__metrics_path__".to_owned(),
            Some("scheme") => "__scheme__".to_owned(),
            Some(other) if other.starts_with("param_") => format!("__{other}"),
            _ => continue,
        };
        labels.insert(label, value.clone());
    }
    labels
}

/// Namespace and name.
pub fn name(pod: &Pod) -> (&str, &str) {
    (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default())
}

/// The port that is annotated, else the only one that its containers declare, else the only one that is called `metrics`.
///
/// # Errors
/// A sentence for a person, where none of these is there.
pub fn metrics_port(pod: &Pod) -> Result<u16, String> {
    let (namespace, name) = name(pod);
    if let Some(text) = pod.metadata.annotations.as_ref().and_then(|all| all.get("prometheus.io/port")) {
        let number = text.parse::<u16>().ok().filter(|port| *port > 0);
        return number.ok_or_else(|| {
            format!(
                "pod {namespace}/{name}: prometheus.io/port is `{text}`, expected a number from 1 to 65535"
            )
        });
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let tcp: Vec<_> = ports.filter(|port| port.protocol.as_deref().is_none_or(|it| it == "TCP")).collect();
    let named: Vec<_> = tcp
        .iter()
        .copied()
        .filter(|port| {
            port.name.as_deref().is_some_and(|name| name == "metrics" || name.ends_with("-metrics"))
        })
        .collect();
    match (tcp.as_slice(), named.as_slice()) {
        ([one], _) | (_, [one]) => u16::try_from(one.container_port)
            .map_err(|_| format!("pod {namespace}/{name}: port {} is no port", one.container_port)),
        (many, _) => Err(format!(
            "pod {namespace}/{name} is to be scraped and declares {} TCP ports: say which in the annotation \
             prometheus.io/port",
            many.len()
        )),
    }
}

/// What the pod is one of: kind and name. A replica set that belongs to a deployment has its name, without the hash of
/// the pods' template.
pub fn workload(pod: &Pod) -> Option<(String, &str)> {
    let owner =
        pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let deployment = (owner.kind == "ReplicaSet")
        .then(|| owner.name.strip_suffix(hash?.as_str())?.strip_suffix('-'))
        .flatten();
    match deployment {
        Some(name) => Some(("deployment".to_owned(), name)),
        None => Some((owner.kind.to_ascii_lowercase(), owner.name.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Option<Opted> {
        let mut pod = json!({
            "metadata": {
                "namespace": "shop", "name": "pay-7c9d-x1",
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/path": "/m", "prometheus.io/param_x": "y"},
                "labels": {"pod-template-hash": "7c9d"},
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "pay-7c9d", "uid": "1", "controller": true}],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "pay", "ports": [{"containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": "10.1.2.3"},
        });
        change(&mut pod);
        opted(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_that_has_opted_in_says_where_its_metrics_are_and_what_it_is_one_of() {
        let opted = pod(|_| {}).unwrap();
        let group = opted.group.unwrap();
        assert_eq!(
            (opted.node.as_str(), group.targets.as_slice()),
            ("n1", &["10.1.2.3:8080".to_owned()][..])
        );
        let labels: Vec<String> =
            group.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            labels,
            [
                "__metrics_path__=/m",
                "__param_x=y",
                "component=pod/shop/pay-7c9d-x1",
                "namespace=shop",
                "node=n1",
                "pod=pay-7c9d-x1",
                "workload=deployment/pay",
            ]
        );
    }

    #[test]
    fn nobody_else_is_scraped() {
        for (field, value) in [
            ("/metadata/annotations/prometheus.io~1scrape", json!("yes")),
            ("/metadata/annotations", json!(null)),
            ("/status/phase", json!("Succeeded")),
            ("/status/podIP", json!(null)),
            ("/spec/nodeName", json!(null)),
        ] {
            assert_eq!(pod(|pod| *pod.pointer_mut(field).unwrap() = value.clone()), None, "{field}");
        }
        assert_eq!(pod(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:00:00Z")), None);
    }

    #[test]
    fn the_port_is_the_annotated_or_the_only_or_the_one_for_metrics_or_a_sentence_says_what_to_do() {
        let with = |ports: Value, annotated: Option<&str>| {
            let opted = pod(|pod| {
                pod["spec"]["containers"][0]["ports"] = ports;
                if let Some(port) = annotated {
                    pod["metadata"]["annotations"]["prometheus.io/port"] = json!(port);
                }
            });
            opted.unwrap().group.map(|group| group.targets[0].clone())
        };
        let two = json!([{"containerPort": 80}, {"containerPort": 9100, "name": "http-metrics"}]);
        assert_eq!(with(two.clone(), None).unwrap(), "10.1.2.3:9100");
        assert_eq!(with(two, Some("81")).unwrap(), "10.1.2.3:81");
        let udp = json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 80}]);
        assert_eq!(with(udp, None).unwrap(), "10.1.2.3:80");
        assert!(with(json!(null), None).unwrap_err().contains("declares 0 TCP ports"));
        assert!(
            with(json!([{"containerPort": 1}, {"containerPort": 2}]), None).unwrap_err().contains("shop/pay")
        );
        assert!(with(json!(null), Some("http")).unwrap_err().contains("`http`"));
    }

    #[test]
    fn owners_other_than_deployments_keep_their_names_and_ipv6_its_brackets() {
        let label = |change: fn(&mut Value)| pod(change).unwrap().group.unwrap().labels.remove("workload");
        let stateful = label(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet"));
        assert_eq!(stateful.unwrap(), "statefulset/pay-7c9d");
        assert_eq!(label(|pod| pod["metadata"]["ownerReferences"] = json!([])), None);
        let six = pod(|pod| pod["status"]["podIP"] = json!("fd00::7")).unwrap().group.unwrap();
        assert_eq!(six.targets, ["[fd00::7]:8080"]);
    }
}
