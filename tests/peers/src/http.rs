//! The smallest HTTP client that can ask a peer on 127.0.0.1. Not Larnax's own: a test must not share its
//! faults.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a peer on the same machine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// The body, with what isn't UTF-8 replaced.
    pub body: String,
}

/// `GET path` from `address`.
///
/// ```no_run
/// use larnax_test_peers::{NodeExporter, Peers, get};
///
/// let exporter = NodeExporter::start(&Peers::locate());
/// assert!(get(exporter.address(), "/metrics")?.body.contains("node_load1"));
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// When there is no connection, no answer within ten seconds, or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    ask(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"))
}

/// `GET path` from `address`, by who has the token.
///
/// # Errors
/// As [`get`].
pub fn get_as(address: SocketAddr, path: &str, token: &str) -> io::Result<Response> {
    ask(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

/// `POST path` with a JSON body to `address`. Errors are those of [`get`].
///
/// ```no_run
/// use larnax_test_peers::{Alertmanager, Peers, post};
///
/// let alertmanager = Alertmanager::start(&Peers::locate());
/// let alert = r#"[{"labels": {"alertname": "Flood"}}]"#;
/// assert_eq!(post(alertmanager.address(), "/api/v2/alerts", alert)?.status, 200);
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// As [`get`].
pub fn post(address: SocketAddr, path: &str, json: &str) -> io::Result<Response> {
    post_as(address, path, "application/json", json)
}

/// `POST path` with a CloudEvent to `address`.
///
/// # Errors
/// As [`get`].
pub fn post_event(address: SocketAddr, path: &str, event: &str) -> io::Result<Response> {
    post_as(address, path, "application/cloudevents+json", event)
}

/// `POST path` with a JSON body to `address`, by who has the token.
///
/// # Errors
/// As [`get`].
pub fn post_as_owner(address: SocketAddr, path: &str, json: &str, token: &str) -> io::Result<Response> {
    post_as(address, path, &format!("application/json\r\nAuthorization: Bearer {token}"), json)
}

fn post_as(address: SocketAddr, path: &str, media_type: &str, body: &str) -> io::Result<Response> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: {media_type}\r\n");
    ask(address, &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
}

/// HTTP/1.0, so that the answer comes whole, not chunked, and ends with the connection.
fn ask(address: SocketAddr, request: &str) -> io::Result<Response> {
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let malformed =
        || io::Error::new(io::ErrorKind::InvalidData, format!("{address} did not answer in HTTP"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    Ok(Response { status, body: body.to_owned() })
}

/// `text` as it may stand in a query string.
///
/// ```
/// assert_eq!(larnax_test_peers::percent_encoded("up == 1"), "up%20%3D%3D%201");
/// ```
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
