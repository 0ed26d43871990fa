//! Where learnt state is kept: a synchronous store of bytes by name and version, and the envelope around the bytes.

use std::fmt;

/// Four bytes at the head of every stored model.
const MAGIC: [u8; 4] = *b"LRNX";
/// Version of the envelope itself.
const ENVELOPE_VERSION: u8 = 1;
/// Magic, envelope version, length of the kind, state version, payload length, checksum.
const FIXED_BYTES: usize = 4 + 1 + 1 + 2 + 4 + 4;
/// The longest payload that is accepted.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// State with its header taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Which detector wrote it, such as `birch`.
    pub kind: &'a str,
    /// Version of the payload's format. A reader of version N reads N−1.
    pub version: u16,
    /// The state itself, in an encoding that can evolve (protobuf).
    pub payload: &'a [u8],
}

/// Why bytes are no model state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short or not ours.
    #[error(
        "not a Larnax model: expected the bytes `LRNX` and a header of at least {FIXED_BYTES} bytes, found {0}"
    )]
    NotAModel(String),
    /// Written by a newer program.
    #[error("envelope version {0} is newer than this program, which reads up to {ENVELOPE_VERSION}")]
    Newer(u8),
    /// Cut off or padded.
    #[error("the payload should have {expected} bytes and has {found}: the file was cut off or appended to")]
    Length {
        /// By the header.
        expected: usize,
        /// In the file.
        found: usize,
    },
    /// Bytes have changed.
    #[error("checksum {found:08x} instead of {expected:08x}: the file is damaged")]
    Checksum {
        /// By the header.
        expected: u32,
        /// Of the bytes.
        found: u32,
    },
}

impl Envelope<'_> {
    /// Header and payload in one buffer. A kind longer than 255 bytes is cut.
    pub fn encode(&self) -> Vec<u8> {
        let kind = &self.kind.as_bytes()[..self.kind.len().min(255)];
        let mut bytes = Vec::with_capacity(FIXED_BYTES + kind.len() + self.payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(ENVELOPE_VERSION);
        bytes.push(kind.len() as u8);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(kind, self.version, self.payload).to_le_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

impl<'a> Envelope<'a> {
    /// Takes the header off and checks it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() < FIXED_BYTES || bytes[..4] != MAGIC {
            let head: Vec<u8> = bytes.iter().take(4).copied().collect();
            return Err(EnvelopeError::NotAModel(format!("{} bytes starting with {head:?}", bytes.len())));
        }
        if bytes[4] > ENVELOPE_VERSION {
            return Err(EnvelopeError::Newer(bytes[4]));
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind_bytes = usize::from(bytes[5]);
        let version = u16::from_le_bytes([bytes[6], bytes[7]]);
        let (length, expected) = (word(8) as usize, word(12));
        let body = &bytes[FIXED_BYTES..];
        if length > MAX_PAYLOAD_BYTES || body.len() != kind_bytes + length {
            return Err(EnvelopeError::Length {
                expected: length,
                found: body.len().saturating_sub(kind_bytes),
            });
        }
        let (kind, payload) = body.split_at(kind_bytes);
        let found = checksum(kind, version, payload);
        if found != expected {
            return Err(EnvelopeError::Checksum { expected, found });
        }
        let kind = std::str::from_utf8(kind)
            .map_err(|_| EnvelopeError::NotAModel("a kind that is not UTF-8".to_owned()))?;
        Ok(Self { kind, version, payload })
    }
}

fn checksum(kind: &[u8], version: u16, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind);
    hasher.update(&version.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A name that can't be one.
    #[error(
        "`{0}` is not a model name: expected 1 to 200 characters of a-z, A-Z, 0-9, `.`, `_`, `-`, `:` and `/`"
    )]
    BadName(String),
    /// Somebody wrote in between.
    #[error("model `{name}` is at version {found}, not {expected}: somebody else wrote it; read it again")]
    Conflict {
        /// Which model.
        name: String,
        /// What the writer thought.
        expected: u64,
        /// What is so.
        found: u64,
    },
    /// The medium failed.
    #[error("model `{name}`: {reason}")]
    Io {
        /// Which model.
        name: String,
        /// What the system said, and where.
        reason: String,
    },
}

/// A stored version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Counts the writes under one name, from 1.
    pub version: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// Learnt state by name and version. Synchronous; implementations keep at least the previous version, so that a
/// rollback stays warm, and a write that was interrupted must leave the earlier version readable.
pub trait ModelStore: fmt::Debug {
    /// The newest readable version, or none where there is no such model. A damaged one is set aside, reported through
    /// [`ModelStore::damaged`], and the version before it is handed out instead.
    fn get(&self, name: &str) -> Result<Option<Stored>, StoreError>;

    /// The version before the newest one, where it is kept and readable.
    fn previous(&self, name: &str) -> Result<Option<Stored>, StoreError>;

    /// Writes the next version if the newest one is `expected` (0: none yet), and says which version it became.
    fn put(&self, name: &str, expected: u64, bytes: &[u8]) -> Result<u64, StoreError>;

    /// Names that start with `prefix`, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// What was found damaged and set aside since the last call: one sentence each, with the place it was put.
    fn damaged(&self) -> Vec<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_read_back_as_it_was_written() {
        let envelope = Envelope { kind: "birch", version: 3, payload: b"state" };
        assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_and_never_a_panic() {
        let bytes = Envelope { kind: "birch", version: 3, payload: b"some state" }.encode();
        for end in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            assert!(Envelope::decode(&changed).is_err(), "changed at {at}");
        }
    }
}
