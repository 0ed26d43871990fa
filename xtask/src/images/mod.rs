//! `cargo xtask images`: container images of the programs, made without a container engine.
//!
//! The programs are linked with everything they need, and there is nothing else in an image but a list of what they are made of: no
//! shell, no package of a distribution. The authorities that they trust and the time zones are in the programs.

mod check;
mod target;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use larnax_image::{Entry, Image, Written};

pub(crate) use check::check;
use target::Target;

use crate::cargo;
use crate::sbom;

/// A user that no system has, as usual for images without one.
const USER: u32 = 65_532;
/// Where the programs keep what they learn, unless a volume is mounted there.
const STATE: &str = "var/lib/larnax";
const MIB: f64 = 1024.0 * 1024.0;

/// Which architectures an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All that are published, of which a node takes its own.
    Index,
    /// This machine's, by the Rust that is installed: quicker, and enough to try it here.
    Native,
}

impl Form {
    fn targets(self) -> Result<Vec<Target>> {
        let native = Target::of_this_machine()?;
        Ok(match self {
            Form::Index => {
                let arm64 = Target::arm64_from(&native)?;
                vec![native, arm64]
            }
            Form::Native => vec![native],
        })
    }
}

/// An image that is published.
struct Published {
    program: &'static str,
    /// Of its package.
    features: &'static [&'static str],
    /// What it may weigh unpacked, in MiB.
    may_weigh: f64,
}

const PUBLISHED: [Published; 2] = [
    Published { program: "larnax", features: &["kubernetes", "zones"], may_weigh: 20.0 },
    Published { program: "larnax-edge", features: &["zones"], may_weigh: 8.0 },
];

/// What came of making an image.
pub(crate) struct Made {
    published: &'static Published,
    written: Written,
    archive: PathBuf,
    /// Where the program lies, by architecture.
    programs: BTreeMap<&'static str, PathBuf>,
}

impl Made {
    /// Whether a node of any architecture has no more to unpack than it may weigh.
    pub(crate) fn is_small(&self) -> bool {
        self.written.unpacked.values().all(|bytes| *bytes as f64 / MIB <= self.published.may_weigh)
    }

    fn print(&self) {
        for (architecture, bytes) in &self.written.unpacked {
            println!(
                "{:<12} {architecture} {:5.2} MiB of {} unpacked, {:5.2} compressed",
                self.published.program,
                *bytes as f64 / MIB,
                self.published.may_weigh,
                self.written.compressed[architecture] as f64 / MIB,
            );
        }
        println!("{:<12} {} {}", "", self.written.digest, self.archive.display());
    }
}

/// Makes all images in a folder, and says how large they are.
pub(crate) fn make(folder: &Path, form: Form) -> Result<Vec<Made>> {
    let targets = form.targets()?;
    let made = PUBLISHED.iter().map(|published| {
        let made = write(published, &targets, &cargo::target(), folder)?;
        made.print();
        Ok(made)
    });
    made.collect()
}

/// Builds a program for all targets, in a target folder of cargo, and writes its image to another folder.
fn write(published: &'static Published, targets: &[Target], built_in: &Path, folder: &Path) -> Result<Made> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (mut images, mut programs) = (Vec::new(), BTreeMap::new());
    for target in targets {
        let program = target.build(published.program, published.features, built_in)?;
        images.push(image(published, target, &program)?);
        programs.insert(target.architecture, program);
    }
    let archive = folder.join(format!("{}.tar", published.program));
    let name = format!("docker.io/larnax/{}:{}", published.program, env!("CARGO_PKG_VERSION"));
    let file = File::create(&archive).with_context(|| archive.display().to_string())?;
    let written = larnax_image::write(&name, &images, file).with_context(|| archive.display().to_string())?;
    Ok(Made { published, written, archive, programs })
}

fn image(published: &Published, target: &Target, program: &Path) -> Result<Image> {
    let content = fs::read(program).with_context(|| program.display().to_string())?;
    Ok(Image {
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
                content: sbom::of(published.program, published.features, target.triple)?,
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
    })
}
