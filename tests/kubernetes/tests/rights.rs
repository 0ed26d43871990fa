//! What each part of the chart may do in a cluster: no more than is listed here.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

use std::collections::BTreeSet;
use std::path::Path;

use larnax_test_kubernetes::Cluster;

/// What a service account of the chart may do in a namespace that not every one may, as `RESOURCES NAMES VERBS`.
fn rights(cluster: &Cluster, account: &str, namespace: &str) -> BTreeSet<String> {
    let of = |account: &str| -> BTreeSet<String> {
        let who = format!("--as=system:serviceaccount:larnax:{account}");
        let listed = cluster.kubectl(&["auth", "can-i", "--list", &who, &format!("--namespace={namespace}")]);
        listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    of(account).difference(&of("default")).cloned().collect()
}

fn set(rights: &[&str]) -> BTreeSet<String> {
    rights.iter().map(|&right| right.to_owned()).collect()
}

#[test]
fn each_part_of_the_chart_may_do_what_it_needs_and_nothing_else() {
    let Some(cluster) = Cluster::control_plane() else { return };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/larnax").display().to_string();
    cluster.helm(&["install", "larnax", &chart, "--namespace=larnax", "--create-namespace"]);
    let everywhere = [
        "configmaps [] [] [get]",
        "events.events.k8s.io [] [] [create patch]",
        "federations.larnax.io [] [] [get list watch]",
        "federations.larnax.io/status [] [] [patch]",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io [] [larnax-larnax-webhook] [get list watch patch]",
        "namespaces [] [] [get list watch]",
        "nodes [] [] [get list watch]",
        "pods [] [] [get list watch]",
        "services [] [] [get list watch]",
    ];
    let here = [
        "deployments.apps [] [] [get list watch create patch delete]",
        "secrets [] [larnax-webhook] [get list watch update]",
    ];
    let own = [&everywhere[..], &here[..]].concat();
    let hub = ["tokenreviews.authentication.k8s.io [] [] [create]"];
    assert_eq!(rights(&cluster, "larnax-operator", "default"), set(&everywhere));
    assert_eq!(rights(&cluster, "larnax-operator", "larnax"), set(&own));
    for namespace in ["default", "larnax"] {
        assert_eq!(rights(&cluster, "larnax-hub", namespace), set(&hub));
        assert_eq!(rights(&cluster, "larnax-agent", namespace), set(&[]));
    }

    // Without agents beside applications and those of groups, less.
    let without = ["--set=inject.enabled=false", "--set=federations.enabled=false"];
    cluster.helm(&[&["upgrade", "larnax", &chart, "--namespace=larnax"], &without[..]].concat());
    assert_eq!(
        rights(&cluster, "larnax-operator", "larnax"),
        set(&[
            "nodes [] [] [get list watch]",
            "pods [] [] [get list watch]",
            "services [] [] [get list watch]"
        ])
    );
    assert_eq!(rights(&cluster, "larnax-hub", "larnax"), set(&[]));
}
