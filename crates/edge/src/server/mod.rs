//! The agent's own HTTP server: health, metrics, the API, and the page where the program brings one.
//!
//! It binds loopback unless told otherwise, and refuses to listen beyond it without a token. On loopback a request must
//! name a loopback host: otherwise any web page that a person of this machine looks at could read the API through a host
//! name that resolves to 127.0.0.1. Nor may such a page send anything: a request that changes something comes from the
//! same origin or from no page at all.

pub mod api;
mod metrics;
#[cfg(feature = "openapi")]
pub mod openapi;
mod routes;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use larnax_spec::Secret;
use tokio::net::TcpListener;

use crate::agent::Agent;

/// The most connections at once; one more is closed at once.
const MAX_CONNECTIONS: usize = 64;
/// The longest time in which the head of a request must have come, and then its body.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that a request may have, in bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// Finds the file of a path such as `/` or `/assets/app.js`; none where there is no such file.
pub type Pages = fn(path: &str) -> Option<Page>;

/// What the server needs.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What a request must bring as `Authorization: Bearer TOKEN`; none lets everybody in who reaches it.
    pub token: Option<Secret>,
    /// The page, where the program has one.
    pub pages: Option<Pages>,
}

/// Takes requests until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, options: ServerOptions, agent: Rc<RefCell<Agent>>) {
    // Each connection holds a clone, however it ends.
    let open = Rc::new(());
    let options = Rc::new(options);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: waiting lets some close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        if Rc::strong_count(&open) > MAX_CONNECTIONS {
            continue;
        }
        let (agent, options, slot) = (Rc::clone(&agent), Rc::clone(&options), Rc::clone(&open));
        tokio::task::spawn_local(async move {
            let _slot = slot;
            let answer = |request| {
                let (agent, options) = (Rc::clone(&agent), Rc::clone(&options));
                async move { Ok::<_, std::convert::Infallible>(handle(request, &options, &agent).await) }
            };
            let result = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(READ_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer))
                .await;
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    options: &ServerOptions,
    agent: &Rc<RefCell<Agent>>,
) -> Response<Full<Bytes>> {
    let mut response = match refuse(&request, options) {
        Some(refusal) => refusal,
        None => {
            let (head, body) = request.into_parts();
            match read_body(body).await {
                Ok(body) => routes::answer(&head, &body, options, agent),
                Err(refusal) => refusal,
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
        ),
    );
    response
}

async fn read_body(body: Incoming) -> Result<Bytes, Response<Full<Bytes>>> {
    use http_body_util::BodyExt;
    let reading = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect());
    let Ok(read) = reading.await else {
        let message = format!("the body did not come within {} s", READ_TIMEOUT.as_secs());
        return Err(routes::error(StatusCode::REQUEST_TIMEOUT, message));
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(routes::error(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected at most {MAX_BODY_BYTES} bytes"),
        )),
        Err(error) => {
            Err(routes::error(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        }
    }
}

/// The refusal of who may not ask, see the head of this file; none lets a request in.
fn refuse(request: &Request<Incoming>, options: &ServerOptions) -> Option<Response<Full<Bytes>>> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let path = request.uri().path();
    if let Some(token) = &options.token {
        // Health probes come from an orchestrator that has no token, and say nothing but yes or no. The page's files are
        // the same everywhere; it asks its reader for the token.
        let page = || options.pages.is_some_and(|pages| pages(path).is_some());
        let open = matches!(path, "/-/healthy" | "/-/ready") || page();
        let given = match text(header::AUTHORIZATION).split_once(' ') {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
            _ => "",
        };
        if !open && (given.is_empty() || !same(given.as_bytes(), token.expose().as_bytes())) {
            let mut refusal = routes::error(
                StatusCode::UNAUTHORIZED,
                "expected the header `Authorization: Bearer TOKEN` with this agent's token".to_owned(),
            );
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(refusal);
        }
    } else if options.listen.ip().is_loopback() {
        let host = text(header::HOST);
        if !is_loopback_host(host) {
            return Some(routes::error(
                StatusCode::FORBIDDEN,
                format!("the request names the host `{host}`, expected localhost or a loopback address"),
            ));
        }
    }
    if request.method() != Method::POST {
        return None;
    }
    // What is no address of a page, such as `null`, is nobody's own. No foreign page knows a token.
    let origin = text(header::ORIGIN);
    if options.token.is_none()
        && headers.contains_key(header::ORIGIN)
        && origin.split_once("://").map(|(_, host)| host) != Some(text(header::HOST))
    {
        return Some(routes::error(StatusCode::FORBIDDEN, format!("a page of `{origin}` may not send this")));
    }
    let json = text(header::CONTENT_TYPE).starts_with("application/json");
    if path.starts_with("/api/") && !json {
        // A page of another origin can't send this type without asking first.
        return Some(routes::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected the header `Content-Type: application/json`".to_owned(),
        ));
    }
    None
}

/// Takes the same time wherever the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_loopback_hosts() {
        for host in ["localhost", "LOCALHOST:7676", "127.0.0.1", "127.3.0.1:7676", "[::1]:7676", "[::1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in
            ["", "example.org", "127.0.0.1.example.org", "10.0.0.1:7676", "[::2]", "localhost.example.org"]
        {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn tokens_are_the_same_only_when_all_bytes_are() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secret", b"secreT") && !same(b"secret", b"secre") && !same(b"", b"s"));
    }
}
