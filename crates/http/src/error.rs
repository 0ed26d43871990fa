//! What can go wrong with a request, in sentences that a person can act on.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a request was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking up the host's address.
    Resolving,
    /// Waiting for the TCP connection.
    Connecting,
    /// Waiting for the TLS handshake.
    Handshaking,
    /// Sending the request and waiting for the status line and headers.
    Waiting,
    /// Reading the body.
    Reading,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "looking up the host's address",
            Self::Connecting => "waiting for the connection to be accepted",
            Self::Handshaking => "waiting for the TLS handshake",
            Self::Waiting => "waiting for the answer to begin",
            Self::Reading => "reading the body, which came too slowly",
        })
    }
}

/// Why a request has no answer. A bad status is an answer, not an error. No message holds a secret: URLs stand without
/// user, password and query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// A text that is no URL that can be asked.
    #[error(
        "`{url}` is not a URL that can be asked: {reason}; expected http://HOST[:PORT]/PATH or https://…"
    )]
    Url {
        /// The text, without what may be secret.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Options that contradict each other or can't be.
    #[error("{0}")]
    Options(String),
    /// A file named in the options that can't be used.
    #[error("{option} `{}` can't be used: {reason}", path.display())]
    File {
        /// The option that names it.
        option: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it, what was expected.
        reason: String,
    },
    /// The host has no address.
    #[error("{url}: the name `{host}` has no address ({reason}); check the name and this machine's DNS")]
    Dns {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody accepts connections there.
    #[error("{url}: can't connect to {address}: {reason}; expected a server listening there")]
    Connect {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// The address tried last.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// TLS failed.
    #[error("{url}: TLS failed: {reason}; {hint}")]
    Tls {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// What was found.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// It took longer than it may.
    #[error("{url}: gave up after {} s while {phase}; the target must answer within that, or the timeout be raised", limit.as_secs_f64())]
    Timeout {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// What it was doing.
        phase: Phase,
        /// How long it may take.
        limit: Duration,
    },
    /// The other side sent more than it may.
    #[error("{url}: {what} is larger than the limit of {limit} bytes; nothing beyond it was read")]
    TooLarge {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// `the body` or `the header`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The answer is no HTTP/1.1, or broke off.
    #[error("{url}: {reason}")]
    Protocol {
        /// What was asked, as [`Url`](crate::Url) shows it.
        url: String,
        /// What was found and expected.
        reason: String,
    },
}

impl HttpError {
    /// Whether the options must be changed before it can work: a retry alone does not help.
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Options(_) | Self::File { .. })
    }

    /// Whether the other side is there but sent more than it may.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}
