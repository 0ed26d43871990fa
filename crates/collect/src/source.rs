//! The one contract of everything that samples come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use larnax_core::Batch;

/// A future that lives on the agent's one thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Where samples come from: a scraped endpoint, this host, a file. Its owner decides when to ask.
///
/// Implementers must not keep a sample for later, read past their limits, block for longer than their timeout or panic
/// on anything that they read. An error never ends a source: the next call tries again.
pub trait Source {
    /// What it reads, for logs, metrics and the API: a URL, `host`, a path. Holds no secrets.
    fn name(&self) -> &str;

    /// Collects once. `batch` is reset to the source's schema (the same [`Arc`](std::sync::Arc) as long as the metrics
    /// are the same) and filled with what there is, oldest row first; on an error its content is unspecified.
    fn collect<'a>(&'a mut self, batch: &'a mut Batch) -> LocalFuture<'a, Result<Collected, SourceError>>;

    /// What it has cost and refused since it was made.
    fn cost(&self) -> Cost;
}

/// How a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collected {
    /// There may be more later.
    Rows,
    /// There is nothing new, which says nothing of who the samples are of; `batch` doesn't count.
    Nothing,
    /// There will never be more: the end of a file.
    End,
}

/// What a source has cost and refused since it was made. All are totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Collections that gave samples.
    pub collections: u64,
    /// Collections that failed.
    pub failures: u64,
    /// Bytes read, before decompression.
    pub bytes_read: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Samples (values) that a limit refused, such as those above the cardinality limit.
    pub refused_samples: u64,
    /// Lines or values that could not be used (duplicates, bad lines).
    pub bad_samples: u64,
    /// Connections opened.
    pub connections: u64,
}

/// Whose fault it is when a source has no samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The target is away, slow, answers with an error or with nonsense: it counts as absent.
    Target,
    /// The config asks for what can't be: a missing password file, an unknown device.
    Config,
    /// The target is there but gave more than its limits allow.
    Limit,
    /// The Prometheus that is asked about the target doesn't answer, or doesn't know: nothing can be said of the target.
    Prometheus,
}

impl ErrorClass {
    /// The word used in metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Config => "config",
            Self::Limit => "limit",
            Self::Prometheus => "prometheus",
        }
    }
}

/// Why a source has no samples: what was found, where, what was expected, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Whose fault it is.
    pub class: ErrorClass,
    /// A sentence a person can act on. Holds no secrets.
    pub message: String,
}

impl SourceError {
    /// An error of a class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {}
