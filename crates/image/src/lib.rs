//! Container images without a container engine: archives in the OCI image layout, which containerd, podman, skopeo and Docker load.
//!
//! The same files give the same bytes: nothing says when or where an image was made. An archive can hold the same image for several
//! architectures, of which a node takes its own.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is in an image, at a path without a slash at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file that all may read.
    File {
        /// Such as `etc/passwd`.
        path: String,
        /// What is in it.
        content: Vec<u8>,
        /// Whether it is a program.
        executable: bool,
    },
    /// A folder of the image's user, who may write to it.
    Folder {
        /// Such as `var/lib/larnax`.
        path: String,
    },
}

/// An image for one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// As Go calls it: `amd64`, `arm64`.
    pub architecture: String,
    /// What is in it, in this order.
    pub entries: Vec<Entry>,
    /// The program that it runs, with its first arguments.
    pub entry_point: Vec<String>,
    /// The number of the user and group that it runs as; 0 is root.
    pub user: u32,
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// What is said about it, such as `org.opencontainers.image.source`.
    pub labels: BTreeMap<String, String>,
}

/// What came of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The digest of the index of all architectures, as `sha256:…`.
    pub digest: String,
    /// Bytes that a node with the image's architecture loads, by architecture.
    pub compressed: BTreeMap<String, u64>,
    /// And unpacks.
    pub unpacked: BTreeMap<String, u64>,
}

/// Writes an archive of one image, for each of its architectures, that nodes call `name`, such as `docker.io/larnax/larnax:0.1.0`.
///
/// # Errors
/// When a path is too long for an archive, or the archive can't be written.
pub fn write(name: &str, images: &[Image], archive: impl Write) -> io::Result<Written> {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut written =
        Written { digest: String::new(), compressed: BTreeMap::new(), unpacked: BTreeMap::new() };
    let (mut manifests, mut loaded) = (Vec::new(), Vec::new());
    for image in images {
        let unpacked = layer(image)?;
        let (of_layer, size) = (digest(&unpacked), unpacked.len() as u64);
        let layer = add(&mut blobs, LAYER, compressed(&unpacked)?);
        let config = add(&mut blobs, CONFIG, config(image, &of_layer).to_string().into_bytes());
        loaded.push(json!({"Config": path_of(&config), "RepoTags": [name], "Layers": [path_of(&layer)]}));
        let bytes = [&layer, &config].map(|blob| blob["size"].as_u64().unwrap_or_default());
        written.compressed.insert(image.architecture.clone(), bytes.iter().sum());
        written.unpacked.insert(image.architecture.clone(), size);
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut manifest = add(&mut blobs, MANIFEST, manifest.to_string().into_bytes());
        manifest["platform"] = json!({"architecture": image.architecture, "os": "linux"});
        manifests.push(manifest);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string();
    let mut index = add(&mut blobs, INDEX, index.into_bytes());
    index["digest"].as_str().unwrap_or_default().clone_into(&mut written.digest);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    index["annotations"] =
        json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    let all = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]}).to_string();

    let mut archive = Builder::new(archive);
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    append(&mut archive, "index.json", all.as_bytes(), 0o644)?;
    // For Docker before version 25, which takes the first architecture.
    if let Some(first) = loaded.first() {
        append(&mut archive, "manifest.json", json!([first]).to_string().as_bytes(), 0o644)?;
    }
    for (digest, blob) in &blobs {
        append(&mut archive, &format!("blobs/sha256/{digest}"), blob, 0o644)?;
    }
    archive.into_inner()?.flush()?;
    Ok(written)
}

/// Adds a blob and gives back its descriptor.
fn add(blobs: &mut BTreeMap<String, Vec<u8>>, kind: &str, blob: Vec<u8>) -> Value {
    let digest = digest(&blob);
    let descriptor = json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": blob.len()});
    blobs.insert(digest, blob);
    descriptor
}

/// Where a blob is in the archive.
fn path_of(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

fn layer(image: &Image) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for entry in &image.entries {
        match entry {
            Entry::File { path, content, executable } => {
                append(&mut layer, path, content, if *executable { 0o755 } else { 0o644 })?;
            }
            Entry::Folder { path } => {
                let mut header = header(0, 0o755);
                header.set_entry_type(EntryType::Directory);
                header.set_uid(u64::from(image.user));
                header.set_gid(u64::from(image.user));
                layer.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
        }
    }
    layer.into_inner()
}

fn config(image: &Image, layer: &str) -> Value {
    let environment: Vec<String> =
        image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "Entrypoint": image.entry_point,
            "WorkingDir": "/",
            "User": format!("{0}:{0}", image.user),
            "Env": environment,
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    })
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn header(size: usize, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header
}

fn append<W: Write>(archive: &mut Builder<W>, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
    archive.append_data(&mut header(content.len(), mode), path, content)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(architecture: &str) -> Image {
        Image {
            architecture: architecture.to_owned(),
            entries: vec![
                Entry::File { path: "larnax".to_owned(), content: vec![7; 5_000], executable: true },
                Entry::Folder { path: "var/lib/larnax".to_owned() },
            ],
            entry_point: vec!["/larnax".to_owned()],
            user: 65_532,
            ..Image::default()
        }
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    fn json_of(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
        serde_json::from_slice(&files[path]).unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let written = write("docker.io/larnax/larnax:1", &[image("amd64")], &mut first).unwrap();
        assert_eq!(write("docker.io/larnax/larnax:1", &[image("amd64")], &mut second).unwrap(), written);
        assert_eq!(first, second);
        assert!(written.compressed["amd64"] < written.unpacked["amd64"], "{written:?}");
    }

    #[test]
    fn every_part_is_found_by_its_digest_down_to_the_files_of_each_architecture() {
        let mut archive = Vec::new();
        let images = [image("amd64"), image("arm64")];
        write("docker.io/larnax/larnax:1", &images, &mut archive).unwrap();
        let files = files(&archive);
        let top = json_of(&files, "index.json");
        assert_eq!(
            top["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/larnax/larnax:1"
        );
        let index = json_of(&files, &path_of(&top["manifests"][0]));
        for (at, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            let descriptor = &index["manifests"][at];
            assert_eq!(descriptor["platform"]["architecture"], architecture);
            let manifest = json_of(&files, &path_of(descriptor));
            let config = json_of(&files, &path_of(&manifest["config"]));
            assert_eq!(config["config"]["User"], "65532:65532");
            let mut layer = Vec::new();
            let packed = &files[&path_of(&manifest["layers"][0])];
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut layer).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(&layer)));
            assert_eq!(self::files(&layer)["larnax"].len(), 5_000);
        }
        for (path, content) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(*path, format!("blobs/sha256/{}", digest(content)));
        }
    }
}
