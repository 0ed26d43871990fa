//! What the programs of images are built for, and with what.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use larnax_test_peers::fetch_tools;

use crate::cargo::{self, cargo};

const AMD64: &str = "x86_64-unknown-linux-gnu";
const ARM64: &str = "aarch64-unknown-linux-gnu";

/// Debian's Rust with the standard library of 64-bit ARM, its C compiler and C library. rustup's would have to be installed by
/// whoever builds; these are unpacked into the target folder, without root.
const TOOLS_FOR_ARM64: [&str; 4] =
    ["rustc-web", "libstd-rust-web-dev:arm64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];

/// Static programs of this architecture can run at any address, for which each pointer in them is corrected when they start; kept as
/// bits instead of as a table that is 1 MB smaller. glibc knows that since 2.36.
const RELOCATED: &[&str] = &["-Clink-arg=-Wl,-z,pack-relative-relocs"];
/// Rust has them at a fixed address on this one.
const FIXED: &[&str] = &[];

/// What is built for.
pub(super) struct Target {
    /// As rustc calls it.
    pub(super) triple: &'static str,
    /// As images call it.
    pub(super) architecture: &'static str,
    /// What rustc is told when all is linked.
    linked: &'static [&'static str],
    /// Of cargo, so that it takes other tools than those that are installed.
    environment: Vec<(&'static str, OsString)>,
}

impl Target {
    /// By the Rust and the C compiler that are installed.
    pub(super) fn of_this_machine() -> Result<Self> {
        let said = cargo::output(Command::new("rustc").arg("-vV"))?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let (triple, architecture, linked) = match host {
            AMD64 => (AMD64, "amd64", RELOCATED),
            ARM64 => (ARM64, "arm64", FIXED),
            other => bail!(
                "this machine's Rust builds for `{other}`: images are made where it is {AMD64} or {ARM64}"
            ),
        };
        Ok(Self { triple, architecture, linked, environment: Vec::new() })
    }

    /// By tools that are fetched into the target folder (some 250 MB, once).
    pub(super) fn arm64_from(native: &Target) -> Result<Self> {
        if native.triple != AMD64 {
            bail!("images for both architectures are made on x86_64; `--native` makes this machine's alone");
        }
        let root = cargo::target().join("cross");
        eprint!("{}", fetch_tools(&TOOLS_FOR_ARM64, &root).context("the tools for ARM can't be had")?);
        let tool = |name: &str| root.join("usr/bin").join(name).into_os_string();
        let environment = vec![
            ("RUSTC", tool("rustc")),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", tool("aarch64-linux-gnu-gcc")),
            ("CC_aarch64_unknown_linux_gnu", tool("aarch64-linux-gnu-gcc")),
            ("AR_aarch64_unknown_linux_gnu", tool("aarch64-linux-gnu-ar")),
            // Of the compilers: the libraries that this machine lacks.
            ("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu").into_os_string()),
        ];
        Ok(Self { triple: ARM64, architecture: "arm64", linked: FIXED, environment })
    }

    /// Builds a program that needs no shared library, without symbols, in a target folder, and gives back where it lies.
    ///
    /// Paths of this machine are left out of it, so that the same sources and compilers give the same program elsewhere.
    pub(super) fn build(&self, program: &str, features: &[&str], folder: &Path) -> Result<PathBuf> {
        let cargo_home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let remapped = [
            (Some(cargo::root().to_owned()), "/larnax"),
            (cargo_home, "/cargo"),
            (Some(folder.to_owned()), "/target"),
        ];
        let remapped = remapped
            .iter()
            .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from.as_ref()?.display())));
        let flags: Vec<String> = ["-Ctarget-feature=+crt-static".to_owned(), "-Cstrip=symbols".to_owned()]
            .into_iter()
            .chain(remapped)
            .collect();
        // For a target that is named, the flags are not for build scripts and macros, which have to be dynamic.
        let mut command = cargo(&["rustc", "--release", "--locked", "--package", program, "--bin", program]);
        command.arg("--features").arg(features.join(",")).arg("--target-dir").arg(folder);
        command.args(["--target", self.triple, "--"]).args(self.linked);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A path may have spaces: flags are parted by 0x1f.
        cargo::run(command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")))?;
        let built = folder.join(self.triple).join("release").join(program);
        if self.environment.is_empty() {
            // With an older glibc than the linker it would not even start.
            cargo::output(Command::new(&built).arg("--version"))?;
        }
        Ok(built)
    }
}
