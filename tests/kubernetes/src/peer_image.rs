//! Images of real peers, from the packages that tests run them from: there is no registry to have others from.

use std::fs;
use std::path::Path;
use std::process::Command;

use larnax_image::{Entry, Image};
use larnax_test_peers::{Peer, Peers};

use crate::Cluster;

/// Gives the nodes an image of a peer, with the libraries that it is linked to and the files below `usr/share` that it needs, and says what
/// they call it. Its program is the entry point.
///
/// # Panics
/// When it was not fetched, or can't be given.
pub fn import_peer(cluster: &Cluster, peers: &Peers, peer: Peer, shares: &[&str]) -> String {
    let program = peers.program(peer).unwrap_or_else(|| panic!("there is no {}", peer.file_name()));
    let mut entries = vec![entry(peer.file_name(), &program)];
    let mut ldd = Command::new("ldd");
    // What the peer finds its libraries by.
    for (name, value) in peers.command(peer).get_envs() {
        value.map(|value| ldd.env(name, value));
    }
    let output = ldd.arg(&program).output().unwrap_or_else(|error| panic!("ldd can't be run: {error}"));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or where the loader has to be: `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [_, "=>", "not", "found"] => panic!("a library isn't there: {line}"),
            [name, "=>", path, _] => entries.push(entry(&format!("lib/{name}"), Path::new(path))),
            [loader, _] if loader.starts_with('/') => {
                entries.push(entry(loader.trim_start_matches('/'), Path::new(loader)));
            }
            _ => {}
        }
    }
    for share in shares {
        let folder = peers.root().join("usr/share").join(share);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for file in files.flatten().filter(|file| file.path().is_file()) {
            let path = format!("usr/share/{share}/{}", file.file_name().to_string_lossy());
            entries.push(entry(&path, &file.path()));
        }
    }
    let image = Image {
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.to_owned(),
        entries,
        entry_point: vec![format!("/{}", peer.file_name())],
        user: 65_532,
        ..Image::default()
    };
    let name = format!("docker.io/larnax-test/{}:1", peer.file_name());
    let archive = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("no temporary file: {error}"));
    larnax_image::write(&name, &[image], archive.as_file()).unwrap_or_else(|error| panic!("{name}: {error}"));
    cluster.import(archive.path());
    name
}

fn entry(path: &str, from: &Path) -> Entry {
    let content = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    Entry::File { path: path.to_owned(), content, executable: true }
}
