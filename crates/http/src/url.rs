//! URLs: the part of RFC 3986 that a client needs, with secrets kept out of what is shown.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use crate::{HttpError, Secret};

/// An `http` or `https` URL, checked. Cheap to clone.
///
/// Shown without user, password and query, which may hold secrets; without path too after [`Url::with_secret_path`].
#[derive(Clone)]
pub struct Url {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    path: PathAndQuery,
    host_header: HeaderValue,
    userinfo: Option<(String, Secret)>,
    secret_path: bool,
}

impl Url {
    /// Checks and splits a URL. A fragment is dropped. `user:password@` is understood (percent-decoded) and used as
    /// basic auth where the client has no other.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        Self::split(text).map_err(|reason| HttpError::Url { url: shown(text), reason })
    }

    fn split(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("its scheme is neither http nor https"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(credentials(userinfo)?), host_port),
            None => (None, authority),
        };
        let (host, port) = split_host_port(host_port)?;
        let default_port = if tls { 443 } else { 80 };
        let port = port.unwrap_or(default_port);
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let host_header = if port == default_port { bracketed } else { format!("{bracketed}:{port}") };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            path: PathAndQuery::try_from(path)
                .map_err(|_| "its path has characters that must be percent-encoded")?,
            host_header: HeaderValue::try_from(host_header).map_err(|_| "its host has foreign characters")?,
            userinfo,
            secret_path: false,
        })
    }

    /// The same URL whose path is never shown: chat services put the secret of a webhook there.
    pub fn with_secret_path(mut self) -> Self {
        self.secret_path = true;
        self
    }

    /// Where a `Location` or a relative reference leads, seen from here. Keeps [`Url::with_secret_path`].
    pub fn join(&self, reference: &str) -> Result<Self, HttpError> {
        let scheme = if self.tls { "https" } else { "http" };
        let host = self.host_header.to_str().unwrap_or_default();
        let absolute = if reference.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':')) {
            reference.to_owned()
        } else if let Some(rest) = reference.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if reference.starts_with('/') {
            format!("{scheme}://{host}{reference}")
        } else if reference.starts_with('?') {
            format!("{scheme}://{host}{}{reference}", self.path.path())
        } else {
            let folder = self.path.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{host}{folder}/{reference}")
        };
        let mut joined = Self::parse(&absolute)?;
        joined.secret_path = self.secret_path;
        Ok(joined)
    }

    /// Whether it asks for TLS.
    pub fn is_https(&self) -> bool {
        self.tls
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or that of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as sent.
    pub fn path_and_query(&self) -> &str {
        self.path.as_str()
    }

    /// Whether what is sent there never leaves this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether both are the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.port == other.port && self.host == other.host
    }

    pub(crate) fn target(&self) -> &PathAndQuery {
        &self.path
    }

    /// What a request to it says in `Host`.
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    pub(crate) fn userinfo(&self) -> Option<&(String, Secret)> {
        self.userinfo.as_ref()
    }
}

impl FromStr for Url {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        Self::parse(text)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host_header.to_str().unwrap_or_default())?;
        if self.secret_path {
            return f.write_str("/…");
        }
        f.write_str(self.path.path())?;
        f.write_str(if self.path.query().is_some() { "?…" } else { "" })
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn split_host_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("its IPv6 address has no closing bracket")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("something stands between its host and its port"),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:".contains(&b)) {
        return Err("its host has characters other than letters, digits, `-`, `.` and `_`");
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|&port| port > 0).ok_or("its port is not between 1 and 65535")?)
        }
        Some(_) => return Err("its port is no number"),
    };
    Ok((host, port))
}

fn credentials(userinfo: &str) -> Result<(String, Secret), &'static str> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    Ok((percent_decode(user)?, Secret::new(percent_decode(password)?)))
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    const BAD: &str = "its user or password is not percent-encoded UTF-8";
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or(BAD);
        let (high, low) = (digit()?, digit()?);
        decoded.push((high * 16 + low) as u8);
    }
    String::from_utf8(decoded).map_err(|_| BAD)
}

/// A text that is no URL, without what may be secret in it, short and printable.
fn shown(text: &str) -> String {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = without_query.split_once("://").unwrap_or(("", without_query));
    // Up to the last `@` of all, not of the authority: an unescaped `/` in a password moves the authority's end.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{rest}").chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_split_into_what_a_connection_needs() {
        let url = Url::parse("https://user:p%40ss@Host.example/a/b?x=1#part").unwrap();
        assert!(url.is_https() && url.host() == "host.example" && url.port() == 443);
        assert_eq!(url.path_and_query(), "/a/b?x=1");
        let (user, password) = url.userinfo().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("user", "p@ss"));
        let url = Url::parse("http://[::1]:9100").unwrap();
        assert_eq!((url.host(), url.port(), url.path_and_query()), ("::1", 9100, "/"));
        assert_eq!(url.host_header().to_str().unwrap(), "[::1]:9100");
        assert!(url.is_loopback() && Url::parse("http://127.8.0.1/").unwrap().is_loopback());
        assert!(!Url::parse("http://10.0.0.1/").unwrap().is_loopback());
    }

    #[test]
    fn what_may_be_secret_is_never_shown() {
        let url = Url::parse("http://user:hush@host:9100/metrics?token=hush").unwrap();
        assert_eq!(url.to_string(), "http://host:9100/metrics?…");
        assert!(!format!("{url:?}").contains("hush"));
        assert_eq!(url.with_secret_path().to_string(), "http://host:9100/…");
        for bad in ["ftp://user:hush@host/", "http://user:hu/hush@host:port/", "user:hush@host"] {
            let message = Url::parse(bad).unwrap_err().to_string();
            assert!(!message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn a_text_that_is_no_url_says_why() {
        for (text, reason) in [
            ("localhost:9100", "no scheme"),
            ("ftp://a/", "neither http nor https"),
            ("http:///metrics", "no host"),
            ("http://a:99999/", "between 1 and 65535"),
            ("http://a:0/", "between 1 and 65535"),
            ("http://a:b/", "no number"),
            ("http://[::1/", "closing bracket"),
            ("http://[zz]/", "no IPv6 address"),
            ("http://a b/", "characters other than"),
            ("http://a/b c", "percent-encoded"),
        ] {
            let message = Url::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("expected http://"), "{text}: {message}");
        }
    }

    #[test]
    fn references_lead_where_a_browser_would_go() {
        let base = Url::parse("https://host:8443/a/b?x=1").unwrap();
        for (reference, expected) in [
            ("http://other/c", "http://other/c"),
            ("//other/c", "https://other/c"),
            ("/c", "https://host:8443/c"),
            ("c", "https://host:8443/a/c"),
            ("c?to=http://x", "https://host:8443/a/c?…"),
            ("?y=2", "https://host:8443/a/b?…"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected, "{reference}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_an_error(text in "(https?://)?.{0,60}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert!(!url.host().is_empty() && url.port() > 0 && url.path_and_query().starts_with('/'));
                let _ = url.join(&text);
            }
        }
    }
}
