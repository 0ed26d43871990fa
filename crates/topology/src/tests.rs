use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

fn component(name: &str) -> Component {
    Component { id: id(name), group: "shop".to_owned(), labels: BTreeMap::new() }
}

fn id(name: &str) -> ComponentId {
    ComponentId::from_parts("service", "shop", name)
}

fn target(name: &str, address: SocketAddr) -> KnownTarget {
    KnownTarget { component: component(name), address }
}

fn calls(from: &str, to: &str) -> Edge {
    Edge { from: id(from), to: id(to), kind: EdgeKind::Calls }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn node() -> Component {
    let id = ComponentId::from_parts("node", "local", "edge-1");
    Component { id, group: "host".to_owned(), labels: BTreeMap::new() }
}

/// A machine as procfs shows it: an own namespace with two processes of one service, a server of another, and a pod.
fn machine(proc: &Path) {
    let write = |path: &str, text: &str| {
        let path = proc.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let link = |path: &str, to: &str| {
        let path = proc.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    };
    let line = |local: &str, remote: &str, state: &str, inode: u64| {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 20\n"
        )
    };
    let tcp = [
        line("0100007F:1BBD", "00000000:0000", "0A", 10),
        line("00000000:1BBE", "00000000:0000", "0A", 11),
        line("0100007F:0016", "00000000:0000", "0A", 12),
        // The worker of `api` to `orders`, and to a third port of `orders` that is not watched.
        line("0100007F:8000", "0100007F:1BBE", "01", 20),
        line("0100007F:8001", "0100007F:0016", "01", 21),
        // The node to the pod.
        line("0700000A:8002", "0201000A:0050", "01", 22),
    ];
    write("self/net/tcp", &tcp.concat());
    write("self/net/fib_trie", "  |-- 10.0.0.7\n     /32 host LOCAL\n");
    write("self/cgroup", "0::/own.slice\n");
    link("self/ns/net", "net:[1]");
    let process = |pid: u32, parent: u32, namespace: u64, cgroup: &str, sockets: &[u64]| {
        write(
            &format!("{pid}/stat"),
            &format!("{pid} (x) S {parent} 1 1 0 -1 64 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 1 1 0\n"),
        );
        write(&format!("{pid}/cgroup"), &format!("0::{cgroup}\n"));
        link(&format!("{pid}/ns/net"), &format!("net:[{namespace}]"));
        for (fd, socket) in sockets.iter().enumerate() {
            link(&format!("{pid}/fd/{fd}"), &format!("socket:[{socket}]"));
        }
    };
    process(1, 0, 1, "/", &[10]);
    process(100, 1, 1, "/system.slice/api.service", &[10]);
    process(101, 1, 1, "/system.slice/api.service", &[20, 22]);
    process(200, 1, 1, "/system.slice/orders.service", &[11, 12]);
    process(
        300,
        1,
        2,
        "/kubepods/burstable/pod1a2b3c4d-0000-1111-2222-333344445555/3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f3f0e2b7a9c4d1e8f",
        &[30],
    );
    let pod =
        [line("00000000:0050", "00000000:0000", "0A", 30), line("0201000A:9000", "0700000A:1BBE", "06", 0)];
    write("300/net/tcp", &pod.concat());
    write("300/net/fib_trie", "  |-- 10.0.1.2\n     /32 host LOCAL\n");
    std::fs::remove_file(proc.join("1/fd/0")).unwrap();
}

#[cfg(target_endian = "little")]
#[test]
fn components_of_a_machine_and_a_pod_are_found_with_their_calls_and_places() {
    let proc = tempfile::tempdir().unwrap();
    machine(proc.path());
    let known = [
        target("api", "127.0.0.1:7101".parse().unwrap()),
        target("orders", "127.0.0.1:7102".parse().unwrap()),
        target("pod", "10.0.1.2:80".parse().unwrap()),
        target("elsewhere", "10.9.9.9:80".parse().unwrap()),
    ];
    let options = ObserverOptions {
        proc: proc.path().to_owned(),
        ..ObserverOptions::new("edge-1".to_owned(), Some(node()))
    };
    let mut observer = Observer::new(options);
    let delta = observer.look(&known, at(0.0)).unwrap();
    let runs_on = |name| Edge { from: id(name), to: node().id, kind: EdgeKind::RunsOn };
    let expected = BTreeSet::from([
        calls("api", "orders"),
        calls("api", "pod"),
        calls("pod", "orders"),
        runs_on("api"),
        runs_on("orders"),
        runs_on("pod"),
    ]);
    assert_eq!(delta.edges.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!((delta.by.as_str(), delta.ttl_seconds), ("edge-1", Some(600.0)));
    let labels: BTreeMap<String, BTreeMap<String, String>> =
        delta.components.iter().map(|c| (c.id.name().to_owned(), c.labels.clone())).collect();
    assert_eq!(labels.len(), 5);
    assert_eq!(labels["api"]["systemd_unit"], "api.service");
    assert_eq!(labels["pod"]["container_id"], "3f0e2b7a9c4d");
    assert_eq!(labels["pod"]["pod_uid"], "1a2b3c4d-0000-1111-2222-333344445555");
    assert!(labels["elsewhere"].is_empty() && labels["edge-1"].is_empty());

    assert_eq!(observer.look(&known, at(15.0)), None, "nothing new");
    assert!(observer.look(&known, at(300.0)).is_some(), "half of its time is over");
    // The machine is idle, then a component is no longer watched.
    std::fs::write(proc.path().join("self/net/tcp"), "").unwrap();
    assert_eq!(observer.look(&known, at(310.0)), None, "what was seen is kept");
    let delta = observer.look(&known[..1], at(320.0)).unwrap();
    assert_eq!((delta.removed_components.len(), delta.edges), (3, vec![runs_on("api")]));
    assert!(delta.removed_edges.contains(&calls("api", "orders")));
}

#[test]
fn without_procfs_components_are_told_without_edges() {
    let options = ObserverOptions {
        proc: "/nowhere".into(),
        ..ObserverOptions::new("edge-1".to_owned(), Some(node()))
    };
    let mut observer = Observer::new(options);
    let delta = observer.look(&[target("api", "127.0.0.1:7101".parse().unwrap())], at(0.0)).unwrap();
    assert_eq!((delta.components.len(), delta.edges.len()), (2, 0));
    let mut nothing = Observer::new(ObserverOptions {
        proc: "/nowhere".into(),
        ..ObserverOptions::new(String::new(), None)
    });
    assert_eq!(nothing.look(&[], at(0.0)), None);
}

#[test]
fn a_url_is_a_target_when_its_host_is_an_address() {
    let of = |url: &str| {
        KnownTarget::of_url(component("a"), &Url::parse(url).unwrap()).map(|t| t.address.to_string())
    };
    assert_eq!(of("http://localhost:7101/metrics").as_deref(), Some("127.0.0.1:7101"));
    assert_eq!(of("https://[::1]/metrics").as_deref(), Some("[::1]:443"));
    assert_eq!(of("http://10.0.0.7:9100/metrics").as_deref(), Some("10.0.0.7:9100"));
    assert_eq!(of("http://orders.shop:80/"), None);
}

/// Another process that listens, or that connects and holds on: this test, started again.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ROLE: &str = "LARNAX_TEST_CALLS";

/// Not a test of its own: the process that [`Other`] is. It listens, connects to the address given, tells its own and waits.
#[test]
fn the_other_process() {
    let Ok(to) = std::env::var(ROLE) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = (!to.is_empty()).then(|| TcpStream::connect(&to).unwrap());
    println!("\nlistening on {}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    // Until the parent ends, which closes the pipe.
    let _ = std::io::stdin().read(&mut [0]);
    drop(connection);
}

fn start(calls: &str) -> (Other, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["tests::the_other_process", "--exact", "--nocapture"])
        .env(ROLE, calls)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let other = Other(child);
    let lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let address =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
    (other, address.unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn processes_that_are_connected_over_loopback_are_seen_to_call_each_other() {
    let (_orders, orders_at) = start("");
    let (_api, api_at) = start(&orders_at.to_string());
    // This process connects too, but is not watched.
    let mine = TcpStream::connect(orders_at).unwrap();
    let known = [target("api", api_at), target("orders", orders_at)];
    let mut observer = Observer::new(ObserverOptions::new("edge-1".to_owned(), Some(node())));
    // A busy machine has more processes than are looked at in one look.
    let mut edges = Vec::new();
    for second in 0..200 {
        edges = observer.look(&known, at(f64::from(second))).map_or(edges, |delta| delta.edges);
        if edges.contains(&calls("api", "orders")) {
            break;
        }
    }
    let found: Vec<_> = edges.iter().filter(|edge| edge.kind == EdgeKind::Calls).collect();
    assert_eq!(found, [&calls("api", "orders")]);
    assert_eq!(edges.len(), 3, "both run on this machine: {edges:?}");
    assert!(observer.cost() > 0.0);
    drop(mine);
}
