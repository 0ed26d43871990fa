//! One kept-alive HTTP/1.1 client with TLS, auth, limits and timeouts, for scraping and for alerting.
//!
//! Built for a small agent on a single thread: one connection per client, no task and no timer of its own between
//! requests, response bodies in a buffer that the caller owns. Whatever the other side sends, a request ends within
//! its timeout and its limits.
//!
//! Rejected: a general client with a pool (tasks, timers and megabytes that one target doesn't need), proxies from the
//! environment (a variable set for something else must not reroute measurements), HTTP/2 (nothing to multiplex).

mod auth;
mod client;
mod connection;
mod dial;
mod error;
mod io;
pub mod pem;
mod redirect;
mod tls;
mod url;

pub use auth::{Auth, Secret, SecretSource};
pub use client::{Client, ClientOptions, Request, Response, Traffic};
pub use dial::Dialer;
pub use error::{HttpError, Phase};
pub use hyper::Method;
pub use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use io::Stream;
pub use tls::TlsOptions;
pub use url::Url;
