//! Texts with stars.

use std::fmt;
use std::str::FromStr;

use larnax_core::Glob;

use super::{ValueError, written_as_text};

/// A text in which `*` stands for any number of characters, `service/shop/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub Glob);

impl FromStr for Scope {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected =
            "1 to 512 characters that can be printed, `*` for any number of them, such as `service/shop/*`";
        text.parse().map(Self).map_err(|_| ValueError::new(text, expected))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

written_as_text!(Scope, "scope", "string", None, "service/shop/*");
