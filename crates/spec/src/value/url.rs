//! HTTP addresses.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, written_as_text};

/// The longest URL that is accepted, in bytes.
const MAX_URL_BYTES: usize = 4096;

/// An `http://` or `https://` address without user name, password or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(String);

impl Url {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Host and, where given, port: `example.org:9090`, `[::1]:9090`.
    pub fn authority(&self) -> &str {
        let rest = self.after_scheme();
        rest.get(..rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or_default()
    }

    /// Scheme, host and port: what may stand in a log, where the path may hold a webhook's token.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// Path and query as they are sent, at least `/`.
    pub fn path_and_query(&self) -> String {
        let rest = self.after_scheme();
        let tail = rest.get(self.authority().len()..).unwrap_or_default();
        if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") }
    }

    /// Whether it leads to this machine, without looking up names other than `localhost`.
    pub fn is_loopback(&self) -> bool {
        let authority = self.authority();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let ip = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    fn after_scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, rest)| rest)
    }
}

impl FromStr for Url {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // A URL with a user part may hold a password and that of a webhook a token, so neither is repeated.
        if text.split(['/', '?', '#']).nth(2).is_some_and(|authority| authority.contains('@')) {
            let message =
                "found a URL with a user name or password in it, expected one without: use basic_auth";
            return Err(ValueError(message.to_owned()));
        }
        let scheme = text.find("://").map_or(0, |at| at + 3);
        let host =
            text.get(scheme..).unwrap_or_default().find(['/', '?']).map_or(text.len(), |end| scheme + end);
        let shown =
            format!("{}{}", text.get(..host).unwrap_or_default(), if host < text.len() { "/…" } else { "" });
        let expected =
            |why: &str| ValueError::new(&shown, &format!("a URL such as `http://127.0.0.1:9093` ({why})"));
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or_else(|| expected("it begins with http:// or https://"))?;
        if text.len() > MAX_URL_BYTES {
            return Err(expected("at most 4096 bytes"));
        }
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
            return Err(expected(&format!("{odd:?} has to be percent-encoded")));
        }
        if text.contains('#') {
            return Err(expected("without a fragment `#…`"));
        }
        check_authority(rest.split(['/', '?']).next().unwrap_or_default()).map_err(|why| expected(&why))?;
        Ok(Self(text.to_owned()))
    }
}

/// `host`, `host:port`, `1.2.3.4:port`, `[v6]:port`.
pub(crate) fn check_authority(authority: &str) -> Result<(), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or("an IPv6 address has no closing `]`")?;
            let _: std::net::Ipv6Addr =
                host.parse().map_err(|_| "what stands in brackets is no IPv6 address".to_owned())?;
            match tail {
                "" => (host, None),
                tail => (host, Some(tail.strip_prefix(':').ok_or("after `]` comes `:` and a port")?)),
            }
        }
        None => match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets, as in `[::1]:9100`".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("a host name is missing".to_owned());
    }
    if let Some(odd) = host.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_:".contains(*c))) {
        return Err(format!("a host name has no {odd:?}"));
    }
    match port {
        Some(port)
            if !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse().is_ok_and(|p: u16| p > 0) =>
        {
            Err("a port is a number from 1 to 65535".to_owned())
        }
        _ => Ok(()),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(Url, "URL", "string", Some("^https?://"), "http://127.0.0.1:9093");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_an_authority_and_a_path() {
        let url: Url = "https://example.org:9093/prefix?x=1".parse().unwrap();
        assert_eq!((url.scheme(), url.authority()), ("https", "example.org:9093"));
        assert_eq!(url.origin(), "https://example.org:9093");
        assert_eq!(url.path_and_query(), "/prefix?x=1");
        for (text, loopback) in [
            ("http://localhost:1", true),
            ("http://127.0.0.9/x", true),
            ("https://[::1]:1", true),
            ("https://[::ffff:127.0.0.1]", true),
            ("http://127.0.0.1.example.org", false),
            ("http://10.0.0.1:1", false),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().is_loopback(), loopback, "{text}");
        }
        let url: Url = "http://[::1]:1?x".parse().unwrap();
        assert_eq!((url.authority(), url.path_and_query().as_str()), ("[::1]:1", "/?x"));
    }

    #[test]
    fn a_bad_url_says_why_and_never_repeats_a_password() {
        for (text, why) in [
            ("localhost:9093", "http:// or https://"),
            ("http://", "host name is missing"),
            ("http://a:0/", "from 1 to 65535"),
            ("http://a:+5/", "from 1 to 65535"),
            ("http://::1/", "in brackets"),
            ("http://[::x]/", "no IPv6"),
            ("http://a b/", "percent-encoded"),
            ("http://a/#f", "fragment"),
            ("http://ü.example/", "percent-encoded"),
        ] {
            let message = text.parse::<Url>().unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("found"), "{text}: {message}");
        }
        let message = "http://me:hunter2@host/".parse::<Url>().unwrap_err().to_string();
        assert!(!message.contains("hunter2") && message.contains("basic_auth"), "{message}");
    }
}
