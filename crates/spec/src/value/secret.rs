//! Passwords and tokens: never printed, never written out.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest secret that is read from a file.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// What stands where a secret would.
const REDACTED: &str = "<secret>";

/// A password or token. It prints and serialises as `<secret>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Hand it to the peer it is for, and to nothing that logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret from a file; white space at its end is dropped.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        let read = std::fs::File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text)?;
        if read as u64 > MAX_SECRET_BYTES {
            let message = format!("longer than {MAX_SECRET_BYTES} bytes: this is no secret");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "title": "secret" })
    }
}

/// Where a secret is: in the config, or in a file that may be rotated, so that it is read again for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretSource<'a> {
    /// Given as it is.
    Inline(&'a Secret),
    /// In a file.
    File(&'a Path),
}

impl<'a> SecretSource<'a> {
    /// The file wins where both are given; none where neither is.
    pub(crate) fn of(inline: Option<&'a Secret>, file: Option<&'a Path>) -> Option<Self> {
        file.map(Self::File).or_else(|| inline.map(Self::Inline))
    }

    /// The secret as it is now.
    pub fn read(self) -> io::Result<Secret> {
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::from_file(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "<secret> <secret>");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_file_loses_its_last_line_end_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(SecretSource::File(&path).read().unwrap().expose(), "hunter2");
        std::fs::write(&path, "\n").unwrap();
        assert!(Secret::from_file(&path).is_err());
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        assert!(Secret::from_file(&path).is_err());
    }
}
