//! What can be wrong with a file, and with one of its rows.

use std::fmt;
use std::io;

use super::{MAX_COLUMNS, MAX_LINE_BYTES};
use crate::{ErrorClass, SourceError};

/// Why a file can't be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there or may not be read.
    #[error("{name}: can't be opened: {source}; expected a readable CSV file, or `-` for standard input")]
    Open {
        /// The file.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// It is a folder.
    #[error("{name}: is a directory; expected a CSV file")]
    Directory {
        /// The folder.
        name: String,
    },
    /// There is nothing in it.
    #[error("{name}: is empty; expected lines of comma-separated values")]
    Empty {
        /// The file.
        name: String,
    },
    /// It is something else than text.
    #[error(
        "{name}: holds a zero byte in its first lines, so it is binary or UTF-16; \
         expected UTF-8 text, plain or compressed with gzip or zstd"
    )]
    NotText {
        /// The file.
        name: String,
    },
    /// The first line does not end.
    #[error(
        "{name}:1: the first line has more than {MAX_LINE_BYTES} bytes; expected comma-separated values, line by line"
    )]
    FirstLineTooLong {
        /// The file.
        name: String,
    },
    /// What its columns are can't be said.
    #[error("{name}:1: a quote in the first line is not closed; expected a closing quote on the same line")]
    OpenQuote {
        /// The file.
        name: String,
    },
    /// It is too wide.
    #[error("{name}:1: found more than {MAX_COLUMNS} columns, the most that are read; leave some out")]
    TooManyColumns {
        /// The file.
        name: String,
    },
    /// No column is a metric.
    #[error("{name}:1: no column holds numbers; found {columns}; expected one metric per column")]
    NoMetrics {
        /// The file.
        name: String,
        /// What its columns are called.
        columns: String,
    },
    /// The column that should hold the time is not there.
    #[error("{name}:1: there is no time column `{wanted}`; found {columns}")]
    NoTimeColumn {
        /// The file.
        name: String,
        /// The column that was asked for.
        wanted: String,
        /// What its columns are called.
        columns: String,
    },
    /// The column that should hold labels is not there.
    #[error("{name}:1: there is no column of labels `{wanted}`; found {columns}")]
    NoLabelColumn {
        /// The file.
        name: String,
        /// The column that was asked for.
        wanted: String,
        /// What its columns are called.
        columns: String,
    },
    /// It broke off: a device error, or a damaged or cut off compressed file.
    #[error("{name}:{line}: can't be read further: {source}; the rows before were read")]
    Read {
        /// The file.
        name: String,
        /// The line that could not be read.
        line: u64,
        /// What the system or the decompressor says.
        source: io::Error,
    },
}

impl From<FileError> for SourceError {
    fn from(error: FileError) -> Self {
        let class = match &error {
            FileError::Open { .. }
            | FileError::Directory { .. }
            | FileError::NoTimeColumn { .. }
            | FileError::NoLabelColumn { .. } => ErrorClass::Config,
            FileError::FirstLineTooLong { .. } | FileError::TooManyColumns { .. } => ErrorClass::Limit,
            FileError::Empty { .. }
            | FileError::NotText { .. }
            | FileError::OpenQuote { .. }
            | FileError::NoMetrics { .. }
            | FileError::Read { .. } => ErrorClass::Target,
        };
        Self::new(class, error.to_string())
    }
}

/// Why a row can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// The time column does not hold a time.
    BadTime {
        /// What it holds.
        found: &'a str,
    },
    /// There are more or fewer fields than in the first line.
    FieldCount {
        /// Fields of this row.
        found: usize,
        /// Fields of the first line.
        expected: usize,
    },
    /// Every metric is missing.
    NoValue,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A quote was opened and not closed on its line.
    OpenQuote,
    /// The line has more than [`MAX_LINE_BYTES`].
    TooLong,
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadTime { found } => {
                let found: String = found.chars().take(40).collect();
                write!(f, "`{found}` is not a time: expected RFC 3339, 2006-01-02 15:04:05 or an epoch")
            }
            Self::FieldCount { found, expected } => {
                write!(f, "found {found} fields, expected {expected} as in the first line")
            }
            Self::NoValue => f.write_str("every value is missing, expected at least one number"),
            Self::NotUtf8 => f.write_str("found bytes that are not UTF-8, expected text"),
            Self::OpenQuote => {
                f.write_str("a quote is not closed, expected a closing quote on the same line")
            }
            Self::TooLong => write!(f, "found more than {MAX_LINE_BYTES} bytes, expected a shorter line"),
        }
    }
}
