//! A configuration value of any shape, so that a wrong type is one mistake among others instead of
//! the end of the reading.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// Any value that JSON or YAML can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Nothing, which counts as absent.
    Null,
    /// True or false.
    Flag(bool),
    /// A whole number without a sign.
    Integer(u64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list, whatever is in it.
    List,
    /// The fields in the order in which they were written, duplicates included.
    Table(Vec<(String, Node)>),
}

impl fmt::Display for Node {
    /// The value as a message shows it: short, whatever was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => Decimal(*number).fmt(f),
            Self::Text(text) => {
                let head: String = text.chars().take(64).collect();
                write!(f, "{head:?}")
            }
            Self::List => f.write_str("a list"),
            Self::Table(_) => f.write_str("an object"),
        }
    }
}

/// A number as a message shows it: to six decimals. The formatting that `f64` brings along would
/// take 20 KB of the filter's wasm.
pub struct Decimal(pub f64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PARTS: u64 = 1_000_000;
        let magnitude = self.0.abs();
        if self.0 < 0.0 {
            f.write_str("-")?;
        }
        if magnitude < 1e9 {
            let parts = (magnitude * PARTS as f64).round() as u64;
            write!(f, "{}", parts / PARTS)?;
            let (mut fraction, mut digits) = (parts % PARTS, 6);
            if fraction == 0 {
                return Ok(());
            }
            while fraction % 10 == 0 {
                fraction /= 10;
                digits -= 1;
            }
            write!(f, ".{fraction:0digits$}")
        } else if magnitude.is_nan() {
            f.write_str("no number")
        } else {
            f.write_str("10^9 or more")
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Integer(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(u64::try_from(number).map_or(Node::Number(number as f64), Node::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        while list.next_element::<Node>()?.is_some() {}
        Ok(Node::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = table.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Table(fields))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::Decimal;

    #[test]
    fn numbers_are_shown_to_six_decimals() {
        for (number, shown) in [
            (0.0, "0"),
            (100.0, "100"),
            (-1.5, "-1.5"),
            (0.25, "0.25"),
            (2.05, "2.05"),
            (0.000_001, "0.000001"),
            (999_999_999.0, "999999999"),
            (1e9, "10^9 or more"),
            (f64::NEG_INFINITY, "-10^9 or more"),
            (f64::NAN, "no number"),
        ] {
            assert_eq!(Decimal(number).to_string(), shown);
        }
    }
}
