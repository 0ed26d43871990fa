//! The programs of a cluster: Kubernetes, built from its modules, and what Debian has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use larnax_test_peers::{Peer, Peers};
use sha2::{Digest, Sha256};

/// The version of Kubernetes, as `cluster/go.mod` has it. 1.33 is the last that runs where control groups are of version 1.
const KUBERNETES: &str = "v1.33.4";
/// The Go that Helm's modules ask for, the newest of them.
const GO: (u32, u32) = (1, 26);

/// A program that is built.
struct Built {
    name: &'static str,
    /// The folder of its module in `cluster/`, and the package there.
    module: &'static str,
    package: &'static str,
}

const BUILT: [Built; 4] = [
    Built { name: "testkube", module: ".", package: "." },
    Built { name: "pause", module: ".", package: "./pause" },
    Built { name: "dns", module: "dns", package: "." },
    Built { name: "helm", module: "helm", package: "helm.sh/helm/v3/cmd/helm" },
];

/// What they are built from.
const SOURCES: [&str; 9] = [
    "go.mod",
    "go.sum",
    "main.go",
    "pause/main.go",
    "dns/go.mod",
    "dns/go.sum",
    "dns/main.go",
    "helm/go.mod",
    "helm/go.sum",
];

/// The programs of a cluster, built and fetched.
#[derive(Clone, Debug)]
pub struct Programs {
    /// All of Kubernetes.
    pub(crate) testkube: PathBuf,
    /// The first process of a pod, static.
    pub(crate) pause: PathBuf,
    /// CoreDNS.
    pub(crate) dns: PathBuf,
    /// Helm.
    pub(crate) helm: PathBuf,
    /// containerd, runc and the network plugins.
    pub(crate) peers: Peers,
}

impl Programs {
    /// What of Debian a node needs.
    pub const PEERS: [Peer; 4] = [Peer::Containerd, Peer::Ctr, Peer::Runc, Peer::BridgePlugin];

    /// Those that [`build`] has made; none where it was not called.
    pub fn locate() -> Option<Programs> {
        let folder = folder().ok()?;
        let built = BUILT.map(|built| folder.join(built.name));
        if !built.iter().all(|program| program.is_file()) {
            return None;
        }
        let [testkube, pause, dns, helm] = built;
        Some(Programs { testkube, pause, dns, helm, peers: Peers::locate() })
    }
}

/// What this machine lacks for [`build`]: a Go that its modules take.
pub fn lacks() -> Option<String> {
    match go_version() {
        Ok(version) if version >= GO => None,
        Ok((major, minor)) => Some(format!("Go is {major}.{minor}, and {}.{} is needed", GO.0, GO.1)),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Builds Kubernetes, CoreDNS and Helm into the target folder, once for each state of `cluster/`: some ten minutes on two cores, 2 GB of
/// memory, 2 GB of modules. Says which version is there.
///
/// # Errors
/// Where it can't be built, or its modules can't be had.
pub fn build() -> Result<String> {
    let into = folder()?;
    fs::create_dir_all(&into)?;
    let variable = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let flags = [
        "-s",
        "-w",
        &variable("gitVersion", KUBERNETES),
        &variable("gitMajor", "1"),
        &variable("gitMinor", "33"),
    ];
    for Built { name, module, package } in BUILT {
        if into.join(name).is_file() {
            continue;
        }
        // Renamed when it is whole: a build that was ended leaves nothing that looks like one.
        let unfinished = into.join(format!("{name}.new"));
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-mod=readonly", "-ldflags", &flags.join(" "), "-o"])
            .arg(&unfinished)
            .arg(package);
        let status = go
            .current_dir(sources().join(module))
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .status();
        if !status.context("go can't be run")?.success() {
            bail!("`go build {package}` failed");
        }
        fs::rename(&unfinished, into.join(name))?;
    }
    Ok(format!("Kubernetes {KUBERNETES}"))
}

/// Where the programs of this state of `cluster/` are.
fn folder() -> Result<PathBuf> {
    let mut hash = Sha256::new();
    for file in SOURCES {
        hash.update(
            fs::read(sources().join(file)).with_context(|| format!("tests/kubernetes/cluster/{file}"))?,
        );
    }
    let hash: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    Ok(std::path::absolute(target)?.join("kubernetes").join(hash))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster")
}

fn go_version() -> Result<(u32, u32)> {
    let output = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
    let output = output.context("there is no Go")?;
    parse_version(&String::from_utf8_lossy(&output.stdout)).context("`go env GOVERSION` says no version")
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix("go")?.split(['.', 'r', 'b', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_read() {
        assert_eq!(parse_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_version("devel +abc"), None);
    }

    #[test]
    fn the_version_is_that_of_the_modules() {
        let modules = fs::read_to_string(sources().join("go.mod")).unwrap_or_default();
        assert!(modules.contains(&format!("k8s.io/kubernetes {KUBERNETES}")));
    }
}
