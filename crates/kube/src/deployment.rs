//! The Deployment of a federation's agent: one pod, with a Prometheus in it where it is to have one. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::agents::Agents;
use crate::federation::{Federation, Key};
use crate::inject::{USER, confined};
use crate::prometheus::Asked;

/// The agent's config, and what of a Deployment was wanted when it was last written.
const CONFIG: &str = "larnax.io/agent-config";
pub(crate) const WRITTEN: &str = "larnax.io/written";
/// Which federation a Deployment is for.
const NAMESPACE: &str = "larnax.io/federation-namespace";
const NAME: &str = "larnax.io/federation-name";
/// What all of them have.
pub(crate) const PART: (&str, &str) = ("app.kubernetes.io/component", "federation");
/// Where an agent answers.
const PORT: u16 = 7676;

impl Agents {
    /// As it should be.
    pub(crate) fn deployment(
        &self,
        name: &str,
        key: &Key,
        federation: &Federation,
        asked: &Asked<'_>,
        owner: &Value,
    ) -> Value {
        let (namespace, of) = key;
        let mut annotations = json!({CONFIG: self.config(key, federation, asked).to_string()});
        if let Some((annotation, config)) = asked.annotation(&self.members(key), self.interval(federation)) {
            annotations[annotation] = json!(config);
        }
        let mut pod = self.pod(namespace, federation);
        asked.join(&mut pod, &self.secret, &self.pull_policy);
        let labels = || {
            let mut labels = self.labels.clone();
            labels.insert(PART.0.to_owned(), PART.1.to_owned());
            labels.insert("larnax.io/agent".to_owned(), name.to_owned());
            labels
        };
        let spec = json!({
            // What it learns is in its pod: two would each know half of it.
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"larnax.io/agent": name}},
            "template": {
                "metadata": {"labels": labels(), "annotations": annotations},
                "spec": pod,
            },
        });
        let mut hasher = DefaultHasher::new();
        (spec.to_string(), owner.to_string()).hash(&mut hasher);
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": labels(),
                "annotations": {NAMESPACE: namespace, NAME: of, WRITTEN: format!("{:016x}", hasher.finish())},
                "ownerReferences": [owner],
            },
            "spec": spec,
        })
    }

    /// Where the operator says who the members are.
    fn members(&self, (namespace, name): &Key) -> String {
        format!("{}/targets?federation={namespace}/{name}", self.operator)
    }

    fn interval<'a>(&'a self, federation: &'a Federation) -> &'a str {
        federation.spec.interval.as_deref().unwrap_or(&self.interval)
    }

    /// The agent's config.
    fn config(&self, key: &Key, federation: &Federation, asked: &Asked<'_>) -> Value {
        let (namespace, name) = key;
        let (token, tls) = ("/etc/larnax-access/token", json!({"ca_file": "/etc/larnax-access/ca.crt"}));
        let job = json!({
            "job_name": "pods",
            "http_sd_configs": [{
                "url": self.members(key),
                "refresh_interval": "5s",
                "authorization": {"credentials_file": token},
                "tls_config": tls,
            }],
        });
        json!({
            "interval": self.interval(federation),
            "host": false,
            "listen": format!("0.0.0.0:{PORT}"),
            "api": {"bearer_token_file": token},
            "hub": {
                "url": self.hub, "name": format!("federation/{namespace}/{name}"), "bearer_token_file": token, "tls_config": tls,
            },
            "scrape_configs": [asked.job(job, namespace, name)],
        })
    }

    fn pod(&self, namespace: &str, federation: &Federation) -> Value {
        let mount = |name: &str, path: &str, read_only: bool| json!({"name": name, "mountPath": path, "readOnly": read_only});
        let mut pod = json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "imagePullSecrets": self.pull_secrets.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
            // The group, so that it can read what is mounted.
            "securityContext": {"fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "agent",
                "image": self.image,
                "imagePullPolicy": self.pull_policy,
                "args": ["--config=/etc/larnax/larnax.yaml"],
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": self.resources,
                "livenessProbe": {"httpGet": {"path": "/-/healthy", "port": "http"}},
                "readinessProbe": {"httpGet": {"path": "/-/ready", "port": "http"}, "periodSeconds": 2},
                "securityContext": confined(),
                "volumeMounts": [
                    mount("access", "/etc/larnax-access", true),
                    mount("config", "/etc/larnax", true),
                    mount("state", "/var/lib/larnax", false),
                ],
            }],
            "volumes": [
                {"name": "access", "secret": {"secretName": self.secret, "defaultMode": 0o440}},
                {"name": "config", "downwardAPI": {"items": [
                    {"path": "larnax.yaml", "fieldRef": {"fieldPath": format!("metadata.annotations['{CONFIG}']")}},
                ]}},
                {"name": "state", "emptyDir": {}},
            ],
        });
        // In the middle of its group, where there is room: what it scrapes then stays on the node, or in the zone at least.
        if let Some(selector) = &federation.spec.selector {
            let near =
                |key: &str| json!({"topologyKey": key, "labelSelector": selector, "namespaces": [namespace]});
            pod["affinity"] = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": near("topology.kubernetes.io/zone")},
                {"weight": 50, "podAffinityTerm": near("kubernetes.io/hostname")},
            ]}});
        }
        pod
    }
}
