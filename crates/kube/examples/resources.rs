//! Writes the kinds of objects that Larnax adds to a cluster, for the Helm chart: `charts/larnax/files`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/larnax/files");
    std::fs::write(files.join("federations.yaml"), larnax_kube::federation::definition())
}
