//! The doc comments of types, as their files have them.

use std::{fs, path::Path};

use syn::{Attribute, Expr, ExprLit, Fields, Ident, Item, Lit, Meta, Type};

/// A type in a file of the workspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    /// From the root of the repository.
    pub(crate) file: &'static str,
    /// A struct.
    pub(crate) name: &'static str,
}

impl Owner {
    pub(crate) const fn of(file: &'static str, name: &'static str) -> Self {
        Self { file, name }
    }
}

/// What is said of a field.
#[derive(Debug, Default)]
pub(crate) struct Comment {
    /// Its comment.
    pub(crate) text: String,
    /// The values of its type, if that is an enum of the same file, each with its comment.
    pub(crate) values: Vec<(String, String)>,
}

/// What the comment of a field says; `None` when there is no such field.
pub(crate) fn of_field(owner: Owner, field: &str) -> Option<Comment> {
    let items = items(owner.file);
    let fields = items.iter().find_map(|item| match item {
        Item::Struct(found) if found.ident == owner.name => Some(&found.fields),
        _ => None,
    });
    let Some(Fields::Named(fields)) = fields else {
        panic!("{} has no struct {} with fields", owner.file, owner.name);
    };
    let mut named = fields.named.iter();
    let found = named.find(|one| one.ident.as_ref().is_some_and(|name| name == field))?;
    let text = comment(&found.attrs);
    assert!(!text.is_empty(), "{}.{field} has no comment", owner.name);
    let values = match &found.ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|last| values(&items, &last.ident)),
        _ => None,
    };
    Some(Comment {
        text,
        values: values.unwrap_or_default(),
    })
}

fn values(items: &[Item], name: &Ident) -> Vec<(String, String)> {
    let found = items.iter().find_map(|item| match item {
        Item::Enum(found) if found.ident == *name => Some(found),
        _ => None,
    });
    let variants = found.iter().flat_map(|found| found.variants.iter());
    variants
        .map(|variant| (variant.ident.to_string(), comment(&variant.attrs)))
        .collect()
}

fn items(file: &str) -> Vec<Item> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    syn::parse_file(&text).unwrap().items
}

/// The comment as one line of Markdown in a table. Ranges are left out, the parser says them.
fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) if meta.path.is_ident("doc") => Some(text.value().trim().to_owned()),
            _ => None,
        }
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    let text = text
        .replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|");
    with_links(&without_paths(&without_ranges(text.trim())))
}

/// Takes out what only readers of the code can follow: " (`crate::prefix`)" and " (see `crate::prefix`)".
fn without_paths(text: &str) -> String {
    let mut parts = text.split(" (");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((inside, rest)) if inside.contains("crate::") => kept.push_str(rest),
            _ => {
                kept.push_str(" (");
                kept.push_str(part);
            }
        }
    }
    kept
}

/// Makes links of pages: `docs/envoy.md`.
fn with_links(text: &str) -> String {
    let mut parts = text.split("docs/");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(".md") {
            Some((page, rest)) if !page.contains(' ') => {
                linked.push_str(&format!("[{page}.md]({page}.md){rest}"));
            }
            _ => {
                linked.push_str("docs/");
                linked.push_str(part);
            }
        }
    }
    linked
}

/// Takes out ", `1..=5`" and " (`1..=5`)".
fn without_ranges(text: &str) -> String {
    let mut parts: Vec<&str> = text.split('`').collect();
    let mut kept = String::new();
    while let Some(last) = parts.pop() {
        let is_range = parts.len() % 2 == 1 && last.contains("..=") && !last.contains(' ');
        if !is_range {
            kept = if parts.is_empty() {
                format!("{last}{kept}")
            } else {
                format!("`{last}{kept}")
            };
            continue;
        }
        // The backtick behind the range goes too, and what led to it.
        kept = kept.strip_prefix('`').unwrap_or(&kept).to_owned();
        let before = parts.pop().unwrap_or_default();
        let before = match before.strip_suffix(" (") {
            Some(before) => {
                kept = kept.strip_prefix(')').unwrap_or(&kept).to_owned();
                before
            }
            None => before.strip_suffix(", ").unwrap_or(before),
        };
        kept = if parts.is_empty() {
            format!("{before}{kept}")
        } else {
            format!("`{before}{kept}")
        };
    }
    kept
}

/// `PairFirst` as the configuration spells it.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, character) in name.chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

#[test]
fn comments_become_markdown() {
    let text = "Tokens, `256.0..=1e6` (vLLM's `a`), per step (`1..=5`), `b`.";
    assert_eq!(without_ranges(text), "Tokens (vLLM's `a`), per step, `b`.");
    assert_eq!(without_ranges("`x`: y"), "`x`: y");
    assert_eq!(without_paths("a (b) (see `crate::c`), d"), "a (b), d");
    assert_eq!(with_links("(docs/a.md) docs/ b"), "([a.md](a.md)) docs/ b");
}
