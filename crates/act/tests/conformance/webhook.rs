//! A receiver of webhooks that does as it is told, keyed as it should be.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it has done: how often, and what is in effect.
#[derive(Default)]
pub struct Said {
    pub keys: BTreeSet<String>,
    pub done: i32,
    pub bodies: Vec<String>,
}

pub struct Receiver {
    pub address: SocketAddr,
    pub said: Arc<Mutex<Said>>,
    /// The status of its answers; 0 for none at all.
    pub status: Arc<Mutex<u16>>,
    open: Arc<Mutex<bool>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            said: Arc::default(),
            status: Arc::new(Mutex::new(200)),
            open: Arc::new(Mutex::new(true)),
        };
        let (said, status, open) =
            (Arc::clone(&receiver.said), Arc::clone(&receiver.status), Arc::clone(&receiver.open));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !*open.lock().unwrap() {
                    return;
                }
                let status = *status.lock().unwrap();
                answer(stream, &said, status);
            }
        });
        receiver
    }

    /// From now on nobody listens there.
    pub fn close(&self) {
        *self.open.lock().unwrap() = false;
        let _ = TcpStream::connect(self.address);
        super::support::eventually("nobody listens", || TcpStream::connect(self.address).is_err());
    }
}

fn answer(stream: TcpStream, said: &Mutex<Said>, status: u16) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap()
            }
            Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => key = value.to_owned(),
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    if status == 200 {
        let mut said = said.lock().unwrap();
        if said.keys.insert(key) {
            said.done += if body.contains(r#""wanted":"undo""#) { -1 } else { 1 };
        }
        said.bodies.push(body);
    }
    if status == 0 {
        // Silence, with the connection open.
        std::thread::sleep(std::time::Duration::from_secs(5));
        return;
    }
    let _ =
        write!(reader.get_mut(), "HTTP/1.1 {status} x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}
