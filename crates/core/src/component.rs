//! Components: the things that can be sick.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id that is accepted, in bytes.
const MAX_ID_BYTES: usize = 512;
/// The kind of what is only known by its address.
const ADDRESS: &str = "address";

/// The name of a component, `kind/scope/name`, as in `service/payments/10.0.0.7:9100` or `node/local/edge-17`.
///
/// Three non-empty parts without white space or control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(Arc<str>);

/// Why a text is no component id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a component id: expected kind/scope/name, {reason}")]
pub struct ComponentIdError {
    found: String,
    reason: &'static str,
}

impl ComponentId {
    /// Joins the three parts. Characters that may not stand in a part (white space, control characters, `/`) become `_`.
    pub fn from_parts(kind: &str, scope: &str, name: &str) -> Self {
        let clean = |part: &str| -> String {
            let mut text: String = part
                .chars()
                .map(|c| if c.is_whitespace() || c.is_control() || c == '/' { '_' } else { c })
                .collect();
            if text.is_empty() {
                text.push('_');
            }
            let mut end = text.len().min(MAX_ID_BYTES / 3 - 2);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text
        };
        Self(format!("{}/{}/{}", clean(kind), clean(scope), clean(name)).into())
    }

    /// Whoever has an IP address, by those who don't know who that is: `address/ip/10.1.2.3`.
    pub fn of_address(ip: IpAddr) -> Self {
        Self::from_parts(ADDRESS, "ip", &ip.to_string())
    }

    /// Whether it stands for whoever has an IP address.
    pub fn is_address(&self) -> bool {
        self.kind() == ADDRESS
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What sort of thing it is: `node`, `service`, `process`, `file`.
    pub fn kind(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The part that tells components of one site and job from those of another.
    pub fn scope(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.split('/').nth(2).unwrap_or_default()
    }
}

impl FromStr for ComponentId {
    type Err = ComponentIdError;

    fn from_str(text: &str) -> Result<Self, ComponentIdError> {
        let error = |reason| ComponentIdError { found: text.chars().take(80).collect(), reason };
        if text.len() > MAX_ID_BYTES {
            return Err(error("at most 512 bytes"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(error("without white space"));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
            return Err(error("three parts, none of them empty"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ComponentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A thing that can be sick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Component {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "node/local/edge-17"))]
    pub id: ComponentId,
    /// The group whose alert budget it shares: the scrape job's name, or `host`.
    pub group: String,
    /// Labels that its alerts carry; stable over its life, because they are the alert's identity.
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_kind_a_scope_and_a_name() {
        let id: ComponentId = "service/payments/10.0.0.7:9100".parse().unwrap();
        assert_eq!((id.kind(), id.scope(), id.name()), ("service", "payments", "10.0.0.7:9100"));
    }

    #[test]
    fn a_text_that_is_no_id_says_why() {
        for (text, reason) in
            [("a/b", "three parts"), ("a//c", "none of them empty"), ("a/b c/d", "white space")]
        {
            let message = text.parse::<ComponentId>().unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains(text), "{message}");
        }
    }

    #[test]
    fn parts_with_foreign_characters_still_make_an_id_that_parses() {
        let id = ComponentId::from_parts("service", "a b/c", "");
        assert_eq!(id.as_str(), "service/a_b_c/_");
        assert_eq!(id.as_str().parse::<ComponentId>().unwrap(), id);
    }
}
