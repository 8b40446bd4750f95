//! Reads the merged layers into the tree of structs: a serde deserializer whose errors know the
//! path of what was wrong.

use std::collections::btree_map;
use std::fmt;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::layers::{Kind, Node};
use super::suggest;

/// What was wrong, and where.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// The way to it from inside out; [`read`] turns it round.
    pub(crate) path: Vec<String>,
    pub(crate) message: String,
}

impl ReadError {
    fn below(mut self, key: impl Into<String>) -> Self {
        self.path.push(key.into());
        self
    }

    fn unknown(what: &str, name: &str, known: &[&str]) -> String {
        match suggest::nearest(name, known) {
            Some(near) => format!("unknown {what} `{name}`; did you mean `{near}`?"),
            None => format!("unknown {what} `{name}`; known are {}", known.join(", ")),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), message: message.to_string() }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { path: vec![field.to_owned()], message: Self::unknown("key", field, expected) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(Self::unknown("word", variant, expected))
    }
}

/// Reads a tree.
pub(crate) fn read<T: de::DeserializeOwned>(node: &Node) -> Result<T, ReadError> {
    T::deserialize(Reader(node)).map_err(|mut error| {
        error.path.reverse();
        error
    })
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.kind {
            Kind::Table(table) => visitor.visit_map(Table { rest: table.iter(), value: None }),
            Kind::Array(items) => visitor.visit_seq(Array { rest: items.iter(), index: 0 }),
            Kind::Scalar(toml::Value::String(text)) => visitor.visit_str(text),
            Kind::Scalar(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Kind::Scalar(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Kind::Scalar(toml::Value::Boolean(yes)) => visitor.visit_bool(*yes),
            Kind::Scalar(other) => visitor.visit_str(&other.to_string()),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match (&self.0.raw, &self.0.kind) {
            (_, Kind::Scalar(toml::Value::String(_))) | (None, _) => self.deserialize_any(visitor),
            (Some(raw), _) => visitor.visit_str(raw),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.0.kind {
            Kind::Scalar(toml::Value::String(word)) => {
                visitor.visit_enum(word.as_str().into_deserializer())
            }
            _ => Err(de::Error::custom(format!("must be one of {}", variants.join(", ")))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Table<'a> {
    rest: btree_map::Iter<'a, String, Node>,
    value: Option<(&'a str, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for Table<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, node));
        let text: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        match seed.deserialize(text) {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.path.is_empty() => Err(error.below(key)),
            Err(error) => Err(error),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        match self.value.take() {
            Some((key, node)) => seed.deserialize(Reader(node)).map_err(|error| error.below(key)),
            None => Err(de::Error::custom("a value was read before its key")),
        }
    }
}

struct Array<'a> {
    rest: slice::Iter<'a, Node>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Array<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(node)).map(Some).map_err(|error| error.below(index.to_string()))
    }
}
