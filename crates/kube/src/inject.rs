//! Whether a pod gets an agent of its own, and what it then looks like. Pure.
//!
//! The agent is one container more that scrapes its neighbours over the pod's own loopback, so that no sample leaves the pod.
//! What it needs comes with the pod, in one projected volume: its config and the certificate of who signs the hub's, from
//! annotations, and a token of the pod's service account that is good for the hub and nothing else. So neither a secret nor
//! a config map has to be in the namespace, and nothing is left in it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pod::{metrics_port, scrape_labels};

/// The agent's container.
pub const CONTAINER: &str = "larnax";
/// What a pod or a namespace says of it: `enabled` or `disabled`.
pub const ASKED: &str = "larnax.io/inject";
/// The agent's config, in a pod that has one.
pub const CONFIG: &str = "larnax.io/sidecar-config";
/// What was wrong with what the pod asked for, to be told in an event.
pub const PROBLEM: &str = "larnax.io/problem";
/// The certificate of who signs the hub's.
const CA: &str = "larnax.io/sidecar-ca";
/// Another image than the chart's, and a config map with more of the config; Deucalion's names for them mean the same.
const IMAGE: [&str; 2] = ["larnax.io/sidecar-image", "deucalion-sidecar-image"];
const CONFIG_MAP: [&str; 2] = ["larnax.io/config-map", "deucalion-config-map"];
/// Where the volume is mounted.
const FOLDER: &str = "/etc/larnax";
/// Its name, and that of the one for what is learnt.
const VOLUMES: [&str; 2] = ["larnax", "larnax-state"];
/// Where the agent answers, unless a container of the pod declares that port.
const PORT: i32 = 7676;
/// Who the images run as.
pub(crate) const USER: i64 = 65_532;
/// Whose pods are never touched: what the cluster itself needs must not wait for us.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// How agents are put into pods.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Its image, where a pod names no other.
    pub image: String,
    /// Others that a pod may name; `*` at the end of one stands for anything. One that isn't there would keep the pod from starting.
    #[serde(default)]
    pub images: Vec<String>,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Where the hub is, as `https://larnax-hub.larnax.svc:7677`.
    pub hub: String,
    /// The certificate of who signs the hub's, PEM; from a file of its own.
    #[serde(skip)]
    pub ca: String,
    /// Who the token is for: what the hub asks the API server about.
    pub audience: String,
    /// How often metrics are collected.
    pub interval: String,
    /// What it may use, as in a container's `resources`.
    pub resources: Value,
    /// Larnax's own namespace.
    pub own_namespace: String,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It stays as it is, and why; not worth telling anybody.
    Leave(&'static str),
    /// It stays as it is, although an agent was asked for: what is wrong, for a person.
    Refuse(String),
    /// It gets an agent. What is wrong all the same, for a person.
    Inject(Agent, Vec<String>),
}

/// An agent of its own: what is added to a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    annotations: BTreeMap<&'static str, String>,
    /// As the API has them: typed ones would weigh a megabyte, for all that pods may have.
    container: Value,
    volumes: [Value; 2],
    native: bool,
}

impl Agent {
    /// What is changed of a pod, as a JSON patch (RFC 6902): things are only added.
    pub fn patch(&self, pod: &Pod) -> Value {
        let mut operations = Vec::new();
        let mut add = |path: String, value: Value| {
            operations.push(json!({"op": "add", "path": path, "value": value}));
        };
        if pod.metadata.annotations.is_none() {
            add("/metadata/annotations".to_owned(), json!({}));
        }
        for (name, value) in &self.annotations {
            add(
                format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1")),
                json!(value),
            );
        }
        let spec = pod.spec.as_ref();
        if spec.is_some_and(|spec| spec.volumes.is_none()) {
            add("/spec/volumes".to_owned(), json!([]));
        }
        for volume in &self.volumes {
            add("/spec/volumes/-".to_owned(), volume.clone());
        }
        if !self.native {
            add("/spec/containers/-".to_owned(), self.container.clone());
        } else {
            if spec.is_some_and(|spec| spec.init_containers.is_none()) {
                add("/spec/initContainers".to_owned(), json!([]));
            }
            // First: what the pod's own init containers do is seen, and they are not kept waiting, because it has no startup probe.
            add("/spec/initContainers/0".to_owned(), self.container.clone());
        }
        Value::Array(operations)
    }
}

/// The config map that a pod names for its agent.
pub fn config_map(pod: &Pod) -> Option<&str> {
    annotation(pod, &CONFIG_MAP)
}

/// Whether a pod has an agent of its own.
pub fn has_agent(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let containers =
        spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    annotation(pod, &[CONFIG]).is_some()
        && containers.into_iter().any(|container| container.name == CONTAINER)
}

/// Decides about a pod that is about to be made in a namespace. `native` says whether the cluster has containers that start before the
/// others, end after them, and let jobs end (Kubernetes 1.29 on). `more` is what the pod's config map says; none where it names none.
pub fn decide(
    pod: &Pod,
    namespace: &str,
    sidecar: &Sidecar,
    native: bool,
    more: Option<Result<Value, String>>,
) -> Verdict {
    if SYSTEM.contains(&namespace) || namespace == sidecar.own_namespace {
        return Verdict::Leave("pods of this namespace are never touched");
    }
    let asked: BTreeSet<&str> =
        [label(pod, ASKED), annotation(pod, &[ASKED])].into_iter().flatten().collect();
    if let Some(other) = asked.iter().find(|asked| !["enabled", "disabled"].contains(asked)) {
        return Verdict::Refuse(format!(
            "{ASKED} is `{other}`, expected enabled or disabled: it gets no agent"
        ));
    }
    if asked.len() > 1 {
        let problem = "is enabled by its label and disabled by its annotation, or the other way: it gets no agent; take one of them away";
        return Verdict::Refuse(format!("{ASKED} {problem}"));
    }
    if asked.contains("disabled") {
        return Verdict::Leave("the pod asks for none");
    }
    let Some(spec) = &pod.spec else { return Verdict::Leave("a pod without containers") };
    let there = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if there.into_iter().any(|container| container.name == CONTAINER) {
        return Verdict::Leave("it has one");
    }
    if spec.host_network == Some(true) {
        return Verdict::Refuse(
            "a pod on the node's network gets no agent of its own: the agent of the node watches it where it asks for that \
             by prometheus.io/scrape"
                .to_owned(),
        );
    }
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    if !native && owner.is_some_and(|owner| owner.kind == "Job") {
        return Verdict::Refuse(
            "a pod of a job gets no agent in a cluster before 1.29: the job would never end".to_owned(),
        );
    }
    let mut problems = Vec::new();
    let more = match more {
        Some(Ok(more)) => more,
        Some(Err(problem)) => {
            problems.push(problem);
            Value::Null
        }
        None => Value::Null,
    };
    let target = if annotation(pod, &["prometheus.io/scrape"]) == Some("false") {
        None
    } else {
        Some(metrics_port(pod))
    };
    let target = match target {
        Some(Ok(port)) => Some(port),
        Some(Err(_)) | None if more.get("scrape_configs").is_some() => None,
        Some(Err(problem)) => return Verdict::Refuse(problem),
        None => return Verdict::Leave("it asks not to be scraped"),
    };
    let (image, problem) = image(pod, sidecar);
    problems.extend(problem);
    for [first, other] in [IMAGE, CONFIG_MAP] {
        if let (Some(one), Some(two)) = (annotation(pod, &[first]), annotation(pod, &[other]))
            && one != two
        {
            problems.push(format!("{first} is `{one}` and {other} is `{two}`: the first counts"));
        }
    }
    let mut agent = agent(pod, namespace, sidecar, native, image, target, more);
    if !problems.is_empty() {
        agent.annotations.insert(PROBLEM, problems.join("; "));
    }
    Verdict::Inject(agent, problems)
}

/// The first of these annotations.
fn annotation<'a>(pod: &'a Pod, names: &[&str]) -> Option<&'a str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    names.iter().find_map(|name| annotations.get(*name)).map(String::as_str)
}

fn label<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The image that a pod's agent runs from, and what is wrong with the one that the pod names. Nobody can see from here whether a registry
/// has an image, so only those are taken that somebody has vouched for.
fn image<'a>(pod: &'a Pod, sidecar: &'a Sidecar) -> (&'a str, Option<String>) {
    let usual = sidecar.image.as_str();
    let Some(named) = annotation(pod, &IMAGE) else { return (usual, None) };
    if !is_image(named) {
        return (usual, Some(format!("`{named}` is no name of an image; the agent runs from the usual one")));
    }
    let fits = |allowed: &String| match allowed.strip_suffix('*') {
        Some(begin) => named.starts_with(begin),
        None => named == allowed,
    };
    if named == usual || sidecar.images.iter().any(fits) {
        return (named, None);
    }
    let problem =
        "is none of those that inject.images of the chart allows; the agent runs from the usual one";
    (usual, Some(format!("the image `{named}` {problem}")))
}

/// Whether this can be the name of an image.
fn is_image(name: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:@".contains(c);
    let (path, tag) = match name.rsplit_once([':', '@']) {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let parts = path.split('/').all(|part| !part.is_empty() && !part.ends_with(['.', '-', '_']));
    let tagged = tag.is_none_or(|tag| {
        !tag.is_empty() && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    });
    parts && tagged && path.chars().all(known)
}

fn agent(
    pod: &Pod,
    namespace: &str,
    sidecar: &Sidecar,
    native: bool,
    image: &str,
    target: Option<u16>,
    more: Value,
) -> Agent {
    let port = free_port(pod);
    let config = config(pod, namespace, sidecar, target, port, more).to_string();
    Agent {
        annotations: BTreeMap::from([(CONFIG, config), (CA, sidecar.ca.clone())]),
        container: container(image, sidecar, native, port),
        volumes: volumes(sidecar),
        native,
    }
}

/// The first port from [`PORT`] on that no container of the pod declares.
fn free_port(pod: &Pod) -> i32 {
    let spec = pod.spec.as_ref();
    let containers =
        spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let taken: BTreeSet<i32> = containers
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| port.container_port)
        .collect();
    (PORT..).find(|port| !taken.contains(port)).unwrap_or(PORT)
}

/// The agent's config: what the user's says, and of what only we can know ours.
fn config(
    pod: &Pod,
    namespace: &str,
    sidecar: &Sidecar,
    target: Option<u16>,
    port: i32,
    more: Value,
) -> Value {
    let mut config = match more {
        Value::Object(more) => more,
        _ => serde_json::Map::new(),
    };
    config.entry("interval").or_insert_with(|| json!(sidecar.interval));
    config.insert("host".to_owned(), json!(false));
    config.insert("listen".to_owned(), json!(format!("0.0.0.0:{port}")));
    let token = format!("{FOLDER}/token");
    config.insert("api".to_owned(), json!({"bearer_token_file": token}));
    config.insert(
        "hub".to_owned(),
        json!({
            "url": sidecar.hub,
            "name": format!("{namespace}/${{POD_NAME}}"),
            "bearer_token_file": token,
            "tls_config": {"ca_file": format!("{FOLDER}/ca.crt")},
        }),
    );
    if let Some(target) = target {
        let mut labels: BTreeMap<String, String> = scrape_labels(pod);
        labels.insert("component".to_owned(), format!("pod/{namespace}/${{POD_NAME}}"));
        labels.insert("namespace".to_owned(), namespace.to_owned());
        labels.insert("pod".to_owned(), "${POD_NAME}".to_owned());
        labels.insert("node".to_owned(), "${NODE_NAME}".to_owned());
        let own = json!({"job_name": "pod", "static_configs": [{"targets": [format!("127.0.0.1:{target}")], "labels": labels}]});
        match config.entry("scrape_configs").or_insert_with(|| json!([])) {
            Value::Array(jobs) => jobs.push(own),
            other => *other = json!([own]),
        }
    }
    Value::Object(config)
}

fn container(image: &str, sidecar: &Sidecar, native: bool, port: i32) -> Value {
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut container = json!({
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": sidecar.pull_policy,
        "args": [format!("--config={FOLDER}/larnax.yaml")],
        "env": [field("POD_NAME", "metadata.name"), field("NODE_NAME", "spec.nodeName")],
        "ports": [{"name": "larnax", "containerPort": port}],
        "resources": sidecar.resources,
        // No readiness probe: whether the application takes requests must not depend on who watches it.
        "livenessProbe": {"httpGet": {"path": "/-/healthy", "port": port}, "initialDelaySeconds": 10},
        "securityContext": confined(),
        "volumeMounts": [
            {"name": VOLUMES[0], "mountPath": FOLDER, "readOnly": true},
            {"name": VOLUMES[1], "mountPath": "/var/lib/larnax"},
        ],
    });
    if native {
        container["restartPolicy"] = json!("Always");
    }
    container
}

/// What the container of an agent may not.
pub(crate) fn confined() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
    })
}

fn volumes(sidecar: &Sidecar) -> [Value; 2] {
    let file = |name: &str, annotation: &str| json!({"path": name, "fieldRef": {"fieldPath": format!("metadata.annotations['{annotation}']")}});
    let files = json!({"downwardAPI": {"items": [file("larnax.yaml", CONFIG), file("ca.crt", CA)]}});
    let token = json!({
        "serviceAccountToken": {"audience": sidecar.audience, "expirationSeconds": 3_600, "path": "token"},
    });
    [
        // The agent's user is not the pod's, whose group may be none: what is projected is for all to read.
        json!({"name": VOLUMES[0], "projected": {"sources": [files, token], "defaultMode": 0o444}}),
        json!({"name": VOLUMES[1], "emptyDir": {}}),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar() -> Sidecar {
        Sidecar {
            image: "docker.io/larnax/larnax-edge:0.1.0".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            hub: "https://larnax-hub.larnax.svc:7677".to_owned(),
            ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            audience: "larnax".to_owned(),
            interval: "5s".to_owned(),
            resources: json!({}),
            images: Vec::new(),
            own_namespace: "larnax".to_owned(),
        }
    }

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {
                "generateName": "pay-7c9d-", "labels": {"app": "pay", "pod-template-hash": "7c9d"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "pay-7c9d", "controller": true, "apiVersion": "apps/v1", "uid": "1"}],
            },
            "spec": {
                "containers": [{"name": "pay", "image": "pay", "ports": [{"containerPort": 8080}]}],
                "initContainers": [{"name": "schema", "image": "pay"}],
            },
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    fn decided(change: impl FnOnce(&mut Value)) -> Verdict {
        decide(&pod(change), "shop", &sidecar(), true, None)
    }

    /// What becomes of a pod that gets an agent.
    fn changed(before: &Pod, native: bool, more: Option<Result<Value, String>>) -> (Pod, Vec<String>) {
        match decide(before, "shop", &sidecar(), native, more) {
            Verdict::Inject(agent, problems) => {
                let mut after = serde_json::to_value(before).unwrap();
                let patch: json_patch::Patch = serde_json::from_value(agent.patch(before)).unwrap();
                json_patch::patch(&mut after, &patch).unwrap();
                (serde_json::from_value(after).unwrap(), problems)
            }
            other => panic!("{other:?}"),
        }
    }

    fn config_of(pod: &Pod) -> Value {
        serde_json::from_str(&pod.metadata.annotations.as_ref().unwrap()[CONFIG]).unwrap()
    }

    fn annotate(pod: &mut Value, name: &str, value: &str) {
        pod["metadata"]["annotations"][name] = json!(value);
    }

    #[test]
    fn the_agent_scrapes_its_neighbour_over_loopback_and_is_no_one_elses_image_user_or_root() {
        let (changed, problems) = changed(&pod(|_| {}), true, None);
        assert_eq!(problems, [""; 0]);
        let spec = changed.spec.as_ref().unwrap();
        assert_eq!(spec.containers.len(), 1, "the pod's own stay as they are");
        let init: Vec<&str> =
            spec.init_containers.iter().flatten().map(|container| container.name.as_str()).collect();
        assert_eq!(init, [CONTAINER, "schema"]);
        let agent = &spec.init_containers.as_ref().unwrap()[0];
        assert_eq!(agent.restart_policy.as_deref(), Some("Always"));
        assert!(agent.readiness_probe.is_none() && agent.startup_probe.is_none());
        assert_eq!(agent.security_context.as_ref().unwrap().run_as_non_root, Some(true));
        let config = config_of(&changed);
        let job = &config["scrape_configs"][0]["static_configs"][0];
        assert_eq!(job["targets"], json!(["127.0.0.1:8080"]));
        assert_eq!(job["labels"]["component"], "pod/shop/${POD_NAME}");
        assert_eq!(job["labels"]["workload"], "deployment/pay");
        assert_eq!(config["hub"]["name"], "shop/${POD_NAME}");
        assert!(has_agent(&changed));
    }

    #[test]
    fn who_has_an_agent_gets_no_second_one() {
        let (changed, _) = changed(&pod(|_| {}), true, None);
        assert_eq!(decide(&changed, "shop", &sidecar(), true, None), Verdict::Leave("it has one"));
    }

    #[test]
    fn a_cluster_without_native_sidecars_gets_a_plain_container_and_its_jobs_get_none() {
        let (changed, _) = changed(&pod(|_| {}), false, None);
        let spec = changed.spec.unwrap();
        assert_eq!(
            spec.containers.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["pay", CONTAINER]
        );
        assert_eq!((spec.init_containers.unwrap().len(), &spec.containers[1].restart_policy), (1, &None));
        let job = pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("Job"));
        assert!(
            matches!(decide(&job, "shop", &sidecar(), false, None), Verdict::Refuse(why) if why.contains("never end"))
        );
        assert!(matches!(decide(&job, "shop", &sidecar(), true, None), Verdict::Inject(..)));
    }

    #[test]
    fn neither_the_clusters_own_pods_nor_ours_nor_those_that_say_no_are_touched() {
        for namespace in ["kube-system", "kube-public", "larnax"] {
            assert!(matches!(decide(&pod(|_| {}), namespace, &sidecar(), true, None), Verdict::Leave(_)));
        }
        let label = decided(|pod| pod["metadata"]["labels"][ASKED] = json!("disabled"));
        let annotation = decided(|pod| annotate(pod, ASKED, "disabled"));
        let not_scraped = decided(|pod| annotate(pod, "prometheus.io/scrape", "false"));
        for verdict in [label, annotation, not_scraped] {
            assert!(matches!(verdict, Verdict::Leave(_)), "{verdict:?}");
        }
        assert!(matches!(decided(|pod| pod["spec"]["hostNetwork"] = json!(true)), Verdict::Refuse(_)));
    }

    #[test]
    fn which_of_several_ports_is_asked_and_a_job_of_ones_own_needs_none() {
        let two = |pod: &mut Value| {
            pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}, {"containerPort": 7676}]);
        };
        assert!(matches!(decided(two), Verdict::Refuse(why) if why.contains("prometheus.io/port")));
        let own = json!({"scrape_configs": [{"job_name": "mine", "static_configs": [{"targets": ["127.0.0.1:80"]}]}]});
        let (changed, _) = changed(&pod(two), true, Some(Ok(own)));
        let config = config_of(&changed);
        assert_eq!(config["scrape_configs"].as_array().unwrap().len(), 1);
        assert_eq!(config["listen"], "0.0.0.0:7677", "7676 is taken");
    }

    #[test]
    fn a_config_map_says_more_but_not_where_the_hub_is() {
        let more = json!({"interval": "1s", "detect": {"warmup": "1m"}, "hub": {"url": "http://elsewhere:1"}, "listen": "0.0.0.0:1"});
        let (changed, _) = changed(&pod(|_| {}), true, Some(Ok(more)));
        let config = config_of(&changed);
        assert_eq!((&config["interval"], &config["detect"]["warmup"]), (&json!("1s"), &json!("1m")));
        assert_eq!(config["hub"]["url"], "https://larnax-hub.larnax.svc:7677");
        assert_eq!(config["listen"], "0.0.0.0:7676");
    }

    #[test]
    fn what_is_wrong_with_what_was_asked_is_told_and_the_pod_gets_an_agent_all_the_same() {
        let missing = "there is no config map `x`".to_owned();
        let image = pod(|pod| annotate(pod, "deucalion-sidecar-image", "Not An Image"));
        let (changed, problems) = changed(&image, true, Some(Err(missing)));
        assert!(problems[0].contains("`x`") && problems[1].contains("Not An Image"), "{problems:?}");
        assert!(changed.metadata.annotations.unwrap()[PROBLEM].contains("Not An Image"));
        let agent = &changed.spec.unwrap().init_containers.unwrap()[0];
        assert_eq!(agent.image.as_deref(), Some("docker.io/larnax/larnax-edge:0.1.0"));
    }

    #[test]
    fn an_image_that_nobody_vouched_for_does_not_keep_a_pod_from_starting() {
        let mut sidecar = sidecar();
        sidecar.images = vec!["here/edge:2".to_owned(), "here/own-*".to_owned()];
        for (named, expected) in [
            ("here/edge:2", "here/edge:2"),
            ("here/own-edge:7", "here/own-edge:7"),
            ("here/egde:2", "docker.io/larnax/larnax-edge:0.1.0"),
        ] {
            let pod = pod(|pod| annotate(pod, "larnax.io/sidecar-image", named));
            let Verdict::Inject(agent, problems) = decide(&pod, "shop", &sidecar, true, None) else {
                panic!("{named}")
            };
            assert_eq!(agent.container["image"], expected);
            assert_eq!(problems.is_empty(), named == expected, "{problems:?}");
        }
    }

    #[test]
    fn who_says_two_things_at_once_gets_no_agent_or_what_the_first_says_and_is_told() {
        let both = decided(|pod| {
            pod["metadata"]["labels"][ASKED] = json!("enabled");
            annotate(pod, ASKED, "disabled");
        });
        assert!(matches!(&both, Verdict::Refuse(why) if why.contains("take one of them away")), "{both:?}");
        let other = decided(|pod| pod["metadata"]["labels"][ASKED] = json!("yes"));
        assert!(
            matches!(&other, Verdict::Refuse(why) if why.contains("`yes`, expected enabled or disabled")),
            "{other:?}"
        );
        let maps = decided(|pod| {
            annotate(pod, "larnax.io/config-map", "one");
            annotate(pod, "deucalion-config-map", "two");
        });
        assert!(
            matches!(&maps, Verdict::Inject(_, problems) if problems[0].contains("the first counts")),
            "{maps:?}"
        );
    }

    #[test]
    fn a_pod_with_fifty_containers_gets_one_agent_more_on_a_port_that_none_of_them_has() {
        let many = pod(|pod| {
            let one = |i: u32| json!({"name": format!("c{i}"), "image": "x", "ports": [{"containerPort": 7_676 + i}]});
            pod["spec"]["containers"] = (0..50).map(one).collect();
            annotate(pod, "prometheus.io/port", "7680");
        });
        let (changed, problems) = changed(&many, false, None);
        assert_eq!((changed.spec.as_ref().unwrap().containers.len(), problems.len()), (51, 0));
        assert_eq!(config_of(&changed)["listen"], "0.0.0.0:7726");
    }

    #[test]
    fn names_of_images_are_told_from_what_is_none() {
        let digest = format!("ghcr.io/a/b@sha256:{}", "0f".repeat(32));
        for good in ["nginx", "nginx:1.27-alpine", "localhost:5000/a/b:V1", "a/b/c", digest.as_str()] {
            assert!(is_image(good), "{good}");
        }
        for bad in ["", "A/b", "a//b", "a:", "a b", "a/b:x y", "/a", "a-/b", "http://a"] {
            assert!(!is_image(bad), "{bad}");
        }
    }
}
