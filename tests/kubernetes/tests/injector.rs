//! Which pods get an agent of their own, by the answer of a real API server. Nobody runs the pods.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Agent, Process, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// An operator that is asked about the pods of all namespaces with the label, and where it tells agents.
struct Injecting {
    process: Process,
    address: SocketAddr,
}

fn injecting(cluster: &Cluster, folder: &Path) -> Injecting {
    // Held together, so that they are not the same.
    let held = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [address, asked] = held.map(|listener| listener.local_addr().unwrap());
    let port = asked.port();
    let client = json!({"url": format!("https://localhost:{port}/mutate")});
    let label = |key: &str, operator: &str| match operator {
        "In" => json!({"key": key, "operator": operator, "values": ["enabled"]}),
        _ => json!({"key": key, "operator": operator}),
    };
    let webhook = |name: &str, namespaces: Value| {
        json!({
            "name": format!("{name}.inject.larnax.io"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore", "clientConfig": client, "namespaceSelector": {"matchExpressions": namespaces},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        })
    };
    let webhooks = [
        webhook("namespace", json!([label("larnax.io/inject", "In")])),
        webhook(
            "deucalion",
            json!([label("deucalion-injection", "In"), label("larnax.io/inject", "DoesNotExist")]),
        ),
    ];
    for object in [
        json!({"kind": "MutatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "webhooks": webhooks}),
        json!({"kind": "Secret", "apiVersion": "v1"}),
    ] {
        let mut object = object;
        object["metadata"] = json!({"name": "webhook", "namespace": "default"});
        if object["kind"] != "Secret" {
            object["metadata"].as_object_mut().unwrap().remove("namespace");
        }
        cluster.apply(&object.to_string());
    }
    let settings = json!({
        "sidecar": {
            "image": "larnax-edge:test", "pull_policy": "Never", "hub": "https://hub:7677", "audience": "larnax",
            "interval": "5s", "resources": {"limits": {"memory": "64Mi"}}, "own_namespace": "larnax",
        },
        "certificate": {"namespace": "default", "secret": "webhook", "webhooks": "webhook", "host": "localhost"},
    });
    let (inject, ca) = (folder.join("inject.yaml"), folder.join("ca.crt"));
    std::fs::write(&inject, settings.to_string()).unwrap();
    std::fs::write(&ca, "the hub's authority").unwrap();
    let mut command = Command::new(Agent::program("larnax"));
    command.args(["operator", &format!("--listen={address}"), &format!("--inject-listen={asked}")]);
    command.arg("--inject").arg(&inject).arg("--ca-file").arg(&ca).env("KUBECONFIG", cluster.kubeconfig());
    let mut process = Process::start("operator", command, folder);
    process.ready(address, "/-/ready");
    eventually("the API server trusts the webhook", SOON, || {
        let bundles = "--output=jsonpath={.webhooks[*].clientConfig.caBundle}";
        let trusted = cluster.kubectl(&["get", "mutatingwebhookconfiguration", "webhook", bundles]);
        (trusted.split_whitespace().count() == 2).then_some(())
    });
    Injecting { process, address }
}

/// Makes a pod and says what became of it; with its warnings where it was changed.
fn make(cluster: &Cluster, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": {}, "labels": {}},
        "spec": {"containers": [{"name": "app", "image": "none", "ports": [{"containerPort": 8080}]}]},
    });
    change(&mut pod);
    cluster.apply(&pod.to_string());
    let made = cluster.kubectl(&["get", "pod", name, &format!("--namespace={namespace}"), "--output=json"]);
    serde_json::from_str(&made).unwrap()
}

fn has_agent(pod: &Value) -> bool {
    pod["spec"]["initContainers"][0]["name"] == "larnax"
}

fn events(cluster: &Cluster, pod: &str) -> String {
    let field = format!("--field-selector=involvedObject.name={pod}");
    cluster.kubectl(&[
        "get",
        "events",
        "--namespace=shop",
        &field,
        "--output=jsonpath={.items[*].reason} {.items[*].message}",
    ])
}

fn namespace(cluster: &Cluster, name: &str, labels: &Value) {
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    cluster.apply(&namespace.to_string());
    eventually("its service account", SOON, || {
        let account = ["get", "serviceaccount", "default", &format!("--namespace={name}")];
        cluster.try_kubectl(&account).ok()
    });
}

#[test]
fn pods_of_a_namespace_with_the_label_get_an_agent_and_who_says_no_or_can_have_none_does_not() {
    let Some(cluster) = Cluster::control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    let _operator = injecting(&cluster, folder.path());
    namespace(&cluster, "shop", &json!({"larnax.io/inject": "enabled"}));
    namespace(&cluster, "old", &json!({"deucalion-injection": "enabled"}));
    namespace(&cluster, "calm", &json!({}));

    let pay = make(&cluster, "shop", "pay", |_| {});
    assert!(has_agent(&pay), "{pay:#}");
    assert_eq!(pay["spec"]["initContainers"][0]["restartPolicy"], "Always");
    let config: Value =
        serde_json::from_str(pay["metadata"]["annotations"]["larnax.io/sidecar-config"].as_str().unwrap())
            .unwrap();
    assert_eq!(config["scrape_configs"][0]["static_configs"][0]["targets"], json!(["127.0.0.1:8080"]));
    assert!(has_agent(&make(&cluster, "old", "pay", |_| {})));
    assert!(!has_agent(&make(&cluster, "calm", "pay", |_| {})));
    let said_no =
        make(&cluster, "shop", "no", |pod| pod["metadata"]["labels"]["larnax.io/inject"] = json!("disabled"));
    assert!(!has_agent(&said_no));
    let own = make(&cluster, "shop", "own", |pod| {
        pod["spec"]["initContainers"] = json!([{"name": "larnax", "image": "none"}])
    });
    assert_eq!(own["spec"]["initContainers"].as_array().unwrap().len(), 1, "who has one gets no second one");

    // What a config map says is the agent's config; one that isn't there is told, and the pod is made all the same.
    let named = |pod: &mut Value| pod["metadata"]["annotations"]["deucalion-config-map"] = json!("settings");
    assert!(has_agent(&make(&cluster, "shop", "early", named)));
    eventually("an event about the config map", SOON, || {
        events(&cluster, "early").contains("there is no config map `settings`").then_some(())
    });
    cluster.apply(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
                "data": {"larnax.yaml": "interval: 250ms"}})
        .to_string(),
    );
    let late = make(&cluster, "shop", "late", named);
    let config = late["metadata"]["annotations"]["larnax.io/sidecar-config"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(config).unwrap()["interval"], "250ms");

    // No port is known: it is made, and an event says what is missing.
    let silent = make(&cluster, "shop", "silent", |pod| pod["spec"]["containers"][0]["ports"] = json!([]));
    assert!(!has_agent(&silent));
    eventually("an event about the port", SOON, || {
        events(&cluster, "silent").contains("prometheus.io/port").then_some(())
    });
}

#[test]
fn a_pod_that_is_made_while_nobody_answers_is_made_and_told_of() {
    let Some(cluster) = Cluster::control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    namespace(&cluster, "shop", &json!({"larnax.io/inject": "enabled"}));
    let mut operator = injecting(&cluster, folder.path());
    operator.process.kill();
    assert!(!has_agent(&make(&cluster, "shop", "pay", |_| {})));
    let again = injecting(&cluster, folder.path());
    eventually("an event", SOON, || events(&cluster, "pay").contains("MissedByWebhook").then_some(()));
    let metrics = larnax_test_peers::get(again.address, "/metrics").unwrap().body;
    assert!(metrics.contains("larnax_operator_missed 1"), "{metrics}");
    assert!(
        has_agent(&make(&cluster, "shop", "next", |_| {})),
        "the certificate that was made before is shown again"
    );
}

/// What the operator keeps its certificate's end in, and what the API server trusts.
fn trusted(cluster: &Cluster) -> String {
    let bundle = "--output=jsonpath={.webhooks[0].clientConfig.caBundle}";
    cluster.kubectl(&["get", "mutatingwebhookconfiguration", "webhook", bundle])
}

fn agents(pod: &Value) -> usize {
    let containers = [&pod["spec"]["initContainers"], &pod["spec"]["containers"]];
    let all = containers.into_iter().filter_map(Value::as_array).flatten();
    all.filter(|container| container["name"] == "larnax").count()
}

#[test]
fn pods_get_their_agent_and_not_two_after_the_certificate_has_ended_and_the_api_server_was_away() {
    let Some(mut cluster) = Cluster::control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    let _operator = injecting(&cluster, folder.path());
    namespace(&cluster, "shop", &json!({"larnax.io/inject": "enabled"}));
    assert_eq!(agents(&make(&cluster, "shop", "first", |_| {})), 1);

    // One that is for another host, and one that has ended.
    for (pod, host, until) in [("elsewhere", "elsewhere", "4102444800"), ("ended", "localhost", "1000000000")]
    {
        let before = trusted(&cluster);
        let patch = json!({"stringData": {"until": until, "host": host}}).to_string();
        cluster.kubectl(&[
            "patch",
            "secret",
            "webhook",
            "--namespace=default",
            "--type=merge",
            "--patch",
            &patch,
        ]);
        eventually("another certificate", SOON, || (trusted(&cluster) != before).then_some(()));
        assert_eq!(agents(&make(&cluster, "shop", pod, |_| {})), 1);
    }
    // As an upgrade of the chart leaves it.
    let nobody = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]).to_string();
    let patch = ["patch", "mutatingwebhookconfiguration", "webhook", "--type=json", "--patch", &nobody];
    cluster.kubectl(&patch);
    eventually("trust again", SOON, || (!trusted(&cluster).is_empty()).then_some(()));

    cluster.restart_api();
    eventually("an agent after the API server was away", SOON, || {
        let name = format!("later-{}", std::process::id());
        let _ = cluster.try_kubectl(&["delete", "pod", &name, "--namespace=shop", "--now"]);
        (agents(&make(&cluster, "shop", &name, |_| {})) == 1).then_some(())
    });
    let all = cluster.kubectl(&["get", "pods", "--namespace=shop", "--output=json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    let counts: Vec<usize> = all["items"].as_array().unwrap().iter().map(agents).collect();
    assert_eq!(counts, [1; 4], "one each");
}

#[test]
fn what_is_asked_for_wrongly_is_told_and_the_pod_is_made_as_it_would_be_without_us() {
    let Some(cluster) = Cluster::control_plane() else { return };
    let folder = tempfile::tempdir().unwrap();
    let operator = injecting(&cluster, folder.path());
    namespace(&cluster, "shop", &json!({"larnax.io/inject": "enabled"}));
    // Another release of an injector, which asks for the same pods.
    let again = cluster.kubectl(&["get", "mutatingwebhookconfiguration", "webhook", "--output=json"]);
    let mut again: Value = serde_json::from_str(&again).unwrap();
    again["metadata"] = json!({"name": "another"});
    cluster.apply(&again.to_string());
    cluster.apply(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wrong", "namespace": "shop"},
                "data": {"larnax.yaml": "interval: soon"}})
        .to_string(),
    );
    let annotate =
        |pod: &mut Value, name: &str, value: &str| pod["metadata"]["annotations"][name] = json!(value);
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: Vec<(&str, Change, usize, &str)> = vec![
        ("plain", Box::new(|_| {}), 1, ""),
        (
            "both",
            Box::new(move |pod| {
                pod["metadata"]["labels"]["larnax.io/inject"] = json!("enabled");
                annotate(pod, "larnax.io/inject", "disabled");
            }),
            0,
            "take one of them away",
        ),
        (
            "yes",
            Box::new(move |pod| annotate(pod, "larnax.io/inject", "yes")),
            0,
            "expected enabled or disabled",
        ),
        (
            "image",
            Box::new(move |pod| annotate(pod, "larnax.io/sidecar-image", "larnax-egde")),
            1,
            "inject.images",
        ),
        ("config", Box::new(move |pod| annotate(pod, "larnax.io/config-map", "wrong")), 1, "interval"),
        ("host", Box::new(|pod| pod["spec"]["hostNetwork"] = json!(true)), 0, "node's network"),
        (
            "port",
            Box::new(|pod| pod["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(7676)),
            1,
            "",
        ),
        (
            "fifty",
            Box::new(move |pod| {
                pod["spec"]["containers"] =
                    (0..50).map(|i| json!({"name": format!("c{i}"), "image": "none"})).collect();
                annotate(pod, "prometheus.io/port", "80");
            }),
            1,
            "",
        ),
    ];
    for (name, change, count, told) in cases {
        let pod = make(&cluster, "shop", name, &change);
        assert_eq!(agents(&pod), count, "{name}: {pod:#}");
        if !told.is_empty() {
            eventually(&format!("an event at {name}"), SOON, || {
                events(&cluster, name).contains(told).then_some(())
            });
        }
        if name == "port" {
            let config = pod["metadata"]["annotations"]["larnax.io/sidecar-config"].as_str().unwrap();
            assert!(config.contains("0.0.0.0:7677"), "{config}");
        }
    }

    // A namespace that is on its way out takes no more pods; nobody else is kept waiting for that.
    namespace(&cluster, "leaving", &json!({"larnax.io/inject": "enabled"}));
    let stays = make(&cluster, "leaving", "stays", |pod| {
        pod["metadata"]["finalizers"] = json!(["larnax.io/test"]);
        annotate(pod, "larnax.io/sidecar-image", "larnax-egde");
    });
    assert_eq!(agents(&stays), 1);
    cluster.kubectl(&["delete", "namespace", "leaving", "--wait=false"]);
    let refused = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "late", "namespace": "leaving"},
        "spec": {"containers": [{"name": "app", "image": "none"}]}});
    let refused = cluster.try_apply(&refused.to_string()).unwrap_err();
    assert!(refused.contains("terminated"), "{refused}");
    assert_eq!(agents(&make(&cluster, "shop", "after", |_| {})), 1);
    assert_eq!(larnax_test_peers::get(operator.address, "/-/ready").unwrap().status, 200);
    let free = json!({"metadata": {"finalizers": null}}).to_string();
    cluster.kubectl(&["patch", "pod", "stays", "--namespace=leaving", "--type=merge", "--patch", &free]);
}
