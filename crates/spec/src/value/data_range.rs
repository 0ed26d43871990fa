//! The lowest and the highest possible value of a metric: `[0, 100]`, `[0, inf]`.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const EXPECTED: &str = "the lowest and the highest possible value, such as `[0, 100]` or `[0, inf]`";

/// From the lowest to the highest possible value. The one may be `-inf`, the other `inf`: that end is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataRange {
    low: f64,
    high: f64,
}

impl DataRange {
    /// None where no value would be possible.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        (low <= high && low < f64::INFINITY && high > f64::NEG_INFINITY).then_some(Self { low, high })
    }

    /// The lowest possible value.
    pub fn low(self) -> f64 {
        self.low
    }

    /// The highest possible value.
    pub fn high(self) -> f64 {
        self.high
    }
}

impl Serialize for DataRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        for end in [self.low, self.high] {
            if end.is_finite() {
                pair.serialize_element(&end)?
            } else {
                pair.serialize_element(&end.to_string())?
            }
        }
        pair.end()
    }
}

impl<'de> Deserialize<'de> for DataRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;

        impl<'de> Visitor<'de> for Pair {
            type Value = DataRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DataRange, A::Error> {
                // Those that are no numbers are read too, so that there is one error about the pair.
                let mut ends = Vec::with_capacity(3);
                while let Some(End(end)) = list.next_element()? {
                    ends.push(end);
                    ends.truncate(3);
                }
                let found = ends.iter().map(|end| end.as_ref().map_or_else(Clone::clone, f64::to_string));
                let found = found.collect::<Vec<_>>().join(", ");
                let range = match ends.as_slice() {
                    [Ok(low), Ok(high)] => DataRange::new(*low, *high),
                    _ => None,
                };
                let more = if ends.len() > 2 { ", …" } else { "" };
                range.ok_or_else(|| A::Error::custom(format!("found `[{found}{more}]`, expected {EXPECTED}")))
            }
        }

        deserializer.deserialize_seq(Pair)
    }
}

/// A number, or the text of what is none. Infinity is written as a text, for JSON has no number for it.
struct End(Result<f64, String>);

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrInfinity;

        impl Visitor<'_> for NumberOrInfinity {
            type Value = End;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, `-inf` or `inf`")
            }

            fn visit_u64<E>(self, number: u64) -> Result<End, E> {
                Ok(End(Ok(number as f64)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<End, E> {
                Ok(End(Ok(number as f64)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<End, E> {
                Ok(End(Ok(number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<End, E> {
                Ok(End(match text {
                    "inf" | "+inf" | ".inf" | "+.inf" => Ok(f64::INFINITY),
                    "-inf" | "-.inf" => Ok(f64::NEG_INFINITY),
                    _ => Err(crate::yaml::shorten(text).to_string()),
                }))
            }
        }

        deserializer.deserialize_any(NumberOrInfinity)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for DataRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DataRange".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let end = serde_json::json!({ "anyOf": [{ "type": "number" }, { "enum": ["-inf", "inf"] }] });
        schemars::json_schema!({
            "type": "array", "title": "lowest and highest", "items": end, "minItems": 2, "maxItems": 2,
            "examples": [[0, 100]]
        })
    }
}
