//! What became of a body.

use std::fmt;

use larnax_core::schema::SchemaError;

use super::parser::BadLine;

/// The most of a bad line that is shown, in characters.
const SHOWN_CHARS: usize = 80;

/// What a target may send, whatever its body's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most series that are kept, those that have vanished lately included. At an average of 1 KiB per series, their
    /// names are limited in bytes too.
    pub max_series: usize,
    /// The longest line, in bytes. Longer ones are bad.
    pub max_line_bytes: usize,
}

/// What a body held, in samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParseReport {
    /// Samples taken, NaN and stale ones included.
    pub samples: u64,
    /// Samples of series above the limit.
    pub refused: u64,
    /// Lines that could not be used: bad ones, and series that stood there before.
    pub bad: u64,
    /// The first of those. The only thing in a report that is allocated.
    pub first_problem: Option<Problem>,
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The number of the line, from 1.
    pub line: u64,
    /// The line itself, printable, at most 80 characters of it.
    pub found: String,
    /// What should have stood there.
    pub expected: &'static str,
}

impl Problem {
    pub(super) fn new(body: &[u8], bad: BadLine<'_>) -> Self {
        let before = body.get(..bad.offset).unwrap_or_default();
        let start = bad.line.get(..4 * SHOWN_CHARS).unwrap_or(bad.line);
        let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        Self {
            line: memchr::memchr_iter(b'\n', before).count() as u64 + 1,
            found: String::from_utf8_lossy(start).chars().map(printable).take(SHOWN_CHARS).collect(),
            expected: bad.expected,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is `{}`: expected {}", self.line, self.found, self.expected)
    }
}

/// Why a body gives no sample at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one line could be used: this is something else than metrics.
    #[error("the body holds no metrics: {0}; is this the right path?")]
    NoMetrics(Problem),
    /// OpenMetrics ends with `# EOF`, this body doesn't.
    #[error("the body was cut off: expected `# EOF` at its end, as OpenMetrics demands, after {lines} lines")]
    CutOff {
        /// How many line breaks it has.
        lines: u64,
    },
    /// There is more behind `# EOF`.
    #[error("the body goes on behind its end: {0}")]
    BehindEnd(Problem),
    /// The series make no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}
