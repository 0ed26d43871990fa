//! Names of components.

use std::fmt;
use std::str::FromStr;

use larnax_core::ComponentId;

use super::{ValueError, written_as_text};

/// A component by its id, `kind/scope/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentName(pub ComponentId);

impl FromStr for ComponentName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self).map_err(|_| {
            ValueError::new(
                text,
                "a component such as `service/shop/orders` (kind/scope/name without white space)",
            )
        })
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

written_as_text!(
    ComponentName,
    "component",
    "string",
    Some("^[^/\\s]+/[^/\\s]+/[^/\\s]+$"),
    "service/shop/orders"
);
