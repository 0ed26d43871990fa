//! The kinds of objects that the Helm chart adds to a cluster are those that the code knows.

#[test]
fn the_charts_definition_of_federations_is_the_codes() {
    let committed = include_str!("../../../charts/larnax/files/federations.yaml");
    assert_eq!(committed, larnax_kube::federation::definition(), "`cargo xtask generate` writes it anew");
}
