//! Federations: groups of pods that have one agent together, instead of the agents of their nodes. Pure.
//!
//! Deucalion's second architecture: one agent for a group, in the middle of it. The agent runs in Larnax's own namespace, so
//! that the operator has to create nothing anywhere else, and asks the operator for its members as agents of nodes do.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use kube::core::SelectorExt as _;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::prometheus::PrometheusSpec;

/// The annotation by which a pod says of which federation of its namespace it is; Deucalion's means the same.
const MEMBER_OF: [&str; 2] = ["larnax.io/federation", "deucalion-federation"];

/// A group of pods that one agent watches, instead of the agents of their nodes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, CustomResource, JsonSchema)]
#[kube(
    group = "larnax.io",
    version = "v1alpha1",
    kind = "Federation",
    namespaced,
    status = "FederationStatus",
    doc = "A group of pods that one agent watches, instead of the agents of their nodes",
    printcolumn = r#"{"name":"Members","type":"integer","jsonPath":".status.members"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct FederationSpec {
    /// Which pods of its namespace belong to it, besides those that say so by the annotation `larnax.io/federation: NAME`. None
    /// but those where it is left out
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub selector: Option<LabelSelector>,
    /// How often their metrics are collected, as `5s`; as the chart says where it is left out
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]*(ms|s|m)$"))]
    pub interval: Option<String>,
    /// Whether a Prometheus scrapes them; without it, the agent does
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusSpec>,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederationStatus {
    /// How many pods its agent is told to scrape
    #[serde(default)]
    pub members: u32,
    /// The Deployment of its agent, in the namespace of Larnax
    #[serde(default)]
    pub agent: String,
    /// Of which version of it this is told
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`: its agent runs, and has somebody to watch
    #[serde(default)]
    pub conditions: Vec<FederationCondition>,
}

/// One thing that is so or not.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederationCondition {
    /// What
    pub r#type: String,
    /// `True` or `False`
    pub status: String,
    /// Why, in a word
    pub reason: String,
    /// Why, for a person
    pub message: String,
    /// Since when
    pub last_transition_time: String,
    /// Of which version of the federation
    pub observed_generation: i64,
}

/// The kind as a cluster has to be told of it, before there can be any; JSON, which is YAML.
pub fn definition() -> String {
    let definition = serde_json::to_string_pretty(&Federation::crd()).unwrap_or_default();
    format!("# Written by `cargo xtask generate`.\n{definition}\n")
}

/// As Kubernetes has it; its own type says no schema without weighing every other type's.
fn selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string"},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    })
}

/// A federation's namespace and name.
pub type Key = (String, String);

/// What a pod says of where it belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belongs {
    labels: BTreeMap<String, String>,
    said: Option<String>,
}

impl Belongs {
    pub(crate) fn of(pod: &Pod) -> Self {
        let annotations = pod.metadata.annotations.as_ref();
        let said = MEMBER_OF.iter().find_map(|name| annotations?.get(*name)).cloned();
        Self { labels: pod.metadata.labels.clone().unwrap_or_default(), said }
    }
}

/// All federations.
#[derive(Debug, Default)]
pub struct Federations {
    all: BTreeMap<Key, Wanted>,
    coming: BTreeMap<Key, Wanted>,
    /// Whether it is not known yet which there are.
    awaited: bool,
}

#[derive(Debug)]
struct Wanted {
    federation: Federation,
    /// Or why there is none, for a person.
    selector: Result<Option<Selector>, String>,
}

impl Federations {
    /// It is not known yet which there are.
    pub(crate) fn awaited() -> Self {
        Self { awaited: true, ..Self::default() }
    }

    /// One is there, new or changed.
    pub(crate) fn changed(&mut self, federation: Federation) {
        self.all.insert(key(&federation), Wanted::of(federation));
    }

    pub(crate) fn gone(&mut self, federation: &Federation) {
        self.all.remove(&key(federation));
    }

    /// From here on all that there are come anew; what was known before holds until they are complete.
    pub(crate) fn beginning(&mut self) {
        self.coming.clear();
    }

    pub(crate) fn there(&mut self, federation: Federation) {
        self.coming.insert(key(&federation), Wanted::of(federation));
    }

    pub(crate) fn complete(&mut self) {
        self.all = std::mem::take(&mut self.coming);
        self.awaited = false;
    }

    /// Whether it is known which there are.
    pub fn is_complete(&self) -> bool {
        !self.awaited
    }

    /// Each with what is wrong with its selector, for a person.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &Federation, Option<&str>)> {
        self.all.iter().map(|(key, wanted)| {
            (key, &wanted.federation, wanted.selector.as_ref().err().map(String::as_str))
        })
    }

    /// The federation that a pod belongs to: the one that it says, if there is one of that name in its namespace; else the first by name
    /// that selects it. No pod is watched twice.
    pub fn of(&self, namespace: &str, pod: &Belongs) -> Option<&str> {
        if let Some(said) = &pod.said
            && let Some(((_, name), _)) = self.all.get_key_value(&(namespace.to_owned(), said.clone()))
        {
            return Some(name);
        }
        let first = (namespace.to_owned(), String::new());
        let here = self.all.range(first..).take_while(|((of, _), _)| of == namespace);
        let selects = |wanted: &Wanted| {
            wanted.selector.as_ref().is_ok_and(|it| it.as_ref().is_some_and(|it| it.matches(&pod.labels)))
        };
        here.filter(|(_, wanted)| selects(wanted)).map(|((_, name), _)| name.as_str()).next()
    }
}

impl Wanted {
    fn of(federation: Federation) -> Self {
        let selector = federation.spec.selector.clone().map(|selector| {
            let is_empty = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
                && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
            match is_empty {
                // As everywhere in Kubernetes.
                true => Ok(Selector::default()),
                false => Selector::try_from(selector).map_err(|error| format!("its selector: {error}")),
            }
        });
        Self { federation, selector: selector.transpose() }
    }
}

fn key(federation: &Federation) -> Key {
    let metadata = &federation.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// What stands in a federation's status.
pub(crate) fn status(
    federation: &Federation,
    agent: &str,
    members: usize,
    ready: bool,
    problem: Option<(&'static str, &str)>,
    now: &str,
) -> FederationStatus {
    let generation = federation.metadata.generation.unwrap_or_default();
    let (status, reason, message) = match (problem, members, ready) {
        (Some((reason, problem)), ..) => ("False", reason, problem.to_owned()),
        (None, 0, _) => (
            "False",
            "NoMembers",
            "no pod that belongs to it asks to be scraped (prometheus.io/scrape: \"true\")".to_owned(),
        ),
        (None, _, false) => ("False", "AgentNotReady", format!("the agent {agent} is not ready")),
        (None, _, true) => ("True", "Watched", format!("the agent {agent} watches {members}")),
    };
    let before = federation.status.as_ref();
    let before = before.and_then(|status| status.conditions.iter().find(|one| one.r#type == "Ready"));
    let since = before.filter(|before| before.status == status).map(|before| &before.last_transition_time);
    let condition = FederationCondition {
        r#type: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.map_or_else(|| now.to_owned(), Clone::clone),
        observed_generation: generation,
    };
    FederationStatus {
        members: u32::try_from(members).unwrap_or(u32::MAX),
        agent: agent.to_owned(),
        observed_generation: generation,
        conditions: vec![condition],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn federation(namespace: &str, name: &str, selector: &Value) -> Federation {
        serde_json::from_value(json!({
            "apiVersion": "larnax.io/v1alpha1", "kind": "Federation",
            "metadata": {"namespace": namespace, "name": name, "generation": 2},
            "spec": {"selector": selector},
        }))
        .unwrap()
    }

    fn belongs(labels: &Value, annotations: &Value) -> Belongs {
        let pod = json!({"metadata": {"labels": labels, "annotations": annotations}});
        Belongs::of(&serde_json::from_value(pod).unwrap())
    }

    fn all(all: &[Federation]) -> Federations {
        let mut federations = Federations::default();
        all.iter().for_each(|one| federations.changed(one.clone()));
        federations
    }

    #[test]
    fn a_pod_belongs_to_the_federation_that_it_says_else_to_the_first_that_selects_it() {
        let app = |app: &str| json!({"matchLabels": {"app": app}});
        let federations = all(&[
            federation("shop", "b", &app("pay")),
            federation(
                "shop",
                "a",
                &json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["pay", "web"]}]}),
            ),
            federation("shop", "said", &Value::Null),
            federation("other", "everything", &json!({})),
        ]);
        let of = |namespace: &str, labels: &Value, annotations: &Value| {
            federations.of(namespace, &belongs(labels, annotations)).map(str::to_owned)
        };
        let none = json!({});
        assert_eq!(of("shop", &json!({"app": "pay"}), &none).as_deref(), Some("a"));
        assert_eq!(of("shop", &json!({"app": "stock"}), &none), None);
        assert_eq!(of("other", &none, &none).as_deref(), Some("everything"), "an empty selector selects all");
        assert_eq!(of("third", &none, &none), None);
        for said in MEMBER_OF {
            let annotations = |name: &str| json!({said: name});
            assert_eq!(of("shop", &json!({"app": "pay"}), &annotations("said")).as_deref(), Some("said"));
            assert_eq!(of("shop", &json!({"app": "pay"}), &annotations("everything")).as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_selector_that_means_nothing_selects_nobody_and_is_told() {
        let wrong = json!({"matchExpressions": [{"key": "app", "operator": "Near", "values": ["pay"]}]});
        let federations = all(&[federation("shop", "a", &wrong)]);
        assert_eq!(federations.of("shop", &belongs(&json!({"app": "pay"}), &json!({}))), None);
        let problem = federations.all().next().unwrap().2.unwrap();
        assert!(problem.contains("its selector"), "{problem}");
    }

    #[test]
    fn while_all_come_anew_what_was_known_holds() {
        let (a, b) = (federation("shop", "a", &json!({})), federation("shop", "b", &json!({})));
        let mut federations = Federations::awaited();
        federations.there(a.clone());
        assert!(!federations.is_complete());
        federations.complete();
        federations.beginning();
        federations.there(b);
        let of = |federations: &Federations| federations.of("shop", &Belongs::default()).map(str::to_owned);
        assert_eq!((federations.is_complete(), of(&federations).as_deref()), (true, Some("a")));
        federations.complete();
        assert_eq!(of(&federations).as_deref(), Some("b"));
        federations.gone(&federation("shop", "b", &json!({})));
        assert_eq!(of(&federations), None);
    }

    #[test]
    fn a_status_says_since_when_it_is_as_it_is() {
        let mut one = federation("shop", "a", &json!({}));
        let told = |one: &Federation, members, ready, now| status(one, "larnax/x", members, ready, None, now);
        let first = told(&one, 0, true, "t1");
        assert_eq!(
            (first.conditions[0].status.as_str(), first.conditions[0].reason.as_str()),
            ("False", "NoMembers")
        );
        one.status = Some(first);
        let second = told(&one, 2, false, "t2");
        assert_eq!(
            (second.conditions[0].reason.as_str(), second.conditions[0].last_transition_time.as_str()),
            ("AgentNotReady", "t1")
        );
        one.status = Some(second);
        let third = told(&one, 2, true, "t3");
        assert_eq!((third.members, third.observed_generation), (2, 2));
        assert_eq!(
            (third.conditions[0].status.as_str(), third.conditions[0].last_transition_time.as_str()),
            ("True", "t3")
        );
        let wrong = status(&one, "larnax/x", 2, true, Some(("BadSelector", "its selector: no")), "t4");
        assert_eq!(wrong.conditions[0].message, "its selector: no");
    }
}
