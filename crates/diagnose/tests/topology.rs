//! Who depends on whom, told by several.

#![allow(clippy::unwrap_used)]

mod support;

use larnax_core::{ComponentId, Edge, TopologySource};
use larnax_diagnose::Topology;
use larnax_diagnose::topology::Limits;
use support::{at, calls, component, delta, id, runs_on};

use TopologySource::{Agent, Config, Platform};

fn edges(topology: &Topology) -> Vec<Edge> {
    topology.edges().cloned().collect()
}

fn near(topology: &Topology, name: &str, hops: usize) -> Vec<(String, usize)> {
    topology.near(&id(name), hops).into_iter().map(|(id, hops)| (id.name().to_owned(), hops)).collect()
}

fn names<'a>(ids: impl Iterator<Item = &'a ComponentId>) -> Vec<&'a str> {
    ids.map(ComponentId::name).collect()
}

#[test]
fn an_edge_is_there_while_one_of_those_who_saw_it_says_so() {
    let mut topology = Topology::default();
    let edge = calls("api", "orders");
    for by in ["one", "two"] {
        topology.apply(&delta(Agent, by, std::slice::from_ref(&edge)), at(0.0));
    }
    let mut gone = delta(Agent, "one", &[]);
    gone.removed_edges.push(edge.clone());
    assert!(topology.apply(&gone, at(1.0)).changed);
    assert_eq!(edges(&topology), std::slice::from_ref(&edge));
    assert_eq!(topology.said_by(&edge).collect::<Vec<_>>(), [(Agent, "two")]);
    gone.by = "two".to_owned();
    topology.apply(&gone, at(1.0));
    assert!(topology.is_empty());
}

#[test]
fn what_is_not_repeated_in_time_is_forgotten_and_what_is_said_again_is_no_change() {
    let mut topology = Topology::default();
    let mut told = delta(Agent, "one", &[calls("api", "orders")]);
    told.ttl_seconds = Some(60.0);
    told.components.push(component("api", &[]));
    assert!(topology.apply(&told, at(0.0)).changed);
    assert!(!topology.apply(&told, at(30.0)).changed);
    assert!(!topology.expire(at(89.0)));
    assert!(topology.expire(at(90.0)));
    assert!(topology.is_empty());
    for odd in [f64::NAN, -1.0] {
        told.ttl_seconds = Some(odd);
        topology.apply(&told, at(100.0));
        assert!(topology.expire(at(100.0)), "{odd}");
    }
    told.ttl_seconds = Some(f64::INFINITY);
    topology.apply(&told, at(100.0));
    assert!(!topology.expire(at(1e9)));
}

#[test]
fn an_edge_that_a_person_removed_is_not_there_whoever_says_so_until_the_person_no_longer_does() {
    let mut topology = Topology::default();
    let edge = calls("api", "orders");
    let mut veto = delta(Config, "larnax.yaml", &[]);
    veto.removed_edges.push(edge.clone());
    topology.apply(&veto, at(0.0));
    topology.apply(&delta(Platform, "k8s", std::slice::from_ref(&edge)), at(1.0));
    topology.apply(&delta(Agent, "one", std::slice::from_ref(&edge)), at(1.0));
    assert_eq!(edges(&topology), []);
    assert!(!topology.knows_calls_of(&edge.from));
    // What a person says is whole each time.
    assert!(topology.apply(&delta(Config, "larnax.yaml", &[]), at(2.0)).changed);
    assert_eq!(edges(&topology), [edge]);
}

#[test]
fn an_edge_that_a_person_no_longer_writes_is_gone() {
    let mut topology = Topology::default();
    topology.apply(&delta(Config, "f", &[calls("a", "b"), calls("b", "c")]), at(0.0));
    assert!(topology.apply(&delta(Config, "f", &[calls("b", "c")]), at(1.0)).changed);
    assert!(!topology.apply(&delta(Config, "f", &[calls("b", "c")]), at(2.0)).changed);
    assert_eq!(edges(&topology), [calls("b", "c")]);
}

#[test]
fn where_a_component_runs_is_told_by_the_most_trusted_for_each_kind_of_place() {
    let mut topology = Topology::default();
    let on = |node| runs_on("pod/shop/orders", node);
    topology.apply(&delta(Agent, "old", &[on("node/local/n1"), on("rack/local/r1")]), at(0.0));
    topology.apply(&delta(Platform, "k8s", &[on("node/local/n2")]), at(0.0));
    assert_eq!(names(topology.runs_on(&id("pod/shop/orders"))), ["n2", "r1"]);
    let mut gone = delta(Platform, "k8s", &[]);
    gone.removed_components.push(id("pod/shop/orders"));
    topology.apply(&gone, at(1.0));
    assert_eq!(names(topology.runs_on(&id("pod/shop/orders"))), ["n1", "r1"]);
}

#[test]
fn labels_of_all_are_joined_and_the_more_trusted_win() {
    let mut topology = Topology::default();
    for (source, by, labels) in [
        (Agent, "b", [("unit", "b.service"), ("tier", "agent")]),
        (Agent, "a", [("unit", "a.service"), ("tier", "agent")]),
        (Config, "f", [("tier", "config"), ("team", "red")]),
    ] {
        let mut told = delta(source, by, &[]);
        told.components.push(component("orders", &labels));
        topology.apply(&told, at(0.0));
    }
    let all = [("tier", "config"), ("team", "red"), ("unit", "a.service")];
    assert_eq!(topology.component(&id("orders")), Some(component("orders", &all)));
    assert_eq!(topology.components().count(), 1);
}

#[test]
fn neighbours_are_found_in_both_directions_and_cycles_end() {
    let mut topology = Topology::default();
    let cycle = [calls("a", "b"), calls("b", "c"), calls("c", "a"), calls("c", "d"), calls("e", "d")];
    topology.apply(&delta(Agent, "x", &cycle), at(0.0));
    assert_eq!(names(topology.callees(&id("c"))), ["a", "d"]);
    assert_eq!(names(topology.callers(&id("d"))), ["c", "e"]);
    let expected = [("b", 1), ("c", 1), ("d", 2), ("e", 3)].map(|(name, hops)| (name.to_owned(), hops));
    assert_eq!(near(&topology, "a", 3), expected);
    assert_eq!(near(&topology, "a", 2), expected[..3]);
    assert_eq!(near(&topology, "a", 0), []);
    assert_eq!(near(&topology, "nobody", 3), []);
    let among = [id("a"), id("c"), id("d")].into();
    assert_eq!(topology.edges_among(&among), [calls("c", "a"), calls("c", "d")]);
}

#[test]
fn tenants_of_one_host_are_near_the_host_but_not_each_other() {
    let mut topology = Topology::default();
    let node = "node/local/n";
    let told = [runs_on("a", node), runs_on("b", node), calls("x", "a")];
    topology.apply(&delta(Agent, "n", &told), at(0.0));
    assert_eq!(near(&topology, "a", 3), [("n".to_owned(), 1), ("x".to_owned(), 1)]);
    assert_eq!(near(&topology, "x", 3), [("a".to_owned(), 1), ("n".to_owned(), 2)]);
    let of_node = [("a", 1), ("b", 1), ("x", 2)].map(|(name, hops)| (name.to_owned(), hops));
    assert_eq!(near(&topology, node, 3), of_node);
}

#[test]
fn a_host_that_is_also_called_lets_through_those_who_call_it() {
    let mut topology = Topology::default();
    let node = "node/local/n";
    // First reached by the way down, from which no way leads up; then, one edge later, as a callee.
    let told = [runs_on("a", node), runs_on("b", node), calls("a", "x"), calls("x", node)];
    topology.apply(&delta(Agent, "n", &told), at(0.0));
    let expected = [("n", 1), ("x", 1), ("b", 3)].map(|(name, hops)| (name.to_owned(), hops));
    assert_eq!(near(&topology, "a", 3), expected);
}

#[test]
fn what_is_too_much_or_makes_no_sense_is_refused_and_counted() {
    let limits =
        Limits { sources: 2, components_per_source: 1, edges_per_source: 2, components: 2, edges: 3 };
    let mut topology = Topology::with_limits(limits);
    let mut told = delta(Agent, "one", &[calls("a", "b"), calls("a", "a"), calls("a", "c"), calls("a", "d")]);
    told.components = vec![component("a", &[]), component("b", &[])];
    let applied = topology.apply(&told, at(0.0));
    assert!(applied.changed);
    assert_eq!(applied.refused, 3);
    assert_eq!(edges(&topology), [calls("a", "b"), calls("a", "c")]);
    assert_eq!(topology.apply(&delta(Agent, "two", &[calls("b", "c"), calls("b", "d")]), at(0.0)).refused, 1);
    assert_eq!(topology.apply(&delta(Agent, "three", &[calls("a", "b")]), at(0.0)).refused, 1);
    let mut long = delta(Agent, "one", &[]);
    let text = "x".repeat(10_000);
    long.components.push(component("a", &[("a", text.as_str())]));
    assert_eq!(topology.apply(&long, at(0.0)).refused, 1);
    assert_eq!(topology.refused(), 6);
    // What is known is still repeated.
    assert_eq!(topology.apply(&delta(Agent, "one", &[calls("a", "b")]), at(0.0)).refused, 0);
}

#[test]
fn a_snapshot_gives_the_same_topology_and_is_written_as_deltas() {
    let mut topology = Topology::default();
    let mut told = delta(Agent, "one", &[calls("a", "b"), runs_on("a", "node/local/n")]);
    told.ttl_seconds = Some(60.0);
    told.components.push(component("a", &[("tier", "x")]));
    topology.apply(&told, at(0.0));
    told.edges = vec![calls("c", "d")];
    topology.apply(&told, at(20.0));
    let mut veto = delta(Config, "f", &[calls("e", "f")]);
    veto.removed_edges.push(calls("c", "d"));
    topology.apply(&veto, at(20.0));

    let json = serde_json::to_string(&topology.snapshot(at(30.0))).unwrap();
    let deltas: Vec<larnax_core::TopologyDelta> = serde_json::from_str(&json).unwrap();
    let mut again = Topology::default();
    for delta in &deltas {
        again.apply(delta, at(30.0));
    }
    assert_eq!(again.snapshot(at(30.0)), topology.snapshot(at(30.0)));
    for now in [30.0, 61.0, 81.0] {
        topology.expire(at(now));
        again.expire(at(now));
        assert_eq!(edges(&again), edges(&topology));
        assert_eq!(again.components().collect::<Vec<_>>(), topology.components().collect::<Vec<_>>());
    }
    assert_eq!(edges(&topology), [calls("e", "f")]);
}
