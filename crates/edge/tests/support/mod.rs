//! An agent on a free port, a target for it to scrape, and requests over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub)]

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use larnax_core::SystemClock;
use larnax_edge_role::server::{Page, Pages};
use larnax_edge_role::{Deps, Edge};
use larnax_spec::Config;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Runs a test on one thread, as the agent does.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Starts an agent with a config (without `listen` and `state`); it runs until the test ends.
pub async fn start(yaml: &str, state: &Path) -> SocketAddr {
    start_reloading(yaml, state, Rc::default(), None).await
}

/// The same with a config that a reload finds changed, where `changed` has become something, and with a page.
pub async fn start_reloading(
    yaml: &str,
    state: &Path,
    changed: Rc<Cell<Option<&'static str>>>,
    pages: Option<Pages>,
) -> SocketAddr {
    let edge = Edge::create(Deps {
        config: config(yaml).unwrap(),
        reload: Box::new(move || config(changed.get().ok_or("nothing has changed")?)),
        state: state.to_owned(),
        clock: Rc::new(SystemClock),
        pages,
        keep_history: true,
        listeners: Vec::new(),
        hub: None,
    })
    .await
    .unwrap();
    let address = edge.address();
    tokio::task::spawn_local(edge.run());
    address
}

fn config(yaml: &str) -> Result<Config, String> {
    let text = format!("listen: 127.0.0.1:0\n{yaml}\n");
    Config::from_yaml(&text, "test").map(|(config, _)| config).map_err(|error| error.to_string())
}

/// The page of these tests.
pub fn page(path: &str) -> Option<Page> {
    (path == "/").then_some(Page { content_type: "text/html; charset=utf-8", bytes: b"<p>Larnax" })
}

/// A target with two gauges and a counter that goes up with each scrape.
pub async fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut scrapes = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            // One request at a time, each in one piece: that is how the scraper sends them.
            while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                scrapes += 1;
                let body = format!(
                    "# TYPE requests counter\nrequests_total {}\n# TYPE load gauge\nload 0.5\n\
                     # TYPE temperature gauge\ntemperature{{room=\"a\"}} 20.5\n",
                    scrapes * 10
                );
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        }
    });
    address
}

/// A config that scrapes `target` ten times a second.
pub fn scraping(target: SocketAddr) -> String {
    format!(
        "interval: 100ms\nscrape_configs: [{{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}]"
    )
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What an error says.
    pub fn error(&self) -> String {
        self.json::<larnax_edge_role::server::api::ErrorReport>().error
    }
}

/// Sends a request line, headers and a body, and reads until the connection is closed.
pub async fn send(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|h| h.starts_with("Host:")) {
        request += &format!("Host: {address}\r\n");
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    read(&mut stream).await
}

/// Reads an answer until the connection is closed.
pub async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A server that refuses a body closes before it has read it: what it said before counts.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, &format!("GET {path}"), &[], "").await
}

/// Asks again until the answer is as wanted.
pub async fn until(address: SocketAddr, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    for _ in 0..500 {
        let answer = get(address, path).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} never answered as wanted; at last {:?}", get(address, path).await)
}
