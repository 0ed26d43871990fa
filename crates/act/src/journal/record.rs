//! What stands in the journal, a line each.

use larnax_core::{Authority, Command, Report, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Held;

/// A step that is over, or a change that begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A command came.
    Heard {
        /// All of it.
        command: Command,
        /// When.
        at: Timestamp,
        /// Whether it could be taken back, if it were done.
        can_undo: bool,
    },
    /// What it needs is there.
    Reserved {
        /// Of which command.
        key: String,
        /// The state before.
        held: Held,
    },
    /// The change begins now. Written before it does.
    Switching {
        /// Of which command.
        key: String,
        /// When.
        at: Timestamp,
    },
    /// The change is made.
    Switched {
        /// Of which command.
        key: String,
        /// What was done.
        message: String,
    },
    /// What came of it. After this, nothing more is done about the command.
    Ended(Report),
    /// The largest number that was seen of an epoch.
    Authority(Authority),
}

impl Record {
    /// Of which command; none for an authority.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Heard { command, .. } => Some(&command.key),
            Self::Reserved { key, .. } | Self::Switching { key, .. } | Self::Switched { key, .. } => {
                Some(key)
            }
            Self::Ended(report) => Some(&report.key),
            Self::Authority(_) => None,
        }
    }
}

/// The longest line that is read: the longest texts of a command, what is held and a message fit many times over.
const MAX_LINE: usize = 256 << 10;

/// As a line: the checksum (CRC-32, eight hexadecimal digits), a space, JSON, a line feed.
pub(super) fn line(record: &Record, into: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let json = serde_json::to_vec(record)?;
    into.extend_from_slice(format!("{:08x} ", crc32fast::hash(&json)).as_bytes());
    into.extend_from_slice(&json);
    into.push(b'\n');
    Ok(())
}

/// The record of a line without its line feed; none if it is damaged.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    if line.len() > MAX_LINE {
        return None;
    }
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?, 16).ok()?;
    if crc32fast::hash(json) != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}
