//! Who may ask.
//!
//! On loopback a request must name a loopback host: otherwise any web page that a person of this machine looks at could read
//! the API through a host name that resolves to 127.0.0.1. Nor may such a page send anything: a request that changes something
//! comes from the same origin or from no page at all.

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use larnax_http::Secret;

use crate::LocalFuture;
use crate::answer::{Answer, error};
use crate::tls::Certificate;

/// Who may ask without the server's token, by one of another kind.
pub trait Callers: std::fmt::Debug {
    /// Who brings `token`, if they may ask at `path`.
    fn who<'a>(&'a self, token: &'a str, path: &'a str) -> LocalFuture<'a, Option<Caller>>;
}

/// Who was let in without the server's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it is called, as `shop/pay-7d4f-x2x`.
    pub name: String,
}

/// Who is let in.
#[derive(Debug)]
pub struct Door {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// What a request must bring as `Authorization: Bearer TOKEN`; none lets everybody in who reaches it.
    pub token: Option<Secret>,
    /// Who else may ask, where there is a token.
    pub callers: Option<Rc<dyn Callers>>,
    /// The most connections at once; one more is closed at once.
    pub max_connections: usize,
    /// The certificate that is shown; none speaks plain HTTP.
    pub certificate: Option<Certificate>,
    /// Types of a body that may be sent to `/api/`, apart from `application/json`.
    pub content_types: &'static [&'static str],
}

impl Door {
    /// Who brings no token of this server, but one that others are known by.
    pub(crate) async fn caller<B>(&self, request: &Request<B>) -> Option<Caller> {
        let (callers, token) = (self.callers.as_ref()?, self.token.as_ref()?);
        let given = bearer(request.headers());
        if given.is_empty() || same(given.as_bytes(), token.expose().as_bytes()) {
            return None;
        }
        callers.who(given, request.uri().path()).await
    }

    /// The refusal of who may not ask, see the head of this file; none lets a request in. One by a known caller needs no token.
    pub(crate) fn refuse<B>(
        &self,
        request: &Request<B>,
        by_caller: bool,
        has_page: impl Fn(&str) -> bool,
    ) -> Option<Answer> {
        let headers = request.headers();
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let path = request.uri().path();
        if let Some(token) = &self.token {
            // Health probes come from an orchestrator that has no token, and say nothing but yes or no. The page's files
            // are the same everywhere; it asks its reader for the token.
            let open = matches!(path, "/-/healthy" | "/-/ready") || has_page(path);
            let given = bearer(headers);
            if !open && !by_caller && (given.is_empty() || !same(given.as_bytes(), token.expose().as_bytes()))
            {
                let mut refusal = error(
                    StatusCode::UNAUTHORIZED,
                    "expected the header `Authorization: Bearer TOKEN` with this server's token".to_owned(),
                );
                refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return Some(refusal);
            }
        } else if self.listen.ip().is_loopback() {
            let host = text(header::HOST);
            if !is_loopback_host(host) {
                return Some(error(
                    StatusCode::FORBIDDEN,
                    format!("the request names the host `{host}`, expected localhost or a loopback address"),
                ));
            }
        }
        // A page may open a WebSocket to anywhere, and says where it is from.
        let upgrades = headers.contains_key(header::UPGRADE);
        if request.method() != Method::POST && !upgrades {
            return None;
        }
        // What is no address of a page, such as `null`, is nobody's own. No foreign page knows a token.
        let origin = text(header::ORIGIN);
        if self.token.is_none()
            && headers.contains_key(header::ORIGIN)
            && origin.split_once("://").map(|(_, host)| host) != Some(text(header::HOST))
        {
            return Some(error(StatusCode::FORBIDDEN, format!("a page of `{origin}` may not send this")));
        }
        let content_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        let known = content_type == "application/json" || self.content_types.contains(&content_type);
        if path.starts_with("/api/") && !upgrades && !known {
            // A page of another origin can't send this type without asking first.
            return Some(error(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected the header `Content-Type: application/json`".to_owned(),
            ));
        }
        None
    }
}

/// The token that a request brings; empty where it brings none.
fn bearer(headers: &HeaderMap) -> &str {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given.trim(),
        _ => "",
    }
}

/// An answer with what browsers must know of it.
pub(crate) fn sealed(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
        ),
    );
    answer
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
