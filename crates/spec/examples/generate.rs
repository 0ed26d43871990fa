//! Writes the reference of the config: `docs/reference/config.schema.json` and `docs/reference/config.md`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("config.schema.json"), larnax_spec::reference::json_schema())?;
    std::fs::write(folder.join("config.md"), larnax_spec::reference::markdown())
}
