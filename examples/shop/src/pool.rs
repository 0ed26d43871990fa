//! Kept-alive connections to one service: one request at a time on each, more when more are under way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larnax_http::{Client, ClientOptions, HttpError, Request, Url};

/// Connections kept while nothing is under way, and for how long: those that a slow time needed are soon gone again.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Why a call brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// It took too long.
    Timeout,
    /// Nobody listens, or the connection broke.
    Connection,
    /// The other side said 5xx.
    Status,
}

impl Failure {
    pub(crate) const ALL: [Self; 3] = [Self::Timeout, Self::Connection, Self::Status];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Status => "status",
        }
    }
}

/// Calls one service.
pub(crate) struct Pool {
    address: SocketAddr,
    patience: Duration,
    /// With when each was used, the latest at the end, from where they are taken.
    idle: RefCell<VecDeque<(Instant, Client)>>,
}

impl Pool {
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, idle: RefCell::default() }
    }

    /// Posts `body` to `path`.
    pub(crate) async fn call(&self, path: &str, body: &[u8]) -> Result<(), Failure> {
        let url = Url::parse(&format!("http://{}{path}", self.address)).map_err(|_| Failure::Connection)?;
        let kept = self.idle.borrow_mut().pop_back();
        let mut client = match kept {
            Some((_, client)) => client,
            None => {
                let options = ClientOptions {
                    timeout: self.patience,
                    connect_timeout: self.patience,
                    max_body: 64 << 10,
                    ..ClientOptions::default()
                };
                Client::new(options).map_err(|_| Failure::Connection)?
            }
        };
        let mut answer = Vec::new();
        let response = client.send(Request::post(&url, body), &mut answer).await;
        let outcome = match response {
            Ok(response) if response.status().is_server_error() => Err(Failure::Status),
            Ok(_) => Ok(()),
            Err(HttpError::Timeout { .. }) => return Err(Failure::Timeout),
            Err(_) => return Err(Failure::Connection),
        };
        let mut idle = self.idle.borrow_mut();
        idle.push_back((Instant::now(), client));
        while idle.len() > KEPT || idle.front().is_some_and(|(used, _)| used.elapsed() > KEPT_FOR) {
            idle.pop_front();
        }
        outcome
    }
}
