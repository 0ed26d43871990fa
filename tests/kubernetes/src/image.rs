//! Container images without a container engine: an archive with one layer.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// An image with one static program in it.
#[derive(Clone, Debug)]
pub struct Image {
    /// How pods name it, as `docker.io/test/shop:1`. They must say `imagePullPolicy: Never`.
    pub name: String,
    /// The program on this machine, which needs no shared library.
    pub program: PathBuf,
}

impl Image {
    /// Writes it as `ctr images import` reads it (a `docker save` archive). The program is `/PROGRAM` and its entry point.
    ///
    /// # Panics
    /// When the program can't be read or the archive not written.
    pub(crate) fn write(&self, archive: &Path) {
        self.try_write(archive).unwrap_or_else(|error| panic!("the image {}: {error}", self.name));
    }

    fn try_write(&self, archive: &Path) -> std::io::Result<()> {
        let entry = format!("/{}", self.program.file_name().unwrap_or_default().to_string_lossy());
        let mut layer = Builder::new(Vec::new());
        append(&mut layer, &entry[1..], &fs::read(&self.program)?, 0o755)?;
        let layer = layer.into_inner()?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {"Entrypoint": [entry], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
        });
        let config = config.to_string();
        let config_name = format!("{}.json", digest(config.as_bytes()));
        let manifest = json!([{"Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        let mut image = Builder::new(File::create(archive)?);
        append(&mut image, &config_name, config.as_bytes(), 0o644)?;
        append(&mut image, "layer.tar", &layer, 0o644)?;
        append(&mut image, "manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        image.finish()
    }
}

fn append<W: std::io::Write>(
    archive: &mut Builder<W>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, Cursor::new(content))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
