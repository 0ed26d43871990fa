//! Samples from CSV files, recorded or from a pipe.
//!
//! - `input` opens a file and decompresses it, `lines` takes it apart into lines of limited length, `fields` a line into
//!   fields.
//! - `layout` finds out from the first lines what the columns are, `time` knows how times are written.
//! - [`FileSource`] puts them together: record by record, or in batches as a [`Source`](crate::Source).

mod error;
mod fields;
mod input;
mod layout;
mod lines;
mod source;
mod time;

pub use error::{FileError, Problem};
pub use lines::MAX_LINE_BYTES;
pub use source::{FileOptions, FileSource, Record};
pub use time::parse as parse_time;

/// The most columns that a file may have.
pub const MAX_COLUMNS: usize = 10_000;
