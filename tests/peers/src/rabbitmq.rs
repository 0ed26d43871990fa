//! A real RabbitMQ.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::peers::{Peer, Peers};
use crate::process::Process;
use crate::wait::eventually;

/// What the broker is told. It takes guests on loopback only, as it does by itself, and needs little of the machine.
const CONFIG: &str = "\
log.console.level = warning
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 1MB
";

/// How long it may take until it is ready: 4 s of processor time, and tests run beside compilers.
const START: Duration = Duration::from_secs(120);

/// The first bytes of a client, to which a broker that is ready answers with a frame (AMQP 0-9-1, section 4.2.2).
const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A running RabbitMQ with a data folder of its own, without plugins and without a cluster.
///
/// ```no_run
/// use larnax_test_peers::{Peer, Peers, RabbitMq};
///
/// let Some(peers) = Peers::for_test(&[Peer::RabbitMq]) else { return };
/// let mut broker = RabbitMq::start(&peers);
/// println!("{}", broker.url());
///
/// broker.stop(); // a sudden death
/// broker.start_again(); // at the same address, with what was durable
/// ```
#[derive(Debug)]
pub struct RabbitMq {
    process: Process,
    address: SocketAddr,
    peers: Peers,
    folder: TempDir,
}

impl RabbitMq {
    /// Starts a broker and waits until it takes connections.
    ///
    /// # Panics
    /// When it has not been fetched or doesn't become ready.
    pub fn start(peers: &Peers) -> RabbitMq {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let (process, address) = run(peers, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder.path());
        RabbitMq { process, address, peers: peers.clone(), folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with the user who may do everything.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// Begins an outage: kills it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Ends an outage: starts it again at the same address.
    ///
    /// # Panics
    /// When it doesn't become ready.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = run(&self.peers, self.address, self.folder.path()).0;
    }
}

fn run(peers: &Peers, address: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let files = [
        ("rabbitmq.conf", CONFIG.to_owned()),
        ("enabled_plugins", "[].\n".to_owned()),
        ("advanced.config", listening_at(address)),
    ];
    for (name, content) in files {
        if let Err(error) = std::fs::write(folder.join(name), content) {
            panic!("{name} can't be written: {error}");
        }
    }
    let mut process = Process::start("rabbitmq", command(peers, folder), folder);
    let address = process.listening_within(START);
    eventually("RabbitMQ's first frame", START, || greets(address).then_some(()));
    (process, address)
}

/// The option that the other config file can't express: any port.
fn listening_at(address: SocketAddr) -> String {
    format!("[{{rabbit, [{{tcp_listeners, [{{\"{}\", {}}}]}}]}}].\n", address.ip(), address.port())
}

fn greets(address: SocketAddr) -> bool {
    let mut first = [0];
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(HELLO)?;
        stream.read_exact(&mut first)
    });
    asked.is_ok() && first == [1]
}

/// Erlang's machine, started as Debian's scripts `rabbitmq-server` and `erl` do it, with folders that those don't leave
/// open. They are not run themselves: they know only the installed places.
fn command(peers: &Peers, folder: &Path) -> Command {
    let machine = peers.command(Peer::RabbitMq);
    let server = peers.versioned("usr/lib/rabbitmq/lib", "rabbitmq_server-");
    let (Some(bin), Some(server)) = (Path::new(machine.get_program()).parent(), server) else {
        panic!("no RabbitMQ in {}: run `cargo xtask test --only peers`", peers.root().display());
    };
    let mut command = Command::new(bin.join("erlexec"));
    command
        .env("LD_LIBRARY_PATH", peers.library_path())
        .env("ROOTDIR", peers.root().join("usr/lib/erlang"))
        .env("BINDIR", bin)
        .env("EMU", "beam")
        .env("PROGNAME", "erl")
        .env("ERL_LIBS", server.join("plugins"))
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .env("HOME", folder)
        .env("SYS_PREFIX", folder)
        .env("RABBITMQ_HOME", &server)
        .env("RABBITMQ_PLUGINS_DIR", server.join("plugins"))
        .env("RABBITMQ_NODENAME", "rabbit@localhost")
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", folder.join("generated"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", folder.join("pid"));
    command.args(["-noinput", "-boot", "start_sasl", "-s", "rabbit", "boot", "+W", "w"]);
    // Its threads must not spin while they wait: other tests need the processor.
    command.args(["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]);
    // A node that has its name from the start asks no register of nodes (epmd), a second process on a port that all nodes
    // of a machine share; one that doesn't listen for other nodes needs no port for them, and believes any.
    command.args(["-sname", "rabbit@localhost", "-dist_listen", "false", "-start_epmd", "false"]);
    command.args(["-erl_epmd_port", "1"]);
    command
}
