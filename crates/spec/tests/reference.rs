//! The published reference says what the types say.

use larnax_spec::reference;

fn published(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_published_schema_and_page_are_up_to_date() {
    let advice = "run `cargo run -p larnax-spec --features schema --example generate`";
    assert!(
        published("config.schema.json") == reference::json_schema(),
        "config.schema.json is old: {advice}"
    );
    assert!(published("config.md") == reference::markdown(), "config.md is old: {advice}");
}

#[test]
fn every_field_is_explained() {
    let schema: serde_json::Value = serde_json::from_str(&reference::json_schema()).unwrap();
    let definitions = schema["$defs"].as_object().unwrap();
    assert!(definitions.len() > 10);
    for (name, definition) in definitions.iter().chain([(&"Config".to_owned(), &schema)]) {
        assert!(definition["description"].is_string(), "{name}");
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{field}");
        }
    }
}
