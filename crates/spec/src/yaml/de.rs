//! Serde's deserializer over the located tree.
//!
//! Booleans are `true` and `false` only; a scalar read as a text keeps its spelling, so that the label `1.10` stays
//! `1.10`; nothing (`scrape_configs:` with no value) reads as an empty list or map.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::tree::{Content, Entry, Node, Position, shorten};
use crate::path::{Path, Step};
use crate::suggest;

/// Why a node could not be read; the path is filled in, innermost step first, on the way up.
#[derive(Debug)]
pub(crate) struct Fault {
    at: Option<Position>,
    steps: Vec<Step>,
    message: String,
}

impl Fault {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at: Some(at), steps: Vec::new(), message: message.into() }
    }

    fn at_least(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    fn below(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Path from the root, place and sentence.
    pub(crate) fn into_parts(mut self) -> (Path, Position, String) {
        self.steps.reverse();
        (Path(self.steps), self.at.unwrap_or_default(), self.message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: None, steps: Vec::new(), message: message.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("found {}, expected {expected}", describe(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = suggest::hint(variant, expected.iter().copied());
        Self::custom(format_args!(
            "found `{}`, expected {}{hint}",
            shorten(variant),
            suggest::one_of(expected.iter().copied())
        ))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = suggest::hint(field, expected.iter().copied());
        Self::custom(format_args!(
            "unknown field, expected {}{hint}",
            suggest::one_of(expected.iter().copied())
        ))
    }
}

fn describe(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("`{}`", shorten(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        other => other.to_string(),
    }
}

/// Reads a `T` from a node.
pub(crate) fn read<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, Fault> {
    T::deserialize(Reader(node))
}

struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn mismatch(&self, expected: &str) -> Fault {
        let found = match &self.0.content {
            Content::Null => "nothing".to_owned(),
            Content::Scalar { text, .. } => format!("`{}`", shorten(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
        };
        Fault::new(self.0.at, format!("found {found}, expected {expected}"))
    }

    fn text(&self, expected: &str) -> Result<&'de str, Fault> {
        match &self.0.content {
            Content::Scalar { text, .. } => Ok(text),
            _ => Err(self.mismatch(expected)),
        }
    }

    fn items(&self, items: &'de [Node]) -> Items<'de> {
        Items { items: items.iter().enumerate() }
    }

    fn fields(&self, entries: &'de [Entry]) -> Fields<'de> {
        Fields { entries: entries.iter(), value: None }
    }

    fn float(&self) -> Option<f64> {
        match &self.0.content {
            Content::Scalar { text, plain: true }
                if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) =>
            {
                text.parse().ok()
            }
            _ => None,
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let at = self.0.at;
            let value: $type = self.text($expected)?.parse().map_err(|_| self.mismatch($expected))?;
            visitor.$visit(value).map_err(|fault: Fault| fault.at_least(at))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.0.at;
        match &self.0.content {
            Content::Null => visitor.visit_unit(),
            Content::List(items) => visitor.visit_seq(self.items(items)),
            Content::Map(entries) => visitor.visit_map(self.fields(entries)),
            Content::Scalar { text, plain: true } => {
                match (boolean(text), text.parse(), text.parse(), self.float()) {
                    (Some(value), ..) => visitor.visit_bool(value),
                    (_, Ok(value), ..) => visitor.visit_u64(value),
                    (_, _, Ok(value), _) => visitor.visit_i64(value),
                    (_, _, _, Some(value)) => visitor.visit_f64(value),
                    _ => visitor.visit_borrowed_str(text),
                }
            }
            Content::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
        }
        .map_err(|fault: Fault| fault.at_least(at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.content {
            Content::Scalar { text, plain: true } if boolean(text).is_some() => {
                visitor.visit_bool(boolean(text).unwrap_or_default())
            }
            _ => Err(self.mismatch("`true` or `false`")),
        }
    }

    whole_numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number that is not negative";
        deserialize_u64 visit_u64 u64, "a whole number that is not negative";
        deserialize_i8 visit_i8 i8, "a whole number from -128 to 127";
        deserialize_i16 visit_i16 i16, "a whole number from -32768 to 32767";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.float().ok_or_else(|| self.mismatch("a number"))?;
        visitor.visit_f64(value).map_err(|fault: Fault| fault.at_least(self.0.at))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.text("a text")?;
        visitor.visit_borrowed_str(text).map_err(|fault: Fault| fault.at_least(self.0.at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.content {
            Content::Null => visitor.visit_unit(),
            _ => Err(self.mismatch("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.0.at;
        match &self.0.content {
            Content::Null => visitor.visit_seq(self.items(&[])),
            Content::List(items) => visitor.visit_seq(self.items(items)),
            _ => Err(self.mismatch("a list")),
        }
        .map_err(|fault: Fault| fault.at_least(at))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let at = self.0.at;
        match &self.0.content {
            Content::Null => visitor.visit_map(self.fields(&[])),
            Content::Map(entries) => visitor.visit_map(self.fields(entries)),
            _ => Err(self.mismatch("a map (`field: value`)")),
        }
        .map_err(|fault: Fault| fault.at_least(at))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text = self.text(&suggest::one_of(variants.iter().copied()))?;
        visitor.visit_enum(Word(text)).map_err(|fault: Fault| fault.at_least(self.0.at))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        match self.items.find(|(_, item)| !item.dropped) {
            Some((index, item)) => seed
                .deserialize(Reader(item))
                .map(Some)
                .map_err(|fault| fault.at_least(item.at).below(Step::Index(index))),
            None => Ok(None),
        }
    }
}

struct Fields<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.find(|entry| !entry.value.dropped) else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'de, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|fault| fault.at_least(entry.key_at).below(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry =
            self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its name"))?;
        seed.deserialize(Reader(&entry.value))
            .map_err(|fault: Fault| fault.at_least(entry.value.at).below(Step::Key(entry.key.clone())))
    }
}

/// A unit variant by its name.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Fault;
    type Variant = UnitOnly;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, UnitOnly), Fault> {
        let name: StrDeserializer<'de, Fault> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, UnitOnly))
    }
}

struct UnitOnly;

impl<'de> VariantAccess<'de> for UnitOnly {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(de::Error::custom("found a word, expected a value"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("found a word, expected a list"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("found a word, expected a map"))
    }
}
