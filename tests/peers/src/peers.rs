//! Which peers there are, and where this machine has them.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package that depends on the server of the release, whose name has a version in it: `postgresql-15`.
pub(crate) const POSTGRESQL: &str = "postgresql";

/// A program that Larnax works with or is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The Prometheus server.
    Prometheus,
    /// Prometheus' checker of configs and rules.
    Promtool,
    /// The Alertmanager.
    Alertmanager,
    /// Alertmanager's command line.
    Amtool,
    /// The exporter of this machine's metrics.
    NodeExporter,
    /// The maker of load.
    StressNg,
    /// The database server.
    Postgres,
    /// What makes a new data folder for it.
    Initdb,
    /// The message broker: Erlang's machine, which runs it.
    RabbitMq,
    /// What starts and keeps services.
    Systemd,
    /// What orders virtual machines about; it brings a driver whose machines exist only in its memory.
    Virsh,
    /// What runs the containers of a Kubernetes node.
    Containerd,
    /// Its command line.
    Ctr,
    /// What starts a container.
    Runc,
    /// What gives a pod its network.
    BridgePlugin,
    /// VictoriaMetrics' scraper. Only the bench uses it.
    Vmagent,
    /// The counter of instructions, without the script around it, which looks for an installed one.
    Valgrind,
    /// What runs a program of a 64-bit ARM machine on this one.
    QemuArm64,
}

impl Peer {
    /// The peers that the tests need: all but those of the bench, the counter of instructions and what runs programs for
    /// ARM.
    pub const OF_TESTS: [Peer; 11] = [
        Peer::Prometheus,
        Peer::Promtool,
        Peer::Alertmanager,
        Peer::Amtool,
        Peer::NodeExporter,
        Peer::StressNg,
        Peer::Postgres,
        Peer::Initdb,
        Peer::RabbitMq,
        Peer::Systemd,
        Peer::Virsh,
    ];

    /// The peers that the bench compares with.
    pub const OF_BENCH: [Peer; 3] = [Peer::Prometheus, Peer::NodeExporter, Peer::Vmagent];

    /// The name of its executable file.
    pub fn file_name(self) -> &'static str {
        match self {
            Peer::Prometheus => "prometheus",
            Peer::Promtool => "promtool",
            Peer::Alertmanager => "prometheus-alertmanager",
            Peer::Amtool => "amtool",
            Peer::NodeExporter => "prometheus-node-exporter",
            Peer::StressNg => "stress-ng",
            Peer::Postgres => "postgres",
            Peer::Initdb => "initdb",
            Peer::RabbitMq => "beam.smp",
            Peer::Systemd => "systemd",
            Peer::Virsh => "virsh",
            Peer::Containerd => "containerd",
            Peer::Ctr => "ctr",
            Peer::Runc => "runc",
            Peer::BridgePlugin => "bridge",
            Peer::Vmagent => "vmagent",
            Peer::Valgrind => "valgrind.bin",
            Peer::QemuArm64 => "qemu-aarch64-static",
        }
    }

    /// The Debian package that contains it.
    pub fn package(self) -> &'static str {
        match self {
            Peer::Prometheus | Peer::Promtool => "prometheus",
            Peer::Alertmanager | Peer::Amtool => "prometheus-alertmanager",
            Peer::NodeExporter => "prometheus-node-exporter",
            Peer::StressNg => "stress-ng",
            Peer::Postgres | Peer::Initdb => POSTGRESQL,
            Peer::RabbitMq => "rabbitmq-server",
            Peer::Systemd => "systemd",
            Peer::Virsh => "libvirt-clients",
            Peer::Containerd | Peer::Ctr => "containerd",
            Peer::Runc => "runc",
            Peer::BridgePlugin => "containernetworking-plugins",
            Peer::Vmagent => "victoria-metrics",
            Peer::Valgrind => "valgrind",
            Peer::QemuArm64 => "qemu-user-static",
        }
    }

    /// The packages without which that one is of no use, shared libraries aside.
    pub(crate) fn parts(self) -> &'static [&'static str] {
        match self {
            Peer::RabbitMq => &[
                "erlang-base",
                "erlang-asn1",
                "erlang-crypto",
                "erlang-eldap",
                "erlang-inets",
                "erlang-mnesia",
                "erlang-os-mon",
                "erlang-parsetools",
                "erlang-public-key",
                "erlang-runtime-tools",
                "erlang-ssl",
                "erlang-syntax-tools",
                "erlang-tools",
                "erlang-xmerl",
            ],
            Peer::Systemd => &["libsystemd-shared"],
            _ => &[],
        }
    }
}

/// The folder into which the peers' packages are unpacked.
///
/// `LARNAX_PEERS` names it; otherwise it is `peers` in the target folder of this workspace.
#[derive(Clone, Debug)]
pub struct Peers {
    root: PathBuf,
}

impl Peers {
    /// The folder that `LARNAX_PEERS` names, else `target/peers`. It may not exist yet.
    ///
    /// ```
    /// use larnax_test_peers::{Peer, Peers};
    ///
    /// match Peers::locate().program(Peer::Prometheus) {
    ///     Some(path) => println!("Prometheus is {}", path.display()),
    ///     None => println!("no Prometheus here"),
    /// }
    /// ```
    pub fn locate() -> Peers {
        let root =
            std::env::var_os("LARNAX_PEERS").map_or_else(|| target_folder().join("peers"), PathBuf::from);
        Peers::under(&root)
    }

    /// The peers unpacked under `root`.
    pub fn under(root: &Path) -> Peers {
        Peers { root: std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()) }
    }

    /// For the first line of a test: the peers, or `None` after one loud line that names the test and what is
    /// absent.
    ///
    /// # Panics
    /// When something is absent and `CI` is set: in CI no test is left out.
    ///
    /// ```no_run
    /// use larnax_test_peers::{Alertmanager, Peer, Peers};
    ///
    /// let Some(peers) = Peers::for_test(&[Peer::Alertmanager, Peer::Amtool]) else { return };
    /// let alertmanager = Alertmanager::start(&peers);
    /// ```
    pub fn for_test(needs: &[Peer]) -> Option<Peers> {
        let peers = Peers::locate();
        let absent: Vec<_> = needs
            .iter()
            .filter(|peer| peers.program(**peer).is_none())
            .map(|peer| peer.file_name())
            .collect();
        if absent.is_empty() {
            return Some(peers);
        }
        let thread = std::thread::current();
        let message = format!(
            "LEFT OUT {}: no {} in {} (`cargo xtask test --only peers` fetches them)",
            thread.name().unwrap_or("a test"),
            absent.join(", "),
            peers.root.display()
        );
        assert!(!in_ci(), "{message}");
        // Not eprintln!: the test runner would swallow that of a test that passes.
        let _ = writeln!(std::io::stderr(), "{message}");
        None
    }

    /// Where the peers are unpacked.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a peer's executable, if it has been fetched.
    pub fn program(&self, peer: Peer) -> Option<PathBuf> {
        let name = peer.file_name();
        if peer.package() == POSTGRESQL {
            let versions = std::fs::read_dir(self.root.join("usr/lib/postgresql")).ok()?.flatten();
            let found = versions.map(|version| version.path().join("bin").join(name));
            return found.filter(|path| path.is_file()).max();
        }
        let folder = match peer {
            Peer::RabbitMq => self.versioned("usr/lib/erlang", "erts-")?.join("bin"),
            Peer::Systemd => self.root.join("lib/systemd"),
            Peer::Runc => self.root.join("usr/sbin"),
            Peer::BridgePlugin => self.root.join("usr/lib/cni"),
            _ => self.root.join("usr/bin"),
        };
        let path = folder.join(name);
        path.is_file().then_some(path)
    }

    /// The folder in `parent` whose name begins with `prefix` and ends with a version.
    pub(crate) fn versioned(&self, parent: &str, prefix: &str) -> Option<PathBuf> {
        let children = std::fs::read_dir(self.root.join(parent)).ok()?.flatten();
        let named = children.filter(|child| child.file_name().to_string_lossy().starts_with(prefix));
        named.map(|child| child.path()).max()
    }

    /// A command that runs `peer` with the libraries that were fetched with it.
    ///
    /// # Panics
    /// When the peer has not been fetched.
    pub fn command(&self, peer: Peer) -> Command {
        let Some(program) = self.program(peer) else {
            panic!("no {} in {}: run `cargo xtask test --only peers`", peer.file_name(), self.root.display());
        };
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.library_path());
        if peer == Peer::Valgrind {
            command.env("VALGRIND_LIB", self.root.join("usr/libexec/valgrind"));
        }
        command
    }

    /// The folders of fetched shared libraries, as `LD_LIBRARY_PATH` wants them. Only libraries that the
    /// machine lacks are ever fetched, so none of the machine's own is replaced by one of another version.
    pub(crate) fn library_path(&self) -> OsString {
        let mut folders = Vec::new();
        for lib in [self.root.join("usr/lib"), self.root.join("lib")] {
            let children = std::fs::read_dir(&lib).into_iter().flatten().flatten();
            folders.extend(children.map(|entry| entry.path()).filter(|path| path.is_dir()));
            // Of systemd's own libraries, whose names have its version in them.
            folders.extend(
                folders.clone().into_iter().map(|folder| folder.join("systemd")).filter(|path| path.is_dir()),
            );
            folders.push(lib);
        }
        std::env::join_paths(folders).unwrap_or_default()
    }
}

/// Whether `CI` is set to something other than `false`: then no test may be left out.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Cargo's target folder for this workspace.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}
