//! A section of a document, as rows of a table.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    comments::{self, Comment, Owner},
    defaults,
    parser::{self, Parser, join},
};

/// A document that is described.
pub(crate) struct Document {
    /// Its parser.
    pub(crate) parse: Parser,
    /// A document with every section but nothing in them that is not required.
    pub(crate) base: Value,
    /// All its sections, so that none is described as a value.
    pub(crate) sections: Vec<Section>,
}

/// An object within a document.
pub(crate) struct Section {
    /// Where it stands, `pools[0].endpoints[0]`; empty for the whole.
    pub(crate) path: &'static str,
    /// The type whose fields say what its fields mean.
    pub(crate) owner: Owner,
    /// Where the checked configuration has it.
    pub(crate) checked: &'static str,
    /// Fields that are elsewhere in the types.
    pub(crate) elsewhere: Vec<Elsewhere>,
}

/// A field that does not stand where its section's type would have it.
pub(crate) struct Elsewhere {
    /// As it is written.
    pub(crate) field: &'static str,
    /// What it means.
    pub(crate) meaning: Meaning<'static>,
    /// Where the checked configuration has its value, or what its default is: `=the pool's`.
    pub(crate) checked: &'static str,
}

/// What a field means.
pub(crate) enum Meaning<'a> {
    /// The comment of this field of a type.
    Field(Owner, &'a str),
    /// It is checked and then not kept, so that no type has it.
    Said(&'a str),
}

/// A field that another type has, or the same under another name.
pub(crate) fn elsewhere(
    field: &'static str,
    owner: Owner,
    name: &'static str,
    checked: &'static str,
) -> Elsewhere {
    let meaning = Meaning::Field(owner, name);
    Elsewhere {
        field,
        meaning,
        checked,
    }
}

/// A field that no type has.
pub(crate) fn said(field: &'static str, meaning: &'static str, default: &'static str) -> Elsewhere {
    Elsewhere {
        field,
        meaning: Meaning::Said(meaning),
        checked: default,
    }
}

impl Document {
    /// A table with the fields of all sections for which `wanted` holds.
    pub(crate) fn table(&self, wanted: impl Fn(&str) -> bool) -> String {
        let shown = (self.parse)(&self.base).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let values = defaults::tree(&shown);
        let mut table =
            String::from("| field | default | allowed | meaning |\n| --- | --- | --- | --- |\n");
        for section in self.sections.iter().filter(|one| wanted(one.path)) {
            for field in parser::fields(self.parse, &self.base, section.path) {
                table.push_str(&self.row(section, &field, &values));
            }
        }
        table
    }

    fn row(&self, section: &Section, field: &str, values: &HashMap<String, String>) -> String {
        let path = join(section.path, field);
        let is_within = |section: &Section| {
            let rest = section.path.strip_prefix(&path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if self.sections.iter().any(is_within) {
            return String::new();
        }
        let elsewhere = section.elsewhere.iter().find(|one| one.field == field);
        let snake = comments::snake_case(field);
        let (checked, meaning) = match elsewhere {
            Some(one) => (one.checked.to_owned(), &one.meaning),
            None => (
                join(section.checked, &snake),
                &Meaning::Field(section.owner, snake.as_str()),
            ),
        };
        let meaning = match meaning {
            Meaning::Said(text) => Comment {
                text: (*text).to_owned(),
                ..Comment::default()
            },
            Meaning::Field(owner, name) => comments::of_field(*owner, name).unwrap_or_else(|| {
                let Owner { file, name } = owner;
                panic!("{path} is no field of {name} in {file}: say where it is")
            }),
        };
        let default = if parser::is_required(self.parse, &self.base, &path) {
            "required".to_owned()
        } else if let Some(said) = checked.strip_prefix('=') {
            said.to_owned()
        } else {
            let value = values.get(&checked);
            let value = value.unwrap_or_else(|| panic!("{path}: no {checked} in {values:#?}"));
            match value.as_str() {
                "none" => value.clone(),
                value => format!("`{value}`"),
            }
        };
        let allowed = parser::allowed(self.parse, &self.base, &path);
        assert_ne!(
            allowed, "an object",
            "{path} is a section: add it to the document's"
        );
        let meaning = in_words(&meaning, &allowed);
        let path = path.replace("[0]", "[]").replace("name-of-yours", "NAME");
        format!("| `{path}` | {default} | {allowed} | {meaning} |\n")
    }
}

/// The comment, and what each value means, spelled as it is `allowed`.
fn in_words(comment: &Comment, allowed: &str) -> String {
    let mut words = comment.text.clone();
    for (name, meaning) in &comment.values {
        let spellings = [name.clone(), comments::snake_case(name)];
        if let Some(value) = spellings.iter().find(|one| allowed.contains(*one)) {
            words.push_str(&format!(" `{value}`: {meaning}"));
        }
    }
    words
}
