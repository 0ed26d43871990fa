//! A node: containerd, runc and a kubelet, in namespaces of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use larnax_image::{Entry, Image};
use larnax_test_peers::Process;
use serde_json::json;

use crate::control_plane::{ControlPlane, write_kubeconfig};
use crate::network::{self, BRIDGE, CGROUP, FIRST_POD, LAST_POD};
use crate::pki::Authority;
use crate::programs::Programs;

/// The name of the image that holds a pod together.
pub(crate) const PAUSE: &str = "docker.io/larnax-test/pause:1";
/// The script that is a node's first process.
const SCRIPT: &str = include_str!("node.sh");

/// A node. Dropped, everything on it is gone, as where a machine loses its power.
#[derive(Debug)]
pub(crate) struct Node {
    process: Process,
    pub(crate) name: String,
    folder: PathBuf,
}

impl Node {
    /// Starts node `number` of a cluster whose files are in `folder`; what was on it before is still there. It is ready when the
    /// API says so.
    ///
    /// # Panics
    /// When it can't be started.
    pub(crate) fn start(
        programs: &Programs,
        folder: &Path,
        authority: &Authority,
        plane: &ControlPlane,
        number: usize,
    ) -> Node {
        let name = format!("node-{number}");
        let address = network::address(number).to_string();
        let node = folder.join(&name);
        make(&node.join("cni"));
        network::make_cgroups(&name);
        authority.sign(&name, &format!("system:node:{name}"), "system:nodes", &[&name, &address]);
        let kubeconfig = write_kubeconfig(folder, authority, plane.address, &name);
        write(&node.join("cni/10-bridge.conflist"), &network_config(&node, number));
        write(&node.join("containerd.toml"), &containerd_config(programs, &node));
        write(&node.join("kubelet.json"), &kubelet_config(authority, &node, &name, &address));
        write(&node.join("resolv.conf"), "");
        write(&node.join("node.sh"), SCRIPT);
        // The kernel ends process 1 of the namespace when unshare ends, and with it everything in there.
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"])
            .arg(node.join("node.sh"));
        let runtime = programs.peers.command(larnax_test_peers::Peer::Containerd);
        for (variable, value) in runtime.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            command.env(variable, value);
        }
        let root = programs.peers.root();
        let path = [root.join("usr/bin"), root.join("usr/sbin")]
            .map(|folder| folder.display().to_string())
            .join(":");
        command.env("PATH", format!("{path}:/usr/sbin:/usr/bin:/sbin:/bin"));
        command.env("NODE", &node).env("NAME", &name).env("ADDRESS", &address);
        command.env("TESTKUBE", &programs.testkube).env("KUBECONFIG", kubeconfig);
        Node { process: Process::start(&name, command, folder), name, folder: node }
    }

    /// Everything that it has printed.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// Whether it was not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends it, as where a machine loses its power.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Gives it an image.
    ///
    /// # Panics
    /// When containerd doesn't take it.
    pub(crate) fn import(&self, programs: &Programs, archive: &Path) {
        let mut ctr = programs.peers.command(larnax_test_peers::Peer::Ctr);
        ctr.arg("--address").arg(self.folder.join("containerd.sock"));
        ctr.args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
        let output = ctr.output().unwrap_or_else(|error| panic!("ctr can't be run: {error}"));
        assert!(
            output.status.success(),
            "{}: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Writes the image that holds pods together into the folder from which nodes take them when they start.
pub(crate) fn write_pause(programs: &Programs, images: &Path) {
    make(images);
    let program =
        fs::read(&programs.pause).unwrap_or_else(|error| panic!("{}: {error}", programs.pause.display()));
    let image = Image {
        architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.to_owned(),
        entries: vec![Entry::File { path: "pause".to_owned(), content: program, executable: true }],
        entry_point: vec!["/pause".to_owned()],
        ..Image::default()
    };
    let archive = fs::File::create(images.join("pause.tar"));
    archive
        .and_then(|archive| larnax_image::write(PAUSE, &[image], archive))
        .unwrap_or_else(|error| panic!("the image {PAUSE}: {error}"));
}

/// A bridge without gateway and masquerading: that would take iptables.
fn network_config(node: &Path, number: usize) -> String {
    let range = |last: u8| format!("10.213.{number}.{last}");
    let gateway = network::address(0).to_string();
    let addresses = json!({
        "type": "host-local",
        "dataDir": node.join("addresses"),
        "ranges": [[{"subnet": "10.213.0.0/16", "rangeStart": range(FIRST_POD), "rangeEnd": range(LAST_POD), "gateway": gateway}]],
        "routes": [{"dst": "0.0.0.0/0", "gw": gateway}],
    });
    let bridge = json!({
        "type": "bridge", "bridge": BRIDGE, "isGateway": false, "ipMasq": false, "hairpinMode": true, "ipam": addresses,
    });
    json!({"cniVersion": "0.4.0", "name": "test", "plugins": [bridge]}).to_string()
}

fn containerd_config(programs: &Programs, node: &Path) -> String {
    let (node, root) = (node.display(), programs.peers.root().display());
    format!(
        r#"version = 2
root = "{node}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{node}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{root}/usr/lib/cni"
    conf_dir = "{node}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{root}/usr/sbin/runc"
        SystemdCgroup = false
"#
    )
}

fn kubelet_config(authority: &Authority, node: &Path, name: &str, address: &str) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority.path("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": authority.path(&format!("{name}.crt")),
        "tlsPrivateKeyFile": authority.path(&format!("{name}.key")),
        "containerRuntimeEndpoint": format!("unix://{}", node.join("containerd.sock").display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{CGROUP}/{name}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "enforceNodeAllocatable": ["pods"],
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "clusterDomain": network::DOMAIN,
        "clusterDNS": [network::address(0)],
        "resolvConf": node.join("resolv.conf"),
        "nodeStatusUpdateFrequency": "5s",
        // As in other clusters: whoever watches nodes would otherwise hear of each every five seconds. That it lives, leases say.
        "nodeStatusReportFrequency": "5m",
        "nodeLeaseDurationSeconds": 8,
        "syncFrequency": "10s",
    })
    .to_string()
}

fn make(folder: &Path) {
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
