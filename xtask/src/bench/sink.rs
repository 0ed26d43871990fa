//! An HTTP server that accepts everything and counts the bytes that reach it: what a program sends while all
//! is normal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

/// A running sink. It serves until the program ends.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start() -> Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Sink { address: listener.local_addr()?, bytes: Arc::default() };
        let bytes = Arc::clone(&sink.bytes);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let bytes = Arc::clone(&bytes);
                // A connection that ends, however it does, is that client's affair.
                std::thread::spawn(move || serve(connection, &bytes));
            }
        });
        Ok(sink)
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes received so far: request lines, headers and bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// An empty JSON array.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";

/// Answers the requests of one connection, all the same, until the client closes it.
fn serve(connection: TcpStream, bytes: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = reader.read_line(&mut line)?;
            bytes.fetch_add(read as u64, Ordering::Relaxed);
            match line.trim_end().to_ascii_lowercase() {
                _ if read == 0 => return Ok(()),
                blank if blank.is_empty() => break,
                header => {
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                }
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        bytes.fetch_add(length, Ordering::Relaxed);
        writer.write_all(ANSWER)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_every_request_is_counted() {
        let sink = Sink::start().unwrap();
        let request = b"POST /api/v2/alerts HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]";
        let mut connection = TcpStream::connect(sink.address).unwrap();
        for times in 1..=2 {
            connection.write_all(request).unwrap();
            let mut answer = [0; ANSWER.len()];
            connection.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
            assert_eq!(sink.bytes(), times * request.len() as u64);
        }
    }
}
