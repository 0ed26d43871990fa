//! A target that says exactly what a test wants it to say, byte by byte.

// Each test file uses its part of this module.
#![allow(dead_code, unreachable_pub)]

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use larnax_collect::scrape::{ScrapeOptions, ScrapeSource};
use larnax_collect::{Source, SourceError};
use larnax_core::{Batch, ManualClock, Schema, Timestamp};
use larnax_http::Url;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};

/// When the clock of every test starts.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

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

/// Reads one request; empty when the client has closed.
pub async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::new();
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A whole answer; `headers` each end in CRLF.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Arc<[u8]> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Small limits, time enough for a slow machine, and a URL with what must never be shown.
pub fn options(address: SocketAddr) -> ScrapeOptions {
    let url = Url::parse(&format!("http://user:hush@{address}/metrics?token=hush")).unwrap();
    ScrapeOptions {
        body_size_limit: 1 << 20,
        sample_limit: 100,
        ..ScrapeOptions::new(url, Duration::from_secs(5))
    }
}

/// A source whose clock stands at [`START`].
pub fn source(options: ScrapeOptions) -> ScrapeSource {
    ScrapeSource::new(options, Rc::new(ManualClock::at(START))).unwrap()
}

pub fn empty_batch() -> Batch {
    Batch::new(Schema::new(Vec::new()).unwrap())
}

/// Collects and expects an error, which must not show what is secret.
pub async fn failure(source: &mut dyn Source) -> SourceError {
    let error = source.collect(&mut empty_batch()).await.expect_err("the target is bad");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    assert!(!source.name().contains("hush"), "{}", source.name());
    error
}
