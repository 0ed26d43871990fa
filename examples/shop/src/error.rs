//! What can go wrong, in sentences that a person can act on.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the shop can't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// A file or folder of the shop can't be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file of the shop does not hold what the shop writes.
    #[error("{}: this is no file of the shop ({reason}); end the shop with `larnax shop down`", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// There is something else where the shop's folder should be.
    #[error("{}: this folder was not made by the shop; remove it, or give another one with --state", .0.display())]
    Foreign(PathBuf),
    /// Another command is starting or ending the shop.
    #[error("{}: another command is starting or ending the shop; wait for it", .0.display())]
    Busy(PathBuf),
    /// Somebody else listens there.
    #[error(
        "can't listen on {address}: {reason}; give another port with --port, or --port 0 for any free ones"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// A process of the shop did not come up.
    #[error("{role} did not start: {reason}")]
    Start {
        /// Which one.
        role: String,
        /// What it said.
        reason: String,
    },
    /// A process of the shop does not answer.
    #[error("{role} does not answer: {reason}")]
    NoAnswer {
        /// Which one.
        role: String,
        /// Why.
        reason: String,
    },
    /// What was ordered can't be.
    #[error("{0}")]
    Order(String),
    /// The system gives no threads, timers or signals.
    #[error("the system refuses a thread, a timer or a signal: {0}")]
    System(io::Error),
}

impl ShopError {
    /// For `map_err` on what was done with `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |reason| Self::File { path, reason }
    }
}
