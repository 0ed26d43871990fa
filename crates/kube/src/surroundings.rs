//! What there is around the pods of a cluster: the services that lead to them, and the zones of their nodes. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::core::PartialObjectMeta;

/// The well-known label of a node that says in which zone it is.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Services of one pod that are told.
const MOST: usize = 8;

/// Which labels a service selects.
type Selector = BTreeMap<String, String>;

/// Services and zones.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// By namespace and name.
    services: BTreeMap<String, BTreeMap<String, Selector>>,
    /// By node.
    zones: BTreeMap<String, String>,
}

impl Surroundings {
    /// A service is there. One without a selector leads to what somebody else says. This and the following say whether that is news.
    pub fn service_changed(&mut self, service: &Service) -> bool {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        if selector.is_empty() {
            return self.service_gone(service);
        }
        let (namespace, name) = name(service);
        let there = self.services.entry(namespace.to_owned()).or_default();
        there.insert(name.to_owned(), selector.clone()) != Some(selector)
    }

    /// A service is gone.
    pub fn service_gone(&mut self, service: &Service) -> bool {
        let (namespace, name) = name(service);
        let Some(services) = self.services.get_mut(namespace) else { return false };
        let was_there = services.remove(name).is_some();
        if services.is_empty() {
            self.services.remove(namespace);
        }
        was_there
    }

    /// A node is there.
    pub fn node_changed(&mut self, node: &PartialObjectMeta<Node>) -> bool {
        let Some(name) = node.metadata.name.clone() else { return false };
        match node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)) {
            Some(zone) => self.zones.insert(name, zone.clone()).as_ref() != Some(zone),
            None => self.zones.remove(&name).is_some(),
        }
    }

    /// The names of the services that lead to a pod with these labels, with commas between them.
    pub(crate) fn services_of(&self, namespace: &str, labels: &BTreeMap<String, String>) -> String {
        let leads =
            |selector: &Selector| selector.iter().all(|(name, value)| labels.get(name) == Some(value));
        let there = self.services.get(namespace).into_iter().flatten();
        let names: Vec<&str> =
            there.filter(|(_, selector)| leads(selector)).map(|(name, _)| name.as_str()).take(MOST).collect();
        names.join(",")
    }

    /// In which zone a node is, where it says so.
    pub(crate) fn zone_of(&self, node: &str) -> Option<&str> {
        self.zones.get(node).map(String::as_str)
    }
}

fn name(service: &Service) -> (&str, &str) {
    let metadata = &service.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}
