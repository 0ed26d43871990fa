//! The application that is watched: the shop, a pod for each service, on two nodes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use larnax_shop::{Fault, Order, Role, Service};
use larnax_test_kubernetes::Cluster;
use larnax_test_peers::post_as_owner;
use serde_json::{Value, json};

use super::pods::{self, SHOP};

/// Where services answer.
pub(super) const PORT: u16 = 8080;
/// Where orders go: to pods, from outside.
const ADMIN: u16 = 9000;
const TOKEN: &str = "of the bench";
/// What customers send on average. About what went between the services of Deucalion's evaluation, 9 KB/s, comes of it.
const REQUESTS_PER_SECOND: f64 = 12.0;
const NODES: [&str; 2] = ["node-1", "node-2"];

/// On which node. Most calls go from one to the other.
fn node(role: Role) -> &'static str {
    match role {
        Role::Service(Service::Orders | Service::Stock) => NODES[1],
        Role::Service(Service::Web | Service::Pay) | Role::Load => NODES[0],
    }
}

/// The nodes that it runs on, and the services there.
pub(super) fn places() -> [(&'static str, Vec<Service>); 2] {
    NODES.map(|place| {
        let there = Service::ALL.into_iter().filter(|service| node(Role::Service(*service)) == place);
        (place, there.collect())
    })
}

/// Opens it: those who are called first, because callers are told addresses. `inject`: pods get an agent of their own.
pub(super) fn open(cluster: &Cluster, inject: bool) -> Result<()> {
    cluster.create_namespace(SHOP);
    if inject {
        cluster.kubectl(&["label", "namespace", SHOP, "larnax.io/inject=enabled"]);
    }
    let mut addresses = serde_json::Map::new();
    for role in [Service::Pay, Service::Stock, Service::Orders, Service::Web]
        .map(Role::Service)
        .into_iter()
        .chain([Role::Load])
    {
        let calls = match role {
            Role::Service(service) => service.calls(),
            Role::Load => vec![Service::Web],
        };
        let mut of_role = addresses.clone();
        of_role.retain(|name, _| calls.iter().any(|service| service.name() == name));
        cluster.apply(&manifest(role, &of_role.into()));
        pods::ready(cluster, SHOP, role.name())?;
        let address = address(cluster, role)?;
        addresses.insert(role.to_string(), SocketAddr::new(address, PORT).to_string().into());
    }
    Ok(())
}

/// Where customers of `web` go.
pub(super) fn web(cluster: &Cluster) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address(cluster, Role::Service(Service::Web))?, PORT))
}

/// Breaks a service for a time.
pub(super) fn inject(cluster: &Cluster, service: Service, fault: Fault, time: Duration) -> Result<()> {
    let order = serde_json::to_string(&Order::new(fault, time.as_secs_f64()))?;
    let admin = SocketAddr::new(address(cluster, Role::Service(service))?, ADMIN);
    let answer = post_as_owner(admin, "/faults", &order, TOKEN)?;
    if answer.status != 200 {
        bail!("{service} takes no {fault}: {} {}", answer.status, answer.body);
    }
    Ok(())
}

fn address(cluster: &Cluster, role: Role) -> Result<std::net::IpAddr> {
    let pods = pods::all(cluster)?;
    let pod = pods.iter().find(|pod| pod.namespace == SHOP && pod.part == role.name());
    Ok(pod.with_context(|| format!("there is no pod of {role}"))?.address.into())
}

/// A service, or the customers, whom nobody watches.
fn manifest(role: Role, calls: &Value) -> String {
    let name = role.name();
    let options = json!({
        "role": name, "program": "/larnax", "arguments": ["shop", "serve"],
        "listen": format!("0.0.0.0:{PORT}"), "admin": format!("0.0.0.0:{ADMIN}"),
        "token_file": "/etc/shop/token", "folder": "/tmp/shop", "seed": 1, "restarts": 0, "calls": calls,
        "requests_per_second": REQUESTS_PER_SECOND, "leased": false,
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SHOP},
        "data": {"options.json": options.to_string(), "token": TOKEN},
    });
    let watched = role != Role::Load;
    let mut labels = json!({"app": name});
    let mut annotations = json!({});
    if watched {
        annotations = json!({"prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string()});
    } else {
        labels["larnax.io/inject"] = "disabled".into();
    }
    let pod = json!({
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node(role)},
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
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod},
    });
    format!("{config}\n---\n{deployment}\n")
}
