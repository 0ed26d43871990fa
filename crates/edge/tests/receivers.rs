//! Who is told, over real sockets: heartbeats from the config, and receivers that a reload brings and takes away.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use larnax_edge_role::discover;
use larnax_edge_role::server::api::ListenerReport;
use support::{run, send, start_reloading, target, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A receiver that takes everything, and what it was sent so far.
async fn receiver() -> (SocketAddr, Rc<RefCell<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Rc::new(RefCell::new(String::new()));
    let kept = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen: Rc<RefCell<String>> = Rc::clone(&seen);
            tokio::task::spawn_local(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    let ended = text.ends_with(['}', ']']);
                    seen.borrow_mut().push_str(&text);
                    if ended
                        && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (address, kept)
}

async fn until_told(seen: &RefCell<String>, what: &str) {
    for _ in 0..500 {
        if seen.borrow().contains(what) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("`{what}` was not sent, but {:?}", seen.borrow());
}

#[test]
fn a_heartbeat_is_sent_where_the_config_wants_one_and_a_reload_moves_it() {
    let state = tempfile::tempdir().unwrap();
    run(async {
        let ((first, first_seen), (second, second_seen)) = (receiver().await, receiver().await);
        let config = |to: SocketAddr| {
            format!("host: false\nalerts: {{alertmanagers: ['http://{to}'], heartbeat: true, resend: 60s}}")
        };
        let changed = Rc::new(Cell::new(None));
        let agent = start_reloading(&config(first), state.path(), Rc::clone(&changed), None).await;
        until_told(&first_seen, "LarnaxHeartbeat").await;
        assert!(first_seen.borrow().starts_with("POST /api/v2/alerts"));

        first_seen.borrow_mut().clear();
        changed.set(Some(config(second).leak()));
        send(agent, "POST /-/reload", &[], "").await;
        until_told(&second_seen, "LarnaxHeartbeat").await;
        until(agent, "/api/v1/status", |a| a.body.contains(&second.to_string())).await;
        assert_eq!(*first_seen.borrow(), "", "it is no receiver any more");
    });
}

#[test]
fn discovery_finds_those_listeners_that_have_metrics() {
    run(async {
        let metrics = target().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let found = [closed, metrics];
        let found = found.map(|a| ListenerReport { address: a.to_string(), process: None, watched: false });
        let clock: Rc<dyn larnax_core::Clock> = Rc::new(larnax_core::SystemClock);
        assert_eq!(discover::ask(&found, &clock).await, [metrics.to_string()]);
    });
}
