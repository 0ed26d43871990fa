//! Where the agent's own server listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::{ValueError, written_as_text};

const EXPECTED: &str =
    "an address such as `127.0.0.1:7676`, `:7676` (loopback), `[::1]:7676` or `0.0.0.0:7676`";

/// An address to listen on. `:7676` and `localhost:7676` mean `127.0.0.1:7676`; port 0 takes any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listen(pub SocketAddr);

impl Listen {
    /// Whether only this machine can reach it.
    pub fn is_loopback(self) -> bool {
        match self.0.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, 7676)))
    }
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, EXPECTED);
        match text.strip_prefix(':').or_else(|| text.strip_prefix("localhost:")) {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                let port: u16 = port.parse().map_err(|_| error())?;
                Ok(Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
            }
            _ => text.parse().map(Self).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

written_as_text!(Listen, "listen address", "string", None, "127.0.0.1:7676");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_port_means_loopback() {
        for text in [":5555", "localhost:5555", "127.0.0.1:5555"] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), "127.0.0.1:5555");
            assert!(listen.is_loopback());
        }
        assert!("[::1]:1".parse::<Listen>().unwrap().is_loopback());
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1"] {
            assert!(!text.parse::<Listen>().unwrap().is_loopback());
        }
        for text in ["", ":", "7676", "example.org:7676", ":70000", ":+5", "127.0.0.1"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
