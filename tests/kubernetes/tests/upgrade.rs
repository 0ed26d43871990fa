//! An upgrade of Larnax and the way back, on real nodes: what agents have learnt is not lost with their pods, and nobody is told that something is
//! wrong because Larnax itself was started again.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use larnax_test_kubernetes::{Cluster, Shop};
use larnax_test_peers::{Peer, Peers, eventually};
use serde_json::json;
use support::{SOON, chart, token};

/// Much less than it takes to learn.
const WARM: Duration = Duration::from_secs(60);
/// What could be told of a restart is told within this.
const QUIET: Duration = Duration::from_secs(45);

/// How each component is, by the agents of the nodes; none before they all answer.
fn states(cluster: &Cluster, token: &str) -> Option<Vec<(String, String)>> {
    let mut states = Vec::new();
    for node in ["node-0", "node-1"] {
        for component in support::components(cluster, node, token)?.as_array()? {
            let text = |name: &str| component[name].as_str().unwrap_or_default().to_owned();
            states.push((text("id"), text("state")));
        }
    }
    (states.len() == 6).then_some(states)
}

/// How many containers of agents the pods of a namespace have.
fn agents_beside(cluster: &Cluster) -> usize {
    let names =
        "--output=jsonpath={.items[*].spec.initContainers[*].name} {.items[*].spec.containers[*].name}";
    let names = cluster.kubectl(&["get", "pods", "--namespace=beside", names]);
    names.split_whitespace().filter(|name| *name == "larnax").count()
}

#[test]
fn an_upgrade_and_the_way_back_leave_what_was_learnt_and_nobody_is_told_of_them() {
    let Some(peers) = Peers::for_test(&[Peer::Alertmanager]) else { return };
    let Some(cluster) = Cluster::with_nodes(2) else { return };
    // What the hub knows is on a volume, as with a user; here a folder of one node.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "hub"},
        "spec": {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": folder.path()},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-0"]}]}]}}},
    });
    cluster.apply(&volume.to_string());
    let alertmanager =
        support::install_with_alertmanager(&cluster, &peers, &["--set=hub.persistence.enabled=true"]);
    let token = token(&cluster);
    cluster.create_namespace("shop");
    let shop = Shop::open(&cluster, "shop", 10.0, |_, _| {});
    let beside = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "beside", "labels": {"larnax.io/inject": "enabled"}}});
    cluster.apply(&beside.to_string());
    let alone = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "beside", "annotations": {"prometheus.io/port": "80"}},
            "spec": {"containers": [{"name": "app", "image": "none", "imagePullPolicy": "Never"}]}})
    };
    eventually("a service account", SOON, || {
        cluster.try_kubectl(&["get", "serviceaccount", "default", "--namespace=beside"]).ok()
    });
    cluster.apply(&alone("before").to_string());

    std::thread::sleep(support::warm_up());
    let well = |states: &[(String, String)]| states.iter().all(|(_, state)| state == "normal");
    let began = Instant::now();
    eventually("a shop that is known", Duration::from_secs(300), || {
        std::thread::sleep(Duration::from_secs(1));
        states(&cluster, &token).filter(|states| well(states))
    });
    eventually("a hub that knows what each of them has learnt", SOON, || {
        std::thread::sleep(Duration::from_secs(1));
        let log = cluster.kubectl(&["logs", "deployment/larnax-hub", "--namespace=larnax"]);
        (log.matches("is kept for others of its kind").count() >= 6).then_some(())
    });
    println!("known {:?} after warming up", began.elapsed());
    let alerts = || support::incident_alerts(alertmanager);
    let before = alerts().len();

    // All of it starts again: what is said of the config of each stands at its pods.
    let upgrade =
        ["upgrade", "larnax", &chart(), "--namespace=larnax", "--reuse-values", "--wait", "--timeout=3m"];
    let other =
        ["--set=agents.config.external_labels.release=next", "--set=hub.config.external_labels.release=next"];
    let steps: [&[&str]; 2] = [
        &[&upgrade[..], &other, &["--set=agents.interval=1001ms"]].concat(),
        &["rollback", "larnax", "--namespace=larnax", "--wait", "--timeout=3m"],
    ];
    for (step, pod) in steps.into_iter().zip(["after", "later"]) {
        cluster.helm(step);
        let began = Instant::now();
        let seen = eventually(&format!("warm agents after {}", step[0]), WARM, || {
            std::thread::sleep(Duration::from_millis(500));
            states(&cluster, &token).filter(|states| states.iter().all(|(_, state)| state != "warming_up"))
        });
        println!("{}: warm {:?} after it was done: {seen:?}", step[0], began.elapsed());
        cluster.apply(&alone(pod).to_string());
        std::thread::sleep(QUIET);
        let alerts = alerts();
        assert_eq!(alerts.len(), before, "nothing but Larnax was started again:\n{alerts:#?}");
    }
    assert_eq!(agents_beside(&cluster), 3, "one for each pod");

    // And it still sees what breaks.
    shop.break_it("pay", "error-rate", 60);
    let pay = format!("pod/shop/{}", shop.pod("pay"));
    eventually("an alert after all that", SOON, || {
        std::thread::sleep(Duration::from_secs(1));
        alerts().iter().any(|alert| alert["annotations"]["cause"] == pay).then_some(())
    });
}
