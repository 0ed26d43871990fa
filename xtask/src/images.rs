//! `cargo xtask images`: container images of the programs, made without a container engine.
//!
//! The programs are linked with everything they need, and there is nothing else in an image but a list of what they are made of: no
//! shell, no package of a distribution.
//! Paths of this machine are left out of them, so that the same sources and compiler give the same image elsewhere.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use larnax_image::{Entry, Image, Written};

use crate::cargo::{self, cargo};
use crate::sbom;

/// A user that no system has, as usual for images without one.
const USER: u32 = 65_532;
/// Where the programs keep what they learn, unless a volume is mounted there.
const STATE: &str = "var/lib/larnax";
const MIB: f64 = 1024.0 * 1024.0;

/// An image that is published.
struct Published {
    program: &'static str,
    /// Of its package.
    features: &'static [&'static str],
    /// What it may weigh unpacked, in MiB.
    may_weigh: f64,
}

const PUBLISHED: [Published; 2] = [
    Published { program: "larnax", features: &["kubernetes"], may_weigh: 20.0 },
    Published { program: "larnax-edge", features: &[], may_weigh: 8.0 },
];

/// Makes all images in a folder, and says how large they are.
pub(crate) fn make(folder: &Path) -> Result<bool> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let target = Target::of_this_machine()?;
    let mut small = true;
    for published in &PUBLISHED {
        let archive = folder.join(format!("{}.tar", published.program));
        let written = write(published, &target, &archive)?;
        for (architecture, bytes) in &written.unpacked {
            let (unpacked, compressed) = (*bytes as f64 / MIB, written.compressed[architecture] as f64 / MIB);
            println!(
                "{:<12} {architecture} {unpacked:5.2} MiB of {} unpacked, {compressed:5.2} compressed  {}",
                published.program, published.may_weigh, written.digest
            );
            small &= unpacked <= published.may_weigh;
        }
        println!("{:<12} {}", "", archive.display());
    }
    Ok(small)
}

fn write(published: &Published, target: &Target, archive: &Path) -> Result<Written> {
    let program = build(published, target)?;
    let content = fs::read(&program).with_context(|| program.display().to_string())?;
    let image = Image {
        architecture: target.architecture.to_owned(),
        entries: vec![
            Entry::File {
                path: "etc/passwd".to_owned(),
                content: format!("larnax:x:{USER}:{USER}::/{STATE}:/\n").into_bytes(),
                executable: false,
            },
            Entry::Folder { path: STATE.to_owned() },
            Entry::Folder { path: "tmp".to_owned() },
            Entry::File {
                path: format!("{}.spdx.json", published.program),
                content: sbom::of(published.program, published.features, &target.triple)?,
                executable: false,
            },
            Entry::File { path: published.program.to_owned(), content, executable: true },
        ],
        entry_point: vec![format!("/{}", published.program)],
        user: USER,
        environment: [("LARNAX_STATE".to_owned(), format!("/{STATE}"))].into(),
        labels: [
            ("org.opencontainers.image.title", published.program),
            ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
            ("org.opencontainers.image.licenses", "MIT OR Apache-2.0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    };
    let name = format!("docker.io/larnax/{}:{}", published.program, env!("CARGO_PKG_VERSION"));
    let file = File::create(archive).with_context(|| archive.display().to_string())?;
    larnax_image::write(&name, &[image], file).with_context(|| archive.display().to_string())
}

/// What is built for.
struct Target {
    /// As rustc calls it.
    triple: String,
    /// As images call it.
    architecture: &'static str,
}

impl Target {
    fn of_this_machine() -> Result<Self> {
        let said = cargo::output(Command::new("rustc").arg("-vV"))?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let architecture = match host {
            "x86_64-unknown-linux-gnu" => "amd64",
            "aarch64-unknown-linux-gnu" => "arm64",
            other => bail!(
                "this machine's Rust builds for `{other}`: images are made where it is x86_64 or aarch64-unknown-linux-gnu"
            ),
        };
        Ok(Self { triple: host.to_owned(), architecture })
    }
}

/// Builds a program that needs no shared library, and gives back where it lies without symbols.
fn build(published: &Published, target: &Target) -> Result<PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let remapped = [(Some(cargo::root().to_owned()), "/larnax"), (cargo_home, "/cargo")];
    let remapped = remapped
        .iter()
        .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from.as_ref()?.display())));
    let flags: Vec<String> = ["-Ctarget-feature=+crt-static".to_owned(), "-Cstrip=symbols".to_owned()]
        .into_iter()
        .chain(remapped)
        .collect();
    // For a target that is named, the flags are not for build scripts and macros, which have to be dynamic.
    let mut command =
        cargo(&["build", "--release", "--package", published.program, "--target", &target.triple]);
    command.arg("--features").arg(published.features.join(","));
    // A path may have spaces: flags are parted by 0x1f.
    cargo::run(command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
    Ok(cargo::target().join(&target.triple).join("release").join(published.program))
}
