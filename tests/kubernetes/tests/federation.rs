//! Groups of pods that have one agent together. The pods stand in the API of a real control plane; nobody runs them, nor the agents.

#![cfg(feature = "with-cluster")]
#![allow(clippy::unwrap_used, reason = "an error fails the test")]

mod federations;

use federations::{SOON, agents, control_plane, federation, operator, pod, status, told};
use larnax_test_peers::eventually;
use serde_json::json;

#[test]
fn a_federation_has_one_agent_which_watches_its_members_instead_of_the_agents_of_their_nodes() {
    let Some(cluster) = control_plane() else { return };
    pod(&cluster, "pay", "10.0.0.1", &json!({}));
    pod(&cluster, "stock", "10.0.0.2", &json!({"deucalion-federation": "tills"}));
    pod(&cluster, "web", "10.0.0.3", &json!({}));
    let folder = tempfile::tempdir().unwrap();
    let (operating, address) = operator(&cluster, &json!({}), folder.path());
    eventually("all at the node", SOON, || {
        (told(address, "node=n1") == ["pay", "stock", "web"]).then_some(())
    });

    cluster
        .apply(&federation("tills", &json!({"selector": {"matchLabels": {"app": "pay"}}, "interval": "1s"})));
    eventually("the members", SOON, || {
        (told(address, "federation=shop/tills") == ["pay", "stock"]).then_some(())
    });
    assert_eq!(told(address, "node=n1"), ["web"]);
    let agent = eventually("its agent", SOON, || agents(&cluster).pop());
    let name = agent["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("larnax-shop-tills-"), "{name}");
    let config =
        agent["spec"]["template"]["metadata"]["annotations"]["larnax.io/agent-config"].as_str().unwrap();
    assert!(config.contains("federation=shop/tills") && config.contains("\"interval\":\"1s\""), "{config}");
    let told_status = eventually("its status", SOON, || {
        let status = status(&cluster, "tills");
        (status["members"] == 2).then_some(status)
    });
    assert_eq!(told_status["conditions"][0]["reason"], "AgentNotReady", "nobody runs it here");
    assert_eq!(told_status["agent"], format!("larnax/{name}"));

    // Another one that is started finds all as it should be, and writes nothing.
    drop(operating);
    let version = || agents(&cluster)[0]["metadata"]["resourceVersion"].clone();
    let (before, second) = (version(), operator(&cluster, &json!({}), folder.path()));
    cluster.apply(&federation("nobody", &json!({"selector": {"matchLabels": {"app": "none"}}})));
    eventually("two agents", SOON, || (agents(&cluster).len() == 2).then_some(()));
    let first = agents(&cluster).into_iter().find(|one| one["metadata"]["name"] == name).unwrap();
    assert_eq!(first["spec"], agent["spec"]);
    assert!(first["metadata"]["generation"] == 1, "{} {}", before, first["metadata"]);
    eventually("why it isn't ready", SOON, || {
        (status(&cluster, "nobody")["conditions"][0]["reason"] == "NoMembers").then_some(())
    });

    // What can't be is refused by the API server, or said where people look.
    let refused = cluster.try_apply(&federation("soon", &json!({"interval": "soon"}))).unwrap_err();
    assert!(refused.contains("spec.interval"), "{refused}");
    let near = json!({"selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}});
    let refused = cluster.try_apply(&federation("near", &near)).unwrap_err();
    assert!(refused.contains("supported values"), "{refused}");
    let wrong = [
        (
            "empty",
            json!({"matchExpressions": [{"key": "app", "operator": "In"}]}),
            "BadSelector",
            "its selector",
        ),
        ("spaced", json!({"matchLabels": {"app": "no label"}}), "AgentRefused", "no label"),
    ];
    for (name, selector, reason, words) in wrong {
        cluster.apply(&federation(name, &json!({"selector": selector})));
        let problem = eventually("what is wrong with it", SOON, || {
            let condition = status(&cluster, name)["conditions"][0].clone();
            (condition["reason"] == reason).then_some(condition)
        });
        assert!(problem["message"].as_str().unwrap().contains(words), "{problem}");
    }
    assert_eq!(agents(&cluster).len(), 2, "the others run on");

    cluster.kubectl(&["delete", "federations", "--all", "--namespace=shop"]);
    eventually("no agent", SOON, || agents(&cluster).is_empty().then_some(()));
    assert_eq!(told(second.1, "node=n1"), ["pay", "stock", "web"]);
}
