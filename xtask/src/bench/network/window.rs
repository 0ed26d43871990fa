//! What is measured over a time: bytes between nodes, processors and memory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::Result;
use larnax_test_kubernetes::{Cluster, node_of};
use serde_json::{Value, json};

use super::pods::{self, CONTROL_PLANE, Costs, Pod, SHOP};
use super::shop;
use super::wire::{self, Count, Flow, Flows, Wire};

const MIB: f64 = 1024.0 * 1024.0;

/// A time that has begun.
pub(super) struct Window {
    began: Instant,
    flows: Flows,
    costs: Costs,
}

impl Window {
    pub(super) fn begin(cluster: &Cluster, wire: &Wire) -> Result<Window> {
        let costs = Costs::of(&pods::all(cluster)?)?;
        Ok(Window { began: Instant::now(), flows: wire.flows(), costs })
    }

    pub(super) fn end(&self, cluster: &Cluster, wire: &Wire) -> Result<Value> {
        let (seconds, flows) = (self.began.elapsed().as_secs_f64(), wire::since(&wire.flows(), &self.flows));
        let pods = pods::all(cluster)?;
        let costs = Costs::of(&pods)?;
        let mut row = traffic(&flows, &pods, seconds);
        let mut all = 0.0;
        let parts = costs.0.iter().map(|(name, (containers, cost))| {
            let before = self.costs.0.get(name).map_or(0.0, |(_, before)| before.cpu_seconds);
            let cpu = (cost.cpu_seconds - before) * 1e3 / seconds;
            all += cpu;
            let memory = cost.memory_bytes / MIB / *containers as f64;
            let part = json!({"containers": containers, "cpu_ms_per_second": cpu, "memory_mib_each": memory});
            (name.clone(), part)
        });
        row["parts"] = Value::Object(parts.collect());
        row["cpu_ms_per_second"] = all.into();
        row["seconds"] = seconds.into();
        Ok(row)
    }
}

/// Bytes a second between nodes, those of the application and those of who watches it, and which flows these are.
fn traffic(flows: &Flows, pods: &[Pod], seconds: f64) -> Value {
    let pod = |address: Ipv4Addr| pods.iter().find(|pod| pod.address == address);
    let (mut application, mut watching) = (0, 0);
    let mut named: BTreeMap<(String, String, u16), Count> = BTreeMap::new();
    for (flow, count) in flows.iter().filter(|(flow, _)| between_nodes(flow)) {
        let of_shop = |address| pod(address).is_some_and(|pod| pod.namespace == SHOP);
        if of_shop(flow.client) && of_shop(flow.server) && flow.port == shop::PORT {
            application += count.bytes();
            continue;
        }
        watching += count.bytes();
        let name = |address: Ipv4Addr| match (pod(address), node_of(address)) {
            (Some(pod), _) => pod.name(),
            (None, Some(node)) => format!("a pod that is gone ({node})"),
            (None, None) => CONTROL_PLANE.to_owned(),
        };
        named.entry((name(flow.client), name(flow.server), flow.port)).or_default().add(*count);
    }
    let rate = |count: u64| count as f64 / seconds;
    let mut named: Vec<_> = named.into_iter().collect();
    named.sort_by_key(|(_, count)| std::cmp::Reverse(count.bytes()));
    let rows = named.iter().map(|((client, server, port), count)| {
        json!({
            "client": client, "server": server, "port": port,
            "to_server_bytes_per_second": rate(count.to_server),
            "to_client_bytes_per_second": rate(count.to_client),
            "frames_per_second": rate(count.frames),
            "connections": count.connections,
        })
    });
    json!({
        "bytes_per_second": {
            "all": rate(application + watching), "application": rate(application), "watching": rate(watching),
        },
        "flows": rows.collect::<Vec<_>>(),
    })
}

/// Whether a message leaves its node. Whoever asks a pod from outside of all pods is its node's kubelet, which looks whether it is well.
fn between_nodes(flow: &Flow) -> bool {
    match (node_of(flow.client), node_of(flow.server)) {
        (Some(client), server) => server.as_ref() != Some(&client),
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_a_node_or_is_a_kubelets_is_not_between_nodes() {
        let between = |client: &str, server: &str| {
            between_nodes(&Flow {
                client: client.parse().unwrap(),
                server: server.parse().unwrap(),
                port: 80,
            })
        };
        assert!(between("10.213.1.10", "10.213.2.10"));
        assert!(between("10.213.1.10", "10.96.0.1"), "the API server");
        assert!(between("10.213.1.10", "10.213.0.1"), "the DNS");
        assert!(!between("10.213.1.10", "10.213.1.11"));
        assert!(!between("10.213.0.1", "10.213.1.10"));
    }
}
