//! The shop of `examples/shop` in a cluster: a Deployment for each service and one for its customers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use larnax_test_peers::{eventually, post_as_owner};
use serde_json::{Value, json};

use crate::Cluster;
use crate::cluster::READY;

/// Its services, those first that others call, and whom each calls.
const SERVICES: [(&str, &[&str]); 4] =
    [("stock", &[]), ("pay", &[]), ("orders", &["stock", "pay"]), ("web", &["stock", "orders"])];
/// What takes the orders of whoever has the token, to break something or to send more customers.
const TOKEN: &str = "of a test";
const SERVED: u16 = 8080;
const ADMIN: u16 = 8081;

/// A shop that is open.
#[derive(Debug)]
pub struct Shop {
    /// Where its services are, by name.
    addresses: BTreeMap<String, Ipv4Addr>,
    /// The names of their pods.
    pods: BTreeMap<String, String>,
}

impl Shop {
    /// Opens a shop in a namespace that is there, from the image `larnax` that the nodes have, and waits until customers come, so many
    /// a second. `change` may add something to the template of each service's pods.
    ///
    /// # Panics
    /// When it does not open.
    pub fn open(
        cluster: &Cluster,
        namespace: &str,
        customers: f64,
        change: impl Fn(&str, &mut Value),
    ) -> Shop {
        let mut shop = Shop { addresses: BTreeMap::new(), pods: BTreeMap::new() };
        for (name, calls) in SERVICES {
            shop.start(cluster, namespace, name, calls, 0.0, &change);
        }
        shop.start(cluster, namespace, "load", &["web"], customers, &|_, _| {});
        shop
    }

    /// The name of a service's pod.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn pod(&self, service: &str) -> &str {
        self.pods.get(service).unwrap_or_else(|| panic!("the shop has no {service}"))
    }

    /// Breaks something in a service for a while, as `latency` for 60 seconds.
    ///
    /// # Panics
    /// When it is refused.
    pub fn break_it(&self, service: &str, fault: &str, seconds: u32) {
        let address = self.addresses.get(service).unwrap_or_else(|| panic!("the shop has no {service}"));
        let order = json!({"fault": fault, "seconds": f64::from(seconds)}).to_string();
        let answer = post_as_owner(SocketAddr::from((*address, ADMIN)), "/faults", &order, TOKEN);
        let answer = answer.unwrap_or_else(|error| panic!("{service} takes no orders: {error}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    fn start(
        &mut self,
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        calls: &[&str],
        customers: f64,
        change: &impl Fn(&str, &mut Value),
    ) {
        let calls: BTreeMap<&str, String> =
            calls.iter().map(|callee| (*callee, format!("{}:{SERVED}", self.addresses[*callee]))).collect();
        cluster.apply(&manifest(namespace, name, &json!(calls), customers, change));
        let deployment = format!("deployment/{name}");
        cluster.kubectl(&["rollout", "status", &deployment, "--namespace", namespace, "--timeout=120s"]);
        let select = format!("--selector=app={name}");
        let find = "--output=jsonpath={.items[0].metadata.name} {.items[0].status.podIP}";
        let found = eventually(&format!("the address of {name}"), READY, || {
            let found = cluster.kubectl(&["get", "pods", "--namespace", namespace, &select, find]);
            let (pod, address) = found.split_once(' ')?;
            Some((pod.to_owned(), address.parse().ok()?))
        });
        self.pods.insert(name.to_owned(), found.0);
        self.addresses.insert(name.to_owned(), found.1);
    }
}

fn manifest(
    namespace: &str,
    name: &str,
    calls: &Value,
    customers: f64,
    change: &impl Fn(&str, &mut Value),
) -> String {
    let options = json!({
        "role": name, "program": "/larnax", "arguments": ["shop", "serve"], "listen": format!("0.0.0.0:{SERVED}"),
        "admin": format!("0.0.0.0:{ADMIN}"), "token_file": "/etc/shop/token", "folder": "/tmp/shop", "seed": 1, "restarts": 0,
        "calls": calls, "requests_per_second": customers, "leased": false,
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": {"options.json": options.to_string(), "token": TOKEN},
    });
    let mut template = json!({
        "metadata": {"labels": {"app": name}, "annotations": {}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": name,
                "image": format!("docker.io/larnax/larnax:{}", env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "Never",
                "args": ["shop", "serve", "/etc/shop/options.json"],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/shop"}, {"name": "tmp", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "tmp", "emptyDir": {}}],
        },
    });
    if name != "load" {
        template["metadata"]["annotations"] =
            json!({"prometheus.io/scrape": "true", "prometheus.io/port": SERVED.to_string()});
        template["spec"]["containers"][0]["ports"] = json!([{"containerPort": SERVED}]);
    }
    change(name, &mut template);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    });
    format!("{config}\n---\n{deployment}\n")
}
