//! What Larnax is measured beside: a Prometheus for all, or one on each node and one above them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use larnax_image::{Entry, Image};
use larnax_shop::Role;
use larnax_test_kubernetes::Cluster;
use larnax_test_peers::{Peer, Peers};
use serde_json::{Value, json};

use super::pods::{self, Pod, SHOP};
use super::{OPERATIONS, shop};
use crate::cargo;

const IMAGE: &str = "docker.io/larnax-test/prometheus:1";
const NAMESPACE: &str = "monitoring";
const PORT: u16 = 9090;

/// Makes an image of the fetched Prometheus and the libraries that it is linked to.
pub(super) fn image(peers: &Peers, archive: &Path) -> Result<()> {
    let program = peers.program(Peer::Prometheus).context("there is no Prometheus")?;
    let mut entries = vec![file("prometheus", &program)?];
    let mut ldd = std::process::Command::new("ldd");
    for (name, value) in
        peers.command(Peer::Prometheus).get_envs().filter_map(|(name, value)| Some((name, value?)))
    {
        ldd.env(name, value);
    }
    for line in cargo::output(ldd.arg(&program))?.lines() {
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or where the loader has to be: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, "=>", path, _] if !path.starts_with('(') => {
                entries.push(file(&format!("lib/{name}"), Path::new(path))?)
            }
            [loader, _] if loader.starts_with('/') => {
                entries.push(file(loader.trim_start_matches('/'), Path::new(loader))?)
            }
            [_, "=>", "not", "found"] => bail!("a library of Prometheus isn't there: {line}"),
            _ => {}
        }
    }
    let image = Image {
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.to_owned(),
        entries,
        entry_point: vec!["/prometheus".to_owned()],
        user: 65_532,
        ..Image::default()
    };
    let into = fs::File::create(archive).with_context(|| archive.display().to_string())?;
    larnax_image::write(IMAGE, &[image], into)?;
    Ok(())
}

fn file(path: &str, from: &Path) -> Result<Entry> {
    let content = fs::read(from).with_context(|| from.display().to_string())?;
    Ok(Entry::File { path: path.to_owned(), content, executable: true })
}

/// One that asks all pods, from the node where nothing of the application is; where it is `federated`, one on each node for the pods
/// there, and one that asks these.
pub(super) fn install(cluster: &Cluster, federated: bool, interval: &str) -> Result<()> {
    cluster.create_namespace(NAMESPACE);
    let pods = pods::all(cluster)?;
    if !federated {
        return start(cluster, "prometheus", OPERATIONS, interval, &scraping(&pods, None));
    }
    let mut below = Vec::new();
    for (node, _) in shop::places() {
        let name = format!("prometheus-{node}");
        start(cluster, &name, node, interval, &scraping(&pods, Some(node)))?;
        below.push(format!("{name}.{NAMESPACE}.svc.cluster.local:{PORT}"));
    }
    let federate = json!({
        "job_name": "federate", "honor_labels": true, "metrics_path": "/federate",
        "params": {"match[]": ["{job=\"pods\"}"]}, "static_configs": [{"targets": below}],
    });
    start(cluster, "prometheus", OPERATIONS, interval, &federate)
}

/// The pods of the shop by their addresses, which a person would have it find: Debian builds it without the discovery of Kubernetes, so
/// that what it would hear from the API server is left out.
fn scraping(pods: &[Pod], node: Option<&str>) -> Value {
    let services = pods.iter().filter(|pod| pod.namespace == SHOP && pod.part != Role::Load.name());
    let here = services.filter(|pod| node.is_none_or(|node| pod.node == node));
    let targets = here.map(|pod| {
        json!({"targets": [format!("{}:{}", pod.address, shop::PORT)], "labels": {"namespace": SHOP, "pod": pod.part}})
    });
    json!({"job_name": "pods", "static_configs": targets.collect::<Vec<_>>()})
}

fn start(cluster: &Cluster, name: &str, node: &str, interval: &str, job: &Value) -> Result<()> {
    let config =
        json!({"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": [job]});
    let metadata = json!({"name": name, "namespace": NAMESPACE});
    let labels = json!({"app": name});
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"prometheus.yml": config.to_string()},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": PORT}]},
    });
    let pod = json!({
        "metadata": {"labels": labels},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": name, "image": IMAGE, "imagePullPolicy": "Never",
                "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
                "readinessProbe": {"httpGet": {"path": "/-/ready", "port": PORT}, "periodSeconds": 2},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/prometheus"}, {"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": name}}, {"name": "data", "emptyDir": {}}],
        },
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
    });
    cluster.apply(&format!("{files}\n---\n{service}\n---\n{deployment}\n"));
    pods::ready(cluster, NAMESPACE, name)
}

/// Where the image is kept.
pub(super) fn archive(folder: &Path) -> PathBuf {
    folder.join("prometheus.tar")
}
