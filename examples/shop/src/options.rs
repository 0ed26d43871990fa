//! What a process of the shop is told when it starts: a file, so that nothing secret stands on a command line and so that
//! it can be started again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::faults::Kept;
use crate::{Role, Service, ShopError};

/// How a process is started. Both ports may be 0 at first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServeOptions {
    /// What it is.
    pub(crate) role: Role,
    /// The program that it runs, to start it again, and the arguments before the path of this file.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Where it serves; the load generator does not.
    pub(crate) listen: SocketAddr,
    /// Where it takes orders from whoever has the token.
    pub(crate) admin: SocketAddr,
    /// A file that holds the token.
    pub(crate) token_file: PathBuf,
    /// Its own folder, emptied when it starts for the first time.
    pub(crate) folder: PathBuf,
    /// Of its random numbers.
    pub(crate) seed: u64,
    /// How often it was started again.
    pub(crate) restarts: u64,
    /// How long it is away before it serves, in seconds.
    #[serde(default)]
    pub(crate) away_seconds: f64,
    /// The faults that it had when it was started again and still has.
    #[serde(default)]
    pub(crate) faults: Vec<Kept>,
    /// Where those are that it calls.
    pub(crate) calls: BTreeMap<Service, SocketAddr>,
    /// What the load generator sends on average.
    pub(crate) requests_per_second: f64,
    /// Whether it ends with whoever started it: when its standard input does.
    pub(crate) leased: bool,
}

/// What a process says on standard output once it serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Where it serves.
    pub(crate) listen: SocketAddr,
    /// Where it takes orders.
    pub(crate) admin: SocketAddr,
}

impl ServeOptions {
    pub(crate) fn read(file: &Path) -> Result<Self, ShopError> {
        read_json(file)
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), ShopError> {
        write_json(file, self)
    }

    pub(crate) fn token(&self) -> Result<String, ShopError> {
        let text = fs::read_to_string(&self.token_file).map_err(ShopError::file(&self.token_file))?;
        Ok(text.trim_end().to_owned())
    }
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, ShopError> {
    let bytes = fs::read(file).map_err(ShopError::file(file))?;
    serde_json::from_slice(&bytes).map_err(|reason| ShopError::Content { path: file.to_owned(), reason })
}

/// Writes a whole file or leaves the old one.
pub(crate) fn write_json(file: &Path, value: &impl Serialize) -> Result<(), ShopError> {
    let json = serde_json::to_vec_pretty(value)
        .map_err(|reason| ShopError::Content { path: file.to_owned(), reason })?;
    let fresh = file.with_extension("new");
    fs::write(&fresh, json).map_err(ShopError::file(&fresh))?;
    fs::rename(&fresh, file).map_err(ShopError::file(file))
}
