//! MONITOR: from targets to samples.
//!
//! Every source stands behind the one [`Source`] trait and passes the one conformance suite in `tests/conformance.rs`.

pub mod files;
pub mod host;
pub mod openmetrics;
pub mod schedule;
pub mod scrape;
mod source;

pub use source::{Collected, Cost, ErrorClass, LocalFuture, Source, SourceError};
