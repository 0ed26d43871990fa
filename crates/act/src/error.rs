//! What can go wrong before anything is changed.

use std::io;
use std::path::{Path, PathBuf};

/// Why something can't be done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// The world isn't so that it can be done.
    #[error("{0}")]
    Cannot(String),
    /// A file that can't be used.
    #[error("{} can't be {doing}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried, as `read`.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An action of the config that can't be offered.
    #[error("the action `{action}` {reason}")]
    Action {
        /// Which.
        action: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
    /// Another agent has the folder.
    #[error("{} is in use by another agent; each agent needs a state directory of its own", folder.display())]
    InUse {
        /// Which.
        folder: PathBuf,
    },
}

impl ActError {
    /// The world isn't so that it can be done.
    pub fn cannot(message: impl Into<String>) -> Self {
        Self::Cannot(message.into())
    }

    /// A file that can't be used.
    pub fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, doing, source }
    }
}
