//! etcd, API server, controllers and scheduler.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use larnax_test_peers::{Process, eventually};

use crate::network;
use crate::pki::Authority;
use crate::programs::Programs;

/// How long the API server may take, on a machine that is busy.
const READY: Duration = Duration::from_secs(120);
/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(10);

/// A control plane, of which nodes know where it is. Ended in the order of its fields.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    scheduler: Process,
    controllers: Process,
    api: Process,
    etcd: Process,
    /// Where etcd is.
    store: String,
    /// Where its API is.
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts it in `folder`, with the certificates of `authority`, and waits until it is ready.
    ///
    /// # Panics
    /// When a part of it doesn't start; with its last words.
    pub(crate) fn start(programs: &Programs, folder: &Path, authority: &Authority) -> ControlPlane {
        certify(authority);
        let [port, client, peer] = free_ports();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for user in ["admin", "controllers", "scheduler"] {
            write_kubeconfig(folder, authority, address, user);
        }
        let store = format!("http://127.0.0.1:{client}");
        let mut etcd = Command::new(&programs.testkube);
        etcd.arg("etcd").arg(folder.join("etcd")).args([&store, &format!("http://127.0.0.1:{peer}")]);
        let mut etcd = Process::start("etcd", etcd, folder);
        etcd.ready(SocketAddr::from((Ipv4Addr::LOCALHOST, client)), "/health");
        let api = Process::start("apiserver", api_server(programs, authority, &store, address), folder);
        let config = |user: &str| folder.join(format!("{user}.yaml"));
        // Their own pages are not needed: port 0 is none.
        let part = |name: &str, user: &str| {
            let mut command = Command::new(&programs.testkube);
            command.arg(name).args(["--leader-elect=false", "--secure-port=0", "--profiling=false"]);
            command.arg(flag("kubeconfig", &config(user)));
            command
        };
        let mut controllers = part("controller-manager", "controllers");
        controllers.args([
            "--use-service-account-credentials=true".to_owned(),
            flag("service-account-private-key-file", &authority.path("sa.key")),
            flag("root-ca-file", &authority.path("ca.crt")),
            flag("cluster-signing-cert-file", &authority.path("ca.crt")),
            flag("cluster-signing-key-file", &authority.path("ca.key")),
            // So that what was on a node that died is soon elsewhere.
            "--node-monitor-grace-period=10s".to_owned(),
            "--node-monitor-period=1s".to_owned(),
        ]);
        let mut plane = ControlPlane {
            scheduler: Process::start("scheduler", part("scheduler", "scheduler"), folder),
            controllers: Process::start("controllers", controllers, folder),
            api,
            etcd,
            store,
            address,
            folder: folder.to_path_buf(),
        };
        eventually("the API server", READY, || plane.is_ready(programs).then_some(()));
        plane
    }

    /// Ends the API server and starts it again at its address.
    ///
    /// # Panics
    /// When it doesn't start.
    pub(crate) fn restart_api(&mut self, programs: &Programs, authority: &Authority) {
        self.api.terminate_or_kill(END);
        let command = api_server(programs, authority, &self.store, self.address);
        self.api = Process::start("apiserver", command, &self.folder);
        eventually("the API server", READY, || self.is_ready(programs).then_some(()));
    }

    /// The credentials of its administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.yaml")
    }

    /// Whether it can be worked with: pods can be created once the controllers have made their ServiceAccount.
    ///
    /// # Panics
    /// When a part of it has ended.
    fn is_ready(&mut self, programs: &Programs) -> bool {
        for part in [&mut self.etcd, &mut self.api, &mut self.controllers, &mut self.scheduler] {
            assert!(part.is_running(), "a part of the control plane has ended:\n{}", part.output());
        }
        let mut kubectl = Command::new(&programs.testkube);
        kubectl.args(["kubectl", "get", "serviceaccount", "default", "--request-timeout=5s"]);
        kubectl.arg(flag("kubeconfig", &self.kubeconfig()));
        kubectl.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // In this order each one's last words reach what they are meant for.
        for part in [&mut self.scheduler, &mut self.controllers, &mut self.api, &mut self.etcd] {
            part.terminate_or_kill(END);
        }
    }
}

fn certify(authority: &Authority) {
    let api = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1"];
    let service = network::API_SERVICE.to_string();
    authority.sign("apiserver", "kube-apiserver", "", &[&api[..], &[&service]].concat());
    authority.sign("admin", "admin", "system:masters", &[]);
    authority.sign("controllers", "system:kube-controller-manager", "", &[]);
    authority.sign("scheduler", "system:kube-scheduler", "", &[]);
    authority.sign("front-proxy", "front-proxy-client", "", &[]);
}

fn api_server(programs: &Programs, authority: &Authority, store: &str, address: SocketAddr) -> Command {
    let file = |name: &str, file: &str| flag(name, &authority.path(file));
    let mut command = Command::new(&programs.testkube);
    command.arg("apiserver").args([
        format!("--etcd-servers={store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", address.port()),
        // An address of loopback is refused as that of the Service `kubernetes`; nothing keeps its endpoints.
        format!("--advertise-address={}", network::address(0)),
        "--endpoint-reconciler-type=none".to_owned(),
        // It finds the endpoints of a webhook's Service by itself, so that no kube-proxy is needed.
        "--enable-aggregator-routing=true".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--default-not-ready-toleration-seconds=5".to_owned(),
        "--default-unreachable-toleration-seconds=5".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        // Otherwise logs and exec look up the names of nodes in DNS.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--profiling=false".to_owned(),
    ]);
    command.args([
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("kubelet-client-certificate", "admin.crt"),
        file("kubelet-client-key", "admin.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        file("requestheader-client-ca-file", "ca.crt"),
        file("proxy-client-cert-file", "front-proxy.crt"),
        file("proxy-client-key-file", "front-proxy.key"),
    ]);
    command
}

/// Writes `USER.yaml`, by which the user of that name of the certificates reaches the API.
pub(crate) fn write_kubeconfig(folder: &Path, authority: &Authority, api: SocketAddr, user: &str) -> PathBuf {
    let shown = |file: &str| authority.path(file).display().to_string();
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{api}"),
            "certificate-authority": shown("ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": shown(&format!("{user}.crt")),
            "client-key": shown(&format!("{user}.key")),
        }}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    });
    let path = folder.join(format!("{user}.yaml"));
    fs::write(&path, config.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Ports that are free now. The API server refuses port 0, so the kernel can't choose when it binds.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no port: {error}"))
    });
    held.map(|listener| listener.local_addr().map_or(0, |address| address.port()))
}
