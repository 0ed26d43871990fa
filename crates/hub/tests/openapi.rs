//! The OpenAPI document that is served is the one that the types give.

use larnax_hub::openapi::document;
use larnax_serve::openapi;

const SERVED: &str = include_str!("../openapi.json");

#[test]
fn the_document_that_is_served_is_in_step() {
    let advice = "run `cargo run -p larnax-hub --features openapi --example openapi`";
    assert!(SERVED == document().unwrap(), "openapi.json is old: {advice}");
}

#[test]
fn every_field_is_explained_and_every_reference_leads_somewhere() {
    assert_eq!(openapi::problems(SERVED), Vec::<String>::new());
    for name in ["AgentReport", "HubReport", "TopologyReport", "Incident", "Diagnosis", "Candidate"] {
        assert!(SERVED.contains(&format!("#/components/schemas/{name}\"")), "{name}");
    }
}
