//! Writes the OpenAPI document that the server answers with: `openapi.json` of this crate.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let document = larnax_hub::openapi::document()?;
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json"), document)
}
