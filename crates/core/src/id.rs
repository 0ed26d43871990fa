//! Stable names: sixteen hexadecimal digits of a hash of what they name.

use sha2::{Digest, Sha256};

/// The first eight bytes of SHA-256 over the parts, each ended by a zero byte.
pub(crate) fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// A type for such names, and the error of a text that is none. How a name comes about is for the type to say.
macro_rules! stable_id {
    ($(#[$about:meta])* $id:ident, $error:ident, $what:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(u64);

        impl $id {
            /// The number that its digits write.
            pub fn number(self) -> u64 {
                self.0
            }
        }

        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl std::fmt::Debug for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }

        /// A text that is not sixteen hexadecimal digits.
        #[derive(Debug, Clone, thiserror::Error)]
        #[error("`{0}` is not {what} id: expected sixteen hexadecimal digits", what = $what)]
        pub struct $error(String);

        impl std::str::FromStr for $id {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                match u64::from_str_radix(text, 16) {
                    Ok(id) if text.len() == 16 => Ok(Self(id)),
                    _ => Err($error(text.chars().take(40).collect())),
                }
            }
        }

        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use stable_id;
