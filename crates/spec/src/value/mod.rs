//! Values that a person writes as a short text, checked when they are read.

mod alert_budget;
mod bytes;
mod cgroup_pattern;
mod component_name;
mod data_range;
mod listen;
mod pattern;
mod period;
mod scope;
mod secret;
mod time_of_day;
mod time_zone;
mod url;

pub use alert_budget::{AlertBudget, BudgetSpan};
pub use bytes::Bytes;
pub use cgroup_pattern::CgroupPattern;
pub use component_name::ComponentName;
pub use data_range::DataRange;
pub use listen::Listen;
pub use pattern::Pattern;
pub use period::Period;
pub use scope::Scope;
pub use secret::{Secret, SecretSource};
pub use time_of_day::TimeOfDay;
pub use time_zone::TimeZone;
pub use url::Url;
pub(crate) use url::check_authority;

/// Why a text is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(crate) String);

impl ValueError {
    pub(crate) fn new(found: &str, expected: &str) -> Self {
        Self(format!("found `{}`, expected {expected}", crate::yaml::shorten(found)))
    }
}

/// Serde and schema for a type that is written as a text: `FromStr` reads it and `Display` writes it.
macro_rules! written_as_text {
    ($type:ty, $name:literal, $json:tt, $pattern:expr, $example:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = schemars::json_schema!({ "type": $json, "title": $name, "examples": [$example] });
                let pattern: Option<&str> = $pattern;
                if let Some(pattern) = pattern {
                    schema.insert("pattern".to_owned(), pattern.into());
                }
                schema
            }
        }
    };
}
use written_as_text;
