//! The cluster itself: what Larnax' tests on Kubernetes rest on.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larnax_test_kubernetes::Cluster;
use larnax_test_peers::eventually;

/// Two pods that hold still, on two nodes.
const STILL: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: still}
spec:
  replicas: 2
  selector: {matchLabels: {app: still}}
  template:
    metadata: {labels: {app: still}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: still}}}
      containers:
      - {name: still, image: "docker.io/larnax-test/pause:1", imagePullPolicy: Never}
"#;

#[test]
fn a_control_plane_refuses_what_breaks_a_rule_of_a_resource() {
    let Some(cluster) = Cluster::control_plane() else { return };
    cluster.apply(
        r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.test}
spec:
  group: example.test
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer}}
            x-kubernetes-validations: [{rule: "self.size < 4", message: "too large"}]
"#,
    );
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/things.example.test", "--timeout=30s"]);
    let thing = |size: u8| {
        format!(
            "apiVersion: example.test/v1\nkind: Thing\nmetadata: {{name: t{size}}}\nspec: {{size: {size}}}\n"
        )
    };
    cluster.apply(&thing(3));
    let refused =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cluster.apply(&thing(5)))).unwrap_err();
    assert!(refused.downcast_ref::<String>().unwrap().contains("too large"));
}

#[test]
fn pods_run_on_two_nodes_and_are_elsewhere_soon_after_one_dies_and_nothing_is_left() {
    let Some(mut cluster) = Cluster::with_nodes(2) else { return };
    cluster.create_namespace("quiet");
    cluster.kubectl(&["config", "set-context", "--current", "--namespace=quiet"]);
    cluster.apply(STILL);
    cluster.kubectl(&["rollout", "status", "deployment/still", "--timeout=60s"]);
    let nodes = |cluster: &Cluster| {
        let running = "jsonpath={range .items[?(@.status.phase=='Running')]}{.spec.nodeName} {.metadata.deletionTimestamp}{'\\n'}{end}";
        let pods = cluster.kubectl(&["get", "pods", &format!("--output={running}")]);
        let mut nodes: Vec<String> = pods.lines().map(|line| line.trim().to_owned()).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(nodes(&cluster), ["node-0", "node-1"]);

    cluster.kill_node(1);
    eventually("the pod of the dead node elsewhere", Duration::from_secs(60), || {
        (nodes(&cluster).iter().filter(|node| *node == "node-0").count() == 2).then_some(())
    });
    cluster.start_node(1);

    drop(cluster);
    let bridge = Command::new("ip").args(["link", "show", "larnax-test"]).output().unwrap();
    assert!(!bridge.status.success(), "the bridge is left");
    for folder in [
        "/sys/fs/cgroup/larnax-test",
        "/sys/fs/cgroup/memory/larnax-test",
        "/var/lib/kubelet",
        "/run/netns/cni",
    ] {
        assert!(!Path::new(folder).exists(), "{folder} is left");
    }
}
