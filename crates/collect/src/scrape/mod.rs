//! Scraping: a target's metrics over HTTP, on a kept connection, into one row.
//!
//! The body is read into a reused buffer, decompressed into a second one where the target compresses, and walked once by
//! the [parser](crate::openmetrics). Nothing is spawned; between scrapes a source costs its buffers and one socket.

mod gzip;
mod options;
mod source;

pub use options::{Gzip, ScrapeOptions, target_url};
pub use source::ScrapeSource;
