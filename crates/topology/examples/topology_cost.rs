//! What a look at the topology costs: `cargo run --release -p larnax-topology --example topology_cost [LOOKS]`.
//!
//! Starts 200 idle processes, and two that hold 1,000 connections with each other, so 2,000 sockets, and looks. Then once
//! more with connections that come and go between two looks.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use larnax_core::{Component, ComponentId, Timestamp};
use larnax_topology::{KnownTarget, Observer, ObserverOptions};

const IDLE: usize = 200;
const CONNECTIONS: usize = 1_000;

/// Children that end with this process.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("server") => serve(),
        Some("client") => call(args.next().unwrap_or_default().parse()?),
        Some("idle") => {
            std::io::stdin().read_exact(&mut [0])?;
            Ok(())
        }
        looks => measure(looks.map_or(Ok(50), str::parse)?),
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    tell(listener.local_addr()?)?;
    let mut held = Vec::new();
    loop {
        held.push(listener.accept()?);
        if held.len() > CONNECTIONS {
            // More than are held come only to go again.
            held.pop();
        }
    }
}

fn call(to: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let held: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(to)).collect::<Result<_, _>>()?;
    tell(listener.local_addr()?)?;
    // One connection more for each byte.
    let mut more = None;
    while std::io::stdin().read(&mut [0])? > 0 {
        more.replace(TcpStream::connect(to)?);
    }
    drop((held, more));
    Ok(())
}

fn tell(address: SocketAddr) -> std::io::Result<()> {
    println!("{address}");
    std::io::stdout().flush()
}

fn measure(looks: usize) -> Result<(), Box<dyn Error>> {
    let mut children = Children(Vec::new());
    let mut start =
        |args: &[&str]| -> Result<(Option<std::process::ChildStdin>, Option<SocketAddr>), Box<dyn Error>> {
            let mut child = Command::new(std::env::current_exe()?)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let (input, output) = (child.stdin.take(), child.stdout.take());
            children.0.push(child);
            if args == ["idle"] {
                return Ok((input, None));
            }
            let mut line = String::new();
            BufReader::new(output.ok_or("no output")?).read_line(&mut line)?;
            Ok((input, Some(line.trim().parse()?)))
        };
    let mut inputs = Vec::new();
    for _ in 0..IDLE {
        inputs.push(start(&["idle"])?.0);
    }
    let (_input, server) = start(&["server"])?;
    let server = server.ok_or("no address")?;
    let (client_input, client) = start(&["client", &server.to_string()])?;
    let mut client_input = client_input.ok_or("no input")?;

    let target = |name: &str, address| KnownTarget {
        component: Component {
            id: ComponentId::from_parts("service", "cost", name),
            group: "cost".to_owned(),
            labels: BTreeMap::new(),
        },
        address,
    };
    let known = [target("server", server), target("client", client.ok_or("no address")?)];
    let mut observer = Observer::new(ObserverOptions::new("cost".to_owned(), None));
    for (what, comes_and_goes) in [("the same connections", false), ("a new connection for each look", true)]
    {
        let mut took = Vec::new();
        let mut edges = 0;
        for look in 0..looks {
            if comes_and_goes {
                client_input.write_all(&[0])?;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let began = Instant::now();
            let delta = observer.look(&known, Timestamp::from_seconds(look as f64));
            took.push(began.elapsed().as_secs_f64() * 1e3);
            edges = delta.map_or(edges, |delta| delta.edges.len());
        }
        let first: Vec<String> = took.iter().take(6).map(|ms| format!("{ms:.2}")).collect();
        took.sort_by(f64::total_cmp);
        println!(
            "{what}: first {} ms, median {:.2} ms, largest {:.2} ms; CPU {:.2} ms; {edges} edges; next look in {:?}",
            first.join(" "),
            took[took.len() / 2],
            took[took.len() - 1],
            observer.cost() * 1e3,
            observer.next_look()
        );
    }
    Ok(())
}
