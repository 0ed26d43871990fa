//! Prometheus text exposition 0.0.4 and OpenMetrics 1.0: from the bytes of a body to one row of values.
//!
//! This is the hottest path of an agent, so it is built in layers of which a warm scrape touches only the first:
//!
//! 1. The template (`template.rs`): what stood between the values last time. As long as only values change, a scrape is one
//!    comparison of bytes and one short number per series, comments included. No hashing, no search for line breaks.
//! 2. The spellings (`table.rs`): raw series bytes → slot, by hash, for lines that are not where they were.
//! 3. The canonical name (`series.rs`), for a spelling never seen before. Two spellings of one series are one metric, and
//!    the second of them in one body is a duplicate.
//!
//! What a Prometheus says of a target at its `/federate` becomes what the target would have said first (`federated.rs`).
//!
//! Below stands the pull parser ([`Parser`]), after Prometheus' `textparse`: it yields entries that borrow from the body.
//! Nothing is allocated per scrape once a body of this shape was seen.
//!
//! # What is decided here
//!
//! - *Lenient by line.* Prometheus fails a scrape for one bad line; here it is counted, the first one is reported, and
//!   the others count. A body without a single usable line is an error, and so is OpenMetrics without `# EOF` (it was cut
//!   off) or with something behind it. Line ends may be CRLF, blanks may be several or tabs, the last line break may be
//!   missing.
//! - *Kinds.* Counters are families of type counter, and sums, counts and buckets of histograms and summaries. Quantiles,
//!   gauges, gauge histograms, info and state sets are gauges. Without a type, a name that ends in `_total`, `_count`,
//!   `_sum` or `_bucket` is a counter's.
//! - *`_created` series* of counters, histograms and summaries are times, not measurements: recognised and left out.
//! - *Times* that a target states don't move its row. A sample older than 5 minutes is missing.
//! - *Values* are read as Go and Rust read them, but hexadecimal and `_` are refused. NaN is a missing value.
//! - *Exemplars* are checked and skipped; text 0.0.4 has none.
//! - *Names in quotes* (`{"my.metric"}`, UTF-8 names of Prometheus 3) are series like others.
//! - *UTF-8* is checked once per spelling of a series; comments are never checked.
//! - *What a process takes* (`process_resident_memory_bytes` and the like) is told where it is more than usual only (`convention.rs`).
//! - *Limits*: everything remembered is bounded by [`Limits::max_series`] in number and, at 1 KiB per series, in bytes;
//!   what is above is counted in [`ParseReport::refused`].

mod cache;
mod convention;
mod family;
mod federated;
mod number;
mod parser;
mod report;
mod series;
mod table;
mod template;

pub use cache::SeriesCache;
pub use federated::{Unknown, unfold};
pub use parser::{BadLine, Entry, Exemplar, FamilyType, Parser, Sample};
pub use report::{Limits, ParseError, ParseReport, Problem};

/// What a body is written in. Negotiated by content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text exposition 0.0.4, `text/plain; version=0.0.4`.
    Text004,
    /// OpenMetrics 1.0, `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}
