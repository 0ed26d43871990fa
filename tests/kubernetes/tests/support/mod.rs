//! What the tests of the chart share.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "an error fails the test; each test uses a part"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larnax_test_kubernetes::{Cluster, import_peer};
use larnax_test_peers::{Peer, Peers, get, get_as};
use serde_json::Value;

pub(crate) const SOON: Duration = Duration::from_secs(90);

/// The archive of an image, where `cargo xtask images` has put it.
fn archive(name: &str) -> PathBuf {
    let folder = std::env::var_os("LARNAX_IMAGES").map(PathBuf::from);
    let target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images");
    let path = folder.unwrap_or_else(target).join(format!("{name}.tar"));
    assert!(path.is_file(), "no {}: run `cargo xtask images`", path.display());
    path
}

/// The folder of the chart.
pub(crate) fn chart() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/larnax").display().to_string()
}

/// Installs the chart as a user does, from images that the nodes are given.
pub(crate) fn install(cluster: &Cluster, values: &[&str]) {
    for image in ["larnax", "larnax-edge"] {
        cluster.import(&archive(image));
    }
    let chart = chart();
    let install = [
        "install",
        "larnax",
        &chart,
        "--namespace=larnax",
        "--create-namespace",
        // No registry, and nothing that makes volumes.
        "--set=image.pullPolicy=Never",
        "--set=hub.persistence.enabled=false",
        "--set=agents.interval=1s",
        "--wait",
        "--timeout=2m",
    ];
    cluster.helm(&[&install, values].concat());
}

/// The same with an Alertmanager for the hub to tell; says where that is.
pub(crate) fn install_with_alertmanager(cluster: &Cluster, peers: &Peers, values: &[&str]) -> SocketAddr {
    let image = import_peer(cluster, peers, Peer::Alertmanager, &["prometheus/alertmanager"]);
    let image = format!("--set=alertmanager.image={image}");
    install(cluster, &[&["--set=alertmanager.enabled=true", &image], values].concat());
    let address = cluster.kubectl(&[
        "get",
        "pods",
        "--namespace=larnax",
        "--selector=app.kubernetes.io/component=alertmanager",
        "--output=jsonpath={.items[0].status.podIP}",
    ]);
    SocketAddr::new(address.parse().unwrap(), 9093)
}

/// What an Alertmanager was told of incidents.
pub(crate) fn incident_alerts(alertmanager: SocketAddr) -> Vec<Value> {
    let answer = get(alertmanager, "/api/v2/alerts").unwrap();
    let mut alerts: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    alerts.retain(|alert| alert["labels"]["alertname"] == "LarnaxIncident");
    alerts
}

/// What agents, hub and operator ask of each other.
pub(crate) fn token(cluster: &Cluster) -> String {
    let token = "--output=go-template={{.data.token | base64decode}}";
    cluster.kubectl(&["get", "secret", "larnax", "--namespace=larnax", token])
}

/// What the agent of a node says of what it watches.
pub(crate) fn components(cluster: &Cluster, node: &str, token: &str) -> Option<Value> {
    let pods = cluster.kubectl(&[
        "get",
        "pods",
        "--namespace=larnax",
        "--selector=app.kubernetes.io/component=agent",
        &format!("--field-selector=spec.nodeName={node},status.phase=Running"),
        "--output=jsonpath={.items[0].status.podIP}",
    ]);
    let address = SocketAddr::new(pods.parse().ok()?, 7676);
    let answer = get_as(address, "/api/v1/components", token).ok()?;
    serde_json::from_str(&answer.body).ok()
}

/// What the hub answers to a command of `larnax`.
pub(crate) fn asked(cluster: &Cluster, arguments: &[&str]) -> Value {
    let hub = ["exec", "deployment/larnax-hub", "--namespace=larnax", "--", "/larnax"];
    let at = [
        "--url=https://localhost:7677",
        "--token-file=/etc/larnax-access/token",
        "--ca-file=/etc/larnax-access/ca.crt",
        "--output=json",
    ];
    // It ends with 3 where something is wrong.
    let said = cluster.kubectl_prints(&[&hub[..], arguments, &at].concat());
    serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{arguments:?} answers no JSON ({error}): {said}"))
}

/// How long agents learn before they judge, and a little more.
pub(crate) fn warm_up() -> Duration {
    Duration::from_secs(170)
}
