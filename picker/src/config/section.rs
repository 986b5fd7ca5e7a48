//! One object of the configuration while it is checked: fields are taken out by name, what is wrong
//! or left over becomes a mistake with its place.

use std::{fmt::Display, ops::RangeInclusive};

use super::node::{Decimal, Node};

/// An object of the configuration and the mistakes found in it so far.
pub struct Section {
    path: String,
    fields: Vec<(String, Node)>,
    allowed: Vec<&'static str>,
    mistakes: Vec<String>,
}

impl Section {
    /// The object at `path`; an absent one and `null` have no fields. Anything but an object is a
    /// mistake.
    pub fn new(node: Option<Node>, path: &str, mistakes: &mut Vec<String>) -> Self {
        let fields = match node {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::Table(fields)) => fields,
            Some(other) => {
                mistakes.push(format!("{path}: must be an object, got {other}"));
                Vec::new()
            }
        };
        Self {
            path: path.to_owned(),
            fields,
            allowed: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The field `name`; `null` counts as absent, a second one of the same name is a mistake.
    fn take(&mut self, name: &'static str) -> Option<Node> {
        self.allowed.push(name);
        let mut found = None;
        let mut times = 0;
        self.fields.retain_mut(|(field, node)| {
            let hit = field == name;
            if hit {
                times += 1;
                found = Some(std::mem::replace(node, Node::Null));
            }
            !hit
        });
        if times > 1 {
            self.mistakes
                .push(format!("{}.{name}: given {times} times", self.path));
        }
        found.filter(|node| *node != Node::Null)
    }

    /// Notes that the field `name` must be otherwise.
    pub fn refuse(&mut self, name: &str, reason: &str, got: &dyn Display) {
        self.mistakes
            .push(format!("{}.{name}: {reason}, got {got}", self.path));
    }

    /// The object in the field `name`, empty when it is absent.
    pub fn section(&mut self, name: &'static str) -> Self {
        let node = self.take(name);
        let path = format!("{}.{name}", self.path);
        Self::new(node, &path, &mut self.mistakes)
    }

    /// A whole number in `range`.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.take(name)?;
        let number = match node {
            Node::Integer(number) => Some(number),
            // JSON does not tell 5 from 5.0; a fraction or a huge number fails the comparison.
            Node::Number(number) if number >= 0.0 && number == (number as u64) as f64 => {
                Some(number as u64)
            }
            _ => None,
        };
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let (low, high) = range.into_inner();
        self.refuse(
            name,
            &format!("must be a whole number from {low} to {high}"),
            &node,
        );
        None
    }

    /// A number in `range`.
    pub fn number(&mut self, name: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let node = self.take(name)?;
        let number = match node {
            Node::Integer(number) => Some(number as f64),
            Node::Number(number) => Some(number),
            _ => None,
        };
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let (low, high) = (Decimal(*range.start()), Decimal(*range.end()));
        self.refuse(
            name,
            &format!("must be a number from {low} to {high}"),
            &node,
        );
        None
    }

    /// One of the words of `choices`.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let node = self.take(name)?;
        if let Node::Text(text) = &node
            && let Some((_, value)) = choices.iter().find(|(word, _)| word == text)
        {
            return Some(*value);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.refuse(name, &format!("must be one of {}", words.join(", ")), &node);
        None
    }

    /// Reports the mistakes, with every field that nobody asked for.
    pub fn finish(self, mistakes: &mut Vec<String>) {
        mistakes.extend(self.mistakes);
        let allowed = self.allowed.join(", ");
        for (field, _) in self.fields {
            let field: String = field.chars().take(64).collect();
            mistakes.push(format!(
                "{}.{}: unknown field, allowed are {allowed}",
                self.path,
                field.escape_debug()
            ));
        }
    }
}
