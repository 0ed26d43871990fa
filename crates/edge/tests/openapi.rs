//! The OpenAPI document that is served is the one that the types give.

use larnax_edge_role::server::openapi::document;
use larnax_serve::openapi;

const SERVED: &str = include_str!("../openapi.json");

#[test]
fn the_document_that_is_served_is_in_step() {
    let advice = "run `cargo run -p larnax-edge-role --features openapi --example openapi`";
    assert!(SERVED == document().unwrap(), "openapi.json is old: {advice}");
}

#[test]
fn every_field_is_explained_and_every_reference_leads_somewhere() {
    assert_eq!(openapi::problems(SERVED), Vec::<String>::new());
    for name in
        ["Anomaly", "Component", "Evidence", "MetricEvidence", "Contribution", "Explanation", "BudgetStatus"]
    {
        assert!(SERVED.contains(&format!("#/components/schemas/{name}\"")), "{name}");
    }
}
