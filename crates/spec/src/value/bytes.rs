//! Sizes in bytes.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, written_as_text};

/// A number of bytes: `8MiB` (1024²), `16MB` (1000²), `512` or `512B`; units B, KB, MB, GB, TB and KiB, MiB, GiB, TiB.
///
/// In `scrape_configs`, too, `MB` is a million bytes; Prometheus takes it for 1024².
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
    ("", 1),
];

const EXPECTED: &str = "a size such as `8MiB`, `16MB` or `512` (bytes)";

impl Bytes {
    /// Units of 1024² bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a length in memory; the largest one where the platform's is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Bytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new(text, EXPECTED);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, size) =
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start())).ok_or_else(error)?;
        let number: u64 = number.parse().map_err(|_| error())?;
        number.checked_mul(*size).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let even = UNITS
            .iter()
            .find(|(unit, size)| !unit.is_empty() && self.0 >= *size && self.0.is_multiple_of(*size));
        match even {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

written_as_text!(Bytes, "size", ["string", "integer"], Some("^[0-9]+ ?([kKmMgGtT]?[iI]?[bB])?$"), "8MiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in
            [("8MiB", 8 << 20), ("16MB", 16_000_000), ("512", 512), ("1 KiB", 1024), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "8M", "8 apples", "99999999999TiB"] {
            let message = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")) && message.contains("8MiB"), "{message}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["8MiB", "16MB", "1B", "0B", "1025B", "3TiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
    }
}
