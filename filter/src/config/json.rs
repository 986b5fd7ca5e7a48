//! JSON as a value, with one more mistake noticed than `serde_json` does by itself: a field that
//! occurs twice in one object, of which only the last would count.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::table::join;

/// Reads one JSON document; fields that occur twice are added to `mistakes`.
pub(super) fn parse(text: &[u8], mistakes: &mut Vec<String>) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Node {
        path: String::new(),
        mistakes,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Node<'a> {
    path: String,
    mistakes: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Node {
            path: format!("{}[{}]", self.path, list.len()),
            mistakes: &mut *self.mistakes,
        })? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if key.len() > 256 {
                return Err(A::Error::custom("a field name of more than 256 bytes"));
            }
            let path = join(&self.path, &key.escape_debug().to_string());
            let value = fields.next_value_seed(Node {
                path: path.clone(),
                mistakes: &mut *self.mistakes,
            })?;
            if object.insert(key, value).is_some() {
                self.mistakes.push(format!("{path}: occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
