//! A server that says exactly what a test wants it to say, byte by byte.

// Each test file uses its part of this module.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use larnax_http::{Client, ClientOptions, HttpError, Request, Response, Url};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};

/// Hands the n-th connection, from 0, to `handler`, one after the other.
pub async fn serve<F, Fut>(mut handler: F) -> SocketAddr
where
    F: FnMut(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for n in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            handler(n, stream).await;
        }
    });
    address
}

/// Reads one request, header and body; empty when the client has closed.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((header, body)) = text.split_once("\r\n\r\n") {
            let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::new();
        }
    }
}

pub fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A small limit on bodies, and time enough for a slow machine.
pub fn patient() -> ClientOptions {
    ClientOptions { timeout: Duration::from_secs(20), max_body: 1 << 20, ..Default::default() }
}

/// For tests that wait for the timeout.
pub fn impatient() -> ClientOptions {
    ClientOptions { timeout: Duration::from_millis(300), ..patient() }
}

pub fn url(address: SocketAddr) -> Url {
    Url::parse(&format!("http://user:hush@{address}/metrics?token=hush")).unwrap()
}

/// One GET with a client of its own. An error must not show what is secret.
pub async fn get(options: ClientOptions, url: &Url) -> Result<(Response, Vec<u8>), HttpError> {
    let mut body = Vec::new();
    let result = Client::new(options).unwrap().send(Request::get(url), &mut body).await;
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
    result.map(|response| (response, body))
}
