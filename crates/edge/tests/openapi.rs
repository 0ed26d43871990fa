//! The OpenAPI document that is served is the one that the types give.

use larnax_edge_role::server::openapi;
use serde_json::Value;

const SERVED: &str = include_str!("../openapi.json");

#[test]
fn the_document_that_is_served_is_in_step() {
    let advice = "run `cargo run -p larnax-edge-role --features openapi --example openapi`";
    assert!(SERVED == openapi::document().unwrap(), "openapi.json is old: {advice}");
}

#[test]
fn every_field_is_explained_and_every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(SERVED).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in
        ["Anomaly", "Component", "Evidence", "MetricEvidence", "Contribution", "Explanation", "BudgetStatus"]
    {
        assert!(schemas.contains_key(name), "{name}");
    }
    for (name, schema) in schemas {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property.to_string().contains("\"description\""), "{name}.{field}: {property}");
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
